import { MAX_TOKEN_BYTES } from './jws.ts'

export type BearerRefusal =
  | 'authorization_repeated'
  | 'authorization_scheme'
  | 'authorization_malformed'
  | 'token_too_long'

export type Bearer =
  /** `token` is undefined when the request has no `Authorization` header at all. */
  { ok: true; token: string | undefined } | { ok: false; reason: BearerRefusal }

const NAME = 'authorization'
const SCHEME = /^Bearer(?: |$)/i
const TOKEN_AT = 'Bearer '.length
const ABSENT: Bearer = { ok: true, token: undefined }

/**
 * Finds the bearer token of a request (RFC 6750 section 2.1): one `Authorization` header, the scheme in any case, one
 * space, one token. Anything else that claims to be a credential is refused, for another server could read another
 * token out of it (CVE-2025-64527). That the token holds base64url only is seen where it is parsed; a token found in the
 * cache was.
 * @param rawHeaders names and values in turn, as received
 */
export function readBearer(rawHeaders: readonly string[]): Bearer {
  let value: string | undefined
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
    const name = rawHeaders[i]!
    if (name.length !== NAME.length || name.toLowerCase() !== NAME) continue
    if (value !== undefined) return { ok: false, reason: 'authorization_repeated' }
    value = rawHeaders[i + 1]!
  }
  if (value === undefined) return ABSENT
  if (!SCHEME.test(value)) return { ok: false, reason: 'authorization_scheme' }
  const token = value.slice(TOKEN_AT)
  if (token.length > MAX_TOKEN_BYTES) return { ok: false, reason: 'token_too_long' }
  if (token.length === 0 || token.includes(' ') || token.includes(',')) {
    return { ok: false, reason: 'authorization_malformed' }
  }
  return { ok: true, token }
}
