import { LRUCache } from 'lru-cache'
import {
  type AccessClaims,
  refusedFrom,
  type TokenRules,
  type VerifiedToken,
  verifyAccessToken,
} from '../../shared/access-token.ts'
import type { VerificationKey } from '../../shared/jws.ts'

export interface Verifier {
  /**
   * Verifies an access token, or finds that it has been verified. Whether it was revoked is another question.
   * @param nowMs the present: milliseconds
   */
  verify(token: string, nowMs: number): VerifiedToken
  /** How often a token was found verified, how often it had to be looked at, and how many are kept. */
  readonly counts: { readonly hits: number; readonly misses: number; readonly size: number }
}

interface Entry {
  verified: VerifiedToken
  kid: string
  key: VerificationKey
  refusedFromMs: number
}

export interface VerifierOptions {
  rules: TokenRules
  /** How many verified tokens are remembered; none when 0. */
  cacheSize: number
}

/**
 * Remembers the tokens that were good, by the whole token, so that nothing but the very same bytes is found again. What
 * is remembered holds only while the ring has the very key it was verified with and until the token's own end;
 * refusals are not remembered, so that nobody can fill the cache without the issuer.
 */
export function createVerifier({ rules, cacheSize }: VerifierOptions): Verifier {
  const cache = cacheSize > 0 ? new LRUCache<string, Entry>({ max: cacheSize }) : undefined
  let hits = 0
  let misses = 0

  const verifyAnew = (token: string, nowMs: number): VerifiedToken => {
    misses++
    const verified = verifyAccessToken(token, rules, nowMs)
    const key = verified.ok ? rules.keyFor(verified.kid) : undefined
    if (cache && verified.ok && key) {
      freeze(verified.claims)
      cache.set(detached(token), { verified, kid: verified.kid, key, refusedFromMs: refusedFrom(verified.claims.exp) })
    }
    return verified
  }

  return {
    verify(token, nowMs) {
      const entry = cache?.get(token)
      if (!entry) return verifyAnew(token, nowMs)
      if (nowMs < entry.refusedFromMs && rules.keyFor(entry.kid) === entry.key) {
        hits++
        return entry.verified
      }
      cache?.delete(token)
      return verifyAnew(token, nowMs)
    },
    get counts() {
      return { hits, misses, size: cache?.size ?? 0 }
    },
  }
}

/** One object answers many requests: none may change what the next one reads. */
function freeze(claims: AccessClaims): void {
  Object.freeze(claims)
  Object.freeze(claims.roles)
}

/** A copy of its own: a part cut out of a request's head would keep the whole head in memory. */
function detached(token: string): string {
  return Buffer.from(token, 'latin1').toString('latin1')
}
