import type { AccessClaims } from '../../shared/access-token.ts'
import type { ClaimRule, Route } from './route.ts'

export type Objection = 'role_missing' | 'scope_missing' | 'claim_mismatch' | 'email_unverified'

/**
 * Whether a valid token is enough for this route: one of its roles, all of its scopes, all of its claims, and a verified
 * e-mail address if it asks for one.
 * @returns what is missing, or `undefined` when nothing is
 */
export function checkPolicy(route: Route, claims: AccessClaims): Objection | undefined {
  if (route.roles.length > 0 && !route.roles.some((role) => claims.roles.includes(role))) return 'role_missing'
  if (route.scopes.length > 0) {
    const granted = claims.scope?.split(' ') ?? []
    if (!route.scopes.every((scope) => granted.includes(scope))) return 'scope_missing'
  }
  if (!route.claims.every((rule) => holds(rule, claims))) return 'claim_mismatch'
  if (route.verifiedEmail && claims.email_verified !== true) return 'email_unverified'
  return undefined
}

function holds({ claim, equals }: ClaimRule, claims: AccessClaims): boolean {
  // Only what the token itself says: `constructor` is on every object.
  if (!Object.hasOwn(claims, claim)) return false
  const value = (claims as unknown as Record<string, unknown>)[claim]
  return value === equals || (Array.isArray(value) && value.includes(equals))
}
