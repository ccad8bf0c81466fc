import { MAX_SCOPE_CHARACTERS } from '../../shared/access-token.ts'
import type { Clock } from '../../shared/clock.ts'
import type { Administrator } from './administrator.ts'
import { covers, type RoleGrants } from './grants.ts'
import { isPermissionName, MAX_PERMISSION_CHARACTERS, PERMISSIONS, sortedPermissions } from './permissions.ts'
import type { Audit, Roles, Users } from './ports.ts'
import { BUILT_IN_ROLES, isRoleName, MAX_ROLE_CHARACTERS, MAX_ROLES, type Role, type RoleChange } from './role.ts'
import { SUPERUSER_ROLE } from './user.ts'

export type RoleResult =
  | { ok: true; role: Role }
  | { ok: false; code: 'invalid_request' | 'conflict'; errors: string[] }
  | { ok: false; code: 'forbidden' | 'not_found' }

export type DeletedRole =
  | { ok: true; users: number; complete: boolean }
  | { ok: false; code: 'conflict'; errors: string[] }
  | { ok: false; code: 'forbidden' | 'not_found' }

/**
 * Roles, for administrators. Nobody gives a role, or takes from one, what is beyond their own permissions.
 *
 * What a role gains or loses holds from the next refresh of whoever has it. Access tokens that were issued before keep
 * it until they expire: one role may concern every user, and to end all their sessions would log out everyone.
 *
 * Every function throws StoreUnavailable.
 */
export interface AdministerRoles {
  list(): Promise<Role[]>
  get(name: string): Promise<Role | undefined>
  create(input: Pick<Role, 'name' | 'description' | 'permissions'>, by: Administrator): Promise<RoleResult>
  update(name: string, change: Omit<RoleChange, 'updatedAt'>, by: Administrator): Promise<RoleResult>
  /**
   * From then on it grants nothing. It is also taken from the users who have it, of many from a part only.
   * @returns from how many, and whether that is all of them; otherwise a repetition goes on
   */
  delete(name: string, by: Administrator): Promise<DeletedRole>
}

export interface AdministerRolesPorts {
  roles: Roles
  users: Users
  roleGrants: RoleGrants
  audit: Audit
  clock: Clock
}

// A request ends within seconds: 20,000 users at most.
const TAKE_BATCH = 500
const TAKE_ROUNDS = 40

export function createAdministerRoles({
  roles,
  users,
  roleGrants,
  audit,
  clock,
}: AdministerRolesPorts): AdministerRoles {
  const notFound = { ok: false, code: 'not_found' } as const
  const forbidden = { ok: false, code: 'forbidden' } as const
  const get = async (name: string) => (await roles.all()).find((role) => role.name === name)

  const mayDecide = ({ grants }: Administrator, ...permissions: string[][]) =>
    covers(grants, { roles: [], permissions: permissions.flat() })

  const takeFromUsers = async (name: string) => {
    for (let round = 0, count = 0; round < TAKE_ROUNDS; round++) {
      const taken = await users.takeRole(name, TAKE_BATCH)
      count += taken
      if (taken < TAKE_BATCH) return { users: count, complete: true }
    }
    return { users: TAKE_ROUNDS * TAKE_BATCH, complete: false }
  }

  return {
    list: () => roles.all(),
    get,

    async create({ name, description, permissions }, by) {
      const all = await roles.all()
      const errors = [...nameProblems(name), ...permissionProblems(permissions, all)]
      if (errors.length > 0) return { ok: false, code: 'invalid_request', errors }
      if (!mayDecide(by, permissions)) return forbidden
      if (all.length >= MAX_ROLES) return { ok: false, code: 'conflict', errors: [`there may be ${MAX_ROLES} roles`] }
      const taken: RoleResult = { ok: false, code: 'conflict', errors: ['name: this role exists'] }
      if (all.some((role) => role.name === name)) return taken
      // Whoever still has the name of a role that was deleted would get this one by it.
      if (!(await takeFromUsers(name)).complete) {
        return { ok: false, code: 'conflict', errors: ['name: users still have an earlier role of this name'] }
      }
      const now = clock.now()
      const role = { name, description, permissions: sortedPermissions(permissions), createdAt: now, updatedAt: now }
      if (!(await roles.insert(role))) return taken
      roleGrants.forget()
      audit.record('role_created', { role: name, by: by.id, permissions: role.permissions.join(' ') })
      return { ok: true, role }
    },

    async update(name, { description, permissions }, by) {
      const all = await roles.all()
      const before = all.find((role) => role.name === name)
      if (!before) return notFound
      if (name === SUPERUSER_ROLE) {
        return { ok: false, code: 'conflict', errors: ['the superuser has every permission and stays as it is'] }
      }
      const others = all.filter((role) => role.name !== name)
      const errors = permissions ? permissionProblems(permissions, others) : []
      if (errors.length > 0) return { ok: false, code: 'invalid_request', errors }
      if (!mayDecide(by, before.permissions, permissions ?? [])) return forbidden
      const role = await roles.update(name, {
        ...(description !== undefined && { description }),
        ...(permissions && { permissions: sortedPermissions(permissions) }),
        updatedAt: clock.now(),
      })
      if (!role) return notFound
      roleGrants.forget()
      audit.record('role_changed', { role: name, by: by.id, permissions: role.permissions.join(' ') })
      return { ok: true, role }
    },

    async delete(name, by) {
      if (BUILT_IN_ROLES.includes(name)) return { ok: false, code: 'conflict', errors: ['this role is built in'] }
      const role = await get(name)
      if (role && !mayDecide(by, role.permissions)) return forbidden
      if (role) await roles.delete(name)
      roleGrants.forget()
      const taken = await takeFromUsers(name)
      if (!role && taken.users === 0) return notFound
      audit.record('role_deleted', { role: name, by: by.id, ...taken })
      return { ok: true, ...taken }
    },
  }
}

function nameProblems(name: string): string[] {
  return isRoleName(name) ? [] : [`name: at most ${MAX_ROLE_CHARACTERS} of a-z 0-9 : _ . - and a letter or digit first`]
}

/**
 * Also: all permissions there are have to fit into one scope, so that every token carries all that its roles grant.
 * @param others the other roles
 */
function permissionProblems(permissions: readonly string[], others: readonly Role[]): string[] {
  const wrong = permissions.filter((permission) => !isPermissionName(permission))
  const problems = wrong.map(
    (permission) =>
      `permissions: ${JSON.stringify(permission)} is not at most ${MAX_PERMISSION_CHARACTERS} of a-z 0-9 : _ . - and a letter or digit first`,
  )
  const everything = [...Object.keys(PERMISSIONS), ...others.flatMap((role) => role.permissions), ...permissions]
  if (sortedPermissions(everything).join(' ').length > MAX_SCOPE_CHARACTERS) {
    problems.push(`permissions: those of all roles together are at most ${MAX_SCOPE_CHARACTERS} characters`)
  }
  return problems
}
