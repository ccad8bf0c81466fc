import type { VerificationKey } from '../../shared/jws.ts'

/** The issuer's public keys, as last fetched. */
export interface KeyRing {
  /** `undefined` for a key that is not known, was revoked, or is older than may be trusted. */
  keyFor(kid: string): VerificationKey | undefined
  /**
   * Takes over a key set; keys that are not in it are gone. A key that stays the same stays the same object, so that what
   * was verified with it stays verified.
   * @param fetchedAtMs when the set was had from the issuer, however it came here: milliseconds
   */
  replace(keys: readonly VerificationKey[], fetchedAtMs: number): void
  /** Drops a key for good: no later key set brings it back. */
  revoke(kid: string): void
  isRevoked(kid: string): boolean
  /** Drops all keys once the set is too old to be trusted; called from time to time. */
  expire(nowMs: number): void
  readonly size: number
  /** When the present set was had from the issuer: milliseconds; `undefined` before the first. */
  readonly fetchedAtMs: number | undefined
}

/** @param options `maxStaleMs` is how long keys are served while the issuer is away: milliseconds */
export function createKeyRing({ maxStaleMs }: { maxStaleMs: number }): KeyRing {
  let keys = new Map<string, VerificationKey>()
  let fetchedAt: number | undefined
  const revoked = new Set<string>()

  return {
    keyFor: (kid) => keys.get(kid),
    replace(fetched, fetchedAtMs) {
      const next = new Map<string, VerificationKey>()
      for (const key of fetched) {
        if (revoked.has(key.kid)) continue
        const known = keys.get(key.kid)
        next.set(key.kid, known?.alg === key.alg && known.key.equals(key.key) ? known : key)
      }
      keys = next
      fetchedAt = fetchedAtMs
    },
    revoke(kid) {
      revoked.add(kid)
      keys.delete(kid)
    },
    isRevoked: (kid) => revoked.has(kid),
    expire(nowMs) {
      if (fetchedAt === undefined) return
      // A time that lies ahead comes from a clock that was wrong; the keys must not live longer for it.
      if (fetchedAt > nowMs) fetchedAt = nowMs
      if (nowMs - fetchedAt > maxStaleMs) keys.clear()
    },
    get size() {
      return keys.size
    },
    get fetchedAtMs() {
      return fetchedAt
    },
  }
}
