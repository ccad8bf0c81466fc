import type { Principal } from './authenticate.ts'
import type { Grants, RoleGrants } from './grants.ts'
import { SUPERUSER_ROLE } from './user.ts'

/**
 * What a caller may do here by this token: what the store grants the user or service now, as far as the token reaches.
 * What was taken away since the token was issued is gone at once; what was added comes with the next token.
 * @throws StoreUnavailable
 */
export type EffectiveGrants = (principal: Principal) => Promise<Grants>

export function createEffectiveGrants(roleGrants: Pick<RoleGrants, 'of'>): EffectiveGrants {
  return async (principal) => {
    const { claims } = principal
    const now =
      'user' in principal
        ? await roleGrants.of(principal.user.roles)
        : { roles: [], permissions: principal.client.permissions }
    // A token that was narrowed has no roles; one that has this role may do everything, whatever fits into its scope.
    const roles = now.roles.filter((role) => claims.roles.includes(role))
    if (roles.includes(SUPERUSER_ROLE)) return { roles, permissions: now.permissions }
    const scope = new Set(claims.scope?.split(' '))
    return { roles, permissions: now.permissions.filter((permission) => scope.has(permission)) }
  }
}
