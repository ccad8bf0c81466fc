import type { AccessClaims } from './access-token.ts'

/** The identity headers: which claim each carries, and its default name. A service behind the sidecar reads these. */
export const IDENTITY_HEADERS = {
  userId: { name: 'X-User-Id', value: (claims: AccessClaims) => claims.sub },
  email: { name: 'X-User-Email', value: (claims: AccessClaims) => claims.email },
  roles: { name: 'X-User-Roles', value: (claims: AccessClaims) => claims.roles.join(',') || undefined },
  scope: { name: 'X-User-Scope', value: (claims: AccessClaims) => claims.scope },
  tier: { name: 'X-User-Tier', value: (claims: AccessClaims) => claims.tier },
  sessionId: { name: 'X-Session-Id', value: (claims: AccessClaims) => claims.sid },
  claims: {
    name: 'X-User-Claims',
    value: (claims: AccessClaims) => Buffer.from(JSON.stringify(claims)).toString('base64url'),
  },
} as const

export type IdentityHeader = keyof typeof IDENTITY_HEADERS

/** The name each identity header has in this deployment; one that is not there is not sent, but still stripped. */
export type IdentityHeaderNames = Partial<Record<IdentityHeader, string>>

/** Every header but the whole claim set, which is sent only when asked for. */
export const DEFAULT_IDENTITY_HEADERS: IdentityHeaderNames = Object.fromEntries(
  Object.entries(IDENTITY_HEADERS)
    .filter(([header]) => header !== 'claims')
    .map(([header, { name }]) => [header, name]),
)

/**
 * One spelling for all aliases of a header name: servers and CGI gateways read `X_User_Id`, `x.user.id` and
 * `X-User-Id` as one (CVE-2025-64484).
 */
export function canonicalHeaderName(name: string): string {
  return name.toLowerCase().replace(/[_.]/g, '-')
}

/**
 * The identity headers of a token, ready to be set. A value that can't stand in a header field (control characters,
 * anything beyond ASCII) is percent-encoded as UTF-8; a comma in a role name too, for it separates roles.
 */
export function identityHeaders(claims: AccessClaims, names: IdentityHeaderNames): [name: string, value: string][] {
  const pairs: [string, string][] = []
  for (const [header, name] of Object.entries(names) as [IdentityHeader, string][]) {
    const subject = header === 'roles' ? { ...claims, roles: claims.roles.map(encodeRole) } : claims
    const value = IDENTITY_HEADERS[header].value(subject)
    if (value !== undefined) pairs.push([name, encodeFieldValue(value)])
  }
  return pairs
}

function encodeRole(role: string): string {
  return role.replaceAll('%', '%25').replaceAll(',', '%2C')
}

function encodeFieldValue(value: string): string {
  return /^[!-~](?:[ -~]*[!-~])?$/.test(value) ? value : encodeURI(value.toWellFormed())
}
