import { LEEWAY_S } from './clock.ts'
import { type KeyFor, type ParsedJws, parseJws, verifySignature } from './jws.ts'

/** `typ` of an access token (RFC 9068 section 2.1). */
export const ACCESS_TOKEN_TYPE = 'at+jwt'

/** What an access token says (RFC 9068 section 2.2, and the session claims that revocation needs). */
export interface AccessClaims {
  iss: string
  aud: string | string[]
  sub: string
  client_id: string
  jti: string
  /** Issued at: seconds. */
  iat: number
  /** Expires at: seconds. */
  exp: number
  /** The session: one for each login and device, the same through every refresh. */
  sid: string
  /** The user's session epoch when the token was issued; a revocation of the user names the first that still holds. */
  epoch: number
  roles: string[]
  /** Space-separated permissions (RFC 8693 section 4.2). */
  scope?: string
  tier?: string
  email?: string
  email_verified?: boolean
}

export type TokenRefusal =
  | 'token_malformed'
  | 'token_type'
  | 'key_unknown'
  | 'signature_invalid'
  | 'claims_invalid'
  | 'issuer_mismatch'
  | 'audience_mismatch'
  | 'token_expired'
  | 'token_not_yet_valid'

export interface TokenRules {
  keyFor: KeyFor
  /** The algorithms that configuration allows, whatever keys are known. */
  algorithms: readonly string[]
  issuer: string
  /** At least one of these has to be among the token's audiences. */
  audience: readonly string[]
}

interface RefusedToken {
  ok: false
  refusal: TokenRefusal
  kid?: string
}

export type VerifiedToken = { ok: true; claims: AccessClaims; kid: string } | RefusedToken

/**
 * Verifies an access token as RFC 9068 section 4 asks: exact type, an allowed algorithm bound to the key, signature,
 * every claim present and rightly typed, issuer, audience, lifetime within the leeway.
 * @param nowMs the present: milliseconds
 * @returns the claims, or why not; `key_unknown` names the `kid`, so that the caller may fetch keys and ask again
 */
export function verifyAccessToken(token: string, rules: TokenRules, nowMs: number): VerifiedToken {
  const jws = readToken(token, rules)
  if ('refusal' in jws) return jws
  const key = rules.keyFor(jws.kid)
  if (!key) return { ok: false, refusal: 'key_unknown', kid: jws.kid }
  if (!verifySignature(jws, key)) return { ok: false, refusal: 'signature_invalid', kid: jws.kid }
  return judge(jws, rules, nowMs)
}

/**
 * What {@link verifyAccessToken} would say if the signature were right, **which is not looked at**: to tell people what
 * is wrong with a token where no keys are at hand. Nothing may be granted on its word.
 */
export function judgeWithoutSignature(token: string, rules: Omit<TokenRules, 'keyFor'>, nowMs: number): VerifiedToken {
  const jws = readToken(token, rules)
  return 'refusal' in jws ? jws : judge(jws, rules, nowMs)
}

function readToken(token: string, { algorithms }: Pick<TokenRules, 'algorithms'>): ParsedJws | RefusedToken {
  const jws = parseJws(token)
  if (!jws || !algorithms.includes(jws.alg)) return { ok: false, refusal: 'token_malformed' }
  const isAccessToken = jws.typ === ACCESS_TOKEN_TYPE || jws.typ === `application/${ACCESS_TOKEN_TYPE}`
  return isAccessToken ? jws : { ok: false, refusal: 'token_type' }
}

function judge(jws: ParsedJws, rules: Omit<TokenRules, 'keyFor'>, nowMs: number): VerifiedToken {
  const claims = readClaims(jws)
  if (!claims) return { ok: false, refusal: 'claims_invalid', kid: jws.kid }
  const refusal = checkClaims(claims, rules, nowMs)
  return refusal ? { ok: false, refusal, kid: jws.kid } : { ok: true, claims, kid: jws.kid }
}

/** The earliest instant, in milliseconds, at which a token with this `exp` is refused. */
export function refusedFrom(exp: number): number {
  return (exp + LEEWAY_S) * 1000
}

function checkClaims(claims: AccessClaims, rules: Omit<TokenRules, 'keyFor'>, nowMs: number): TokenRefusal | undefined {
  if (claims.iss !== rules.issuer) return 'issuer_mismatch'
  const audiences = typeof claims.aud === 'string' ? [claims.aud] : claims.aud
  if (!audiences.some((audience) => rules.audience.includes(audience))) return 'audience_mismatch'
  if (nowMs >= refusedFrom(claims.exp)) return 'token_expired'
  if (claims.iat * 1000 > nowMs + LEEWAY_S * 1000) return 'token_not_yet_valid'
  return undefined
}

const MAX_LIST = 128
const MAX_TEXT = 1024
/** As many characters the `scope` of a token may have: with every other claim at its longest it fits into 8 KiB. */
export const MAX_SCOPE_CHARACTERS = 3072

function readClaims({ payload }: ParsedJws): AccessClaims | undefined {
  const claims = payload as Record<string, unknown>
  const { aud, roles, scope, tier, email, email_verified: verified, nbf } = claims
  const required = ['iss', 'sub', 'client_id', 'jti', 'sid'].every(
    (name) => Object.hasOwn(claims, name) && isText(claims[name]),
  )
  if (!required || !isNumericDate(claims.iat) || !isNumericDate(claims.exp) || claims.exp <= claims.iat)
    return undefined
  if (!Number.isSafeInteger(claims.epoch) || (claims.epoch as number) < 0) return undefined
  if (!isText(aud) && !(isTextList(aud) && aud.length > 0)) return undefined
  if (!isTextList(roles)) return undefined
  if (scope !== undefined && !isText(scope, MAX_SCOPE_CHARACTERS)) return undefined
  if (tier !== undefined && !isText(tier)) return undefined
  if (email !== undefined && !isText(email)) return undefined
  if (verified !== undefined && typeof verified !== 'boolean') return undefined
  // This issuer sets no `nbf`; a token that has one follows rules we do not check.
  if (nbf !== undefined) return undefined
  return claims as unknown as AccessClaims
}

function isText(value: unknown, characters = MAX_TEXT): value is string {
  // Ill-formed Unicode has no UTF-8: two such values would become one where they are sent on.
  return typeof value === 'string' && value.length > 0 && value.length <= characters && value.isWellFormed()
}

function isTextList(value: unknown): value is string[] {
  return Array.isArray(value) && value.length <= MAX_LIST && value.every((item) => isText(item))
}

function isNumericDate(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) > 0
}
