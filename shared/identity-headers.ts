import type { AccessClaims } from './access-token.ts'

/** The identity headers: which claim each carries, and its default name. A service behind the sidecar reads these. */
export const IDENTITY_HEADERS = {
  userId: { name: 'X-User-Id', value: (claims: AccessClaims) => claims.sub },
  email: { name: 'X-User-Email', value: (claims: AccessClaims) => claims.email },
  roles: { name: 'X-User-Roles', value: (claims: AccessClaims) => claims.roles },
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
 * One spelling for all aliases of a header name. CGI and its heirs make `_` of `-`, some of `.` too (CVE-2025-64484),
 * and the laxest of everything that is no letter or digit.
 */
export function canonicalHeaderName(name: string): string {
  return name.toLowerCase().replace(/[^a-z0-9]/g, '-')
}

/**
 * The identity headers of a token, ready to be set; one without a value is left out. Values are percent-encoded as UTF-8
 * where a header field could not carry them (control characters, anything beyond ASCII, a space at either end), and `%`
 * itself always: two different claims never look the same, and percent-decoding gives back the claim. Roles are
 * separated by commas, and a comma in a role is encoded.
 */
export function identityHeaders(claims: AccessClaims, names: IdentityHeaderNames): [name: string, value: string][] {
  const pairs: [string, string][] = []
  for (const [header, name] of Object.entries(names) as [IdentityHeader, string][]) {
    const value = IDENTITY_HEADERS[header].value(claims)
    if (value === undefined || value.length === 0) continue
    pairs.push([name, typeof value === 'string' ? encode(value) : value.map(encodeListed).join(',')])
  }
  return pairs
}

function encodeListed(value: string): string {
  return encode(value).replaceAll(',', '%2C')
}

function encode(value: string): string {
  return value.toWellFormed().replace(/[^ -$&-~]|^ +| +$/gu, encodeURIComponent)
}
