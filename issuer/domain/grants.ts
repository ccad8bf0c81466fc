import type { Clock } from '../../shared/clock.ts'
import { PERMISSIONS, sortedPermissions } from './permissions.ts'
import type { Roles } from './ports.ts'
import type { Role } from './role.ts'
import { SUPERUSER_ROLE } from './user.ts'

/** What somebody may do. */
export interface Grants {
  /** Those of the given roles that exist, in the given order. */
  roles: string[]
  /** The permissions of these roles: sorted, each once. */
  permissions: string[]
}

export interface RoleGrants {
  /** What these roles grant now; a role that does not exist grants nothing. @throws StoreUnavailable */
  of(names: readonly string[]): Promise<Grants>
  /** To be called after a role was changed here; other issuers learn of it within the cache's time. */
  forget(): void
}

/** How long an issuer goes on with the roles it read: milliseconds. */
export const ROLE_CACHE_MS = 5000

/**
 * Looks up what roles grant. The roles are read from the store all at once and kept for a few seconds: a refresh would
 * otherwise ask the store once more. There are at most MAX_ROLES of them.
 */
export function createRoleGrants({ roles, clock }: { roles: Pick<Roles, 'all'>; clock: Clock }): RoleGrants {
  let cached: { byName: Map<string, Role>; untilMs: number } | undefined
  let loading: Promise<Map<string, Role>> | undefined

  const load = () => {
    // From the beginning of the read: what is changed while it runs may not be in it.
    const untilMs = clock.now() + ROLE_CACHE_MS
    const own = roles.all().then((all) => {
      const byName = new Map(all.map((role) => [role.name, role]))
      if (loading === own) cached = { byName, untilMs }
      return byName
    })
    loading = own
    const done = () => {
      if (loading === own) loading = undefined
    }
    own.then(done, done)
    return own
  }

  return {
    async of(names) {
      const fresh = cached && clock.now() < cached.untilMs ? cached.byName : undefined
      const byName = fresh ?? (await (loading ?? load()))
      const held = names.filter((name) => byName.has(name))
      const granting = held.includes(SUPERUSER_ROLE) ? [...byName.values()] : held.map((name) => byName.get(name)!)
      const own = held.includes(SUPERUSER_ROLE) ? Object.keys(PERMISSIONS) : []
      return { roles: held, permissions: sortedPermissions([...own, ...granting.flatMap((role) => role.permissions)]) }
    },
    forget() {
      cached = undefined
      loading = undefined
    },
  }
}

/**
 * Whether who has `mine` may decide over who has `theirs`: nobody hands out, takes away or takes over what is beyond
 * their own permissions, so that no permission to administer leads to all the others.
 */
export function covers(mine: Grants, theirs: Grants): boolean {
  if (mine.roles.includes(SUPERUSER_ROLE)) return true
  if (theirs.roles.includes(SUPERUSER_ROLE)) return false
  return theirs.permissions.every((permission) => mine.permissions.includes(permission))
}
