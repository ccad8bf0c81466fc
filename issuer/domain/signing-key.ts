import { LEEWAY_S } from '../../shared/clock.ts'
import type { Algorithm } from '../../shared/jws.ts'
import type { Revocation } from '../../shared/revocation.ts'

/**
 * `next` is published and does not sign yet; `retired` still verifies until its last token has expired; of one that is
 * `gone` only the name is kept, so that it never comes back.
 */
export type KeyState = 'next' | 'current' | 'retired' | 'gone'

/** A signing key as the store keeps it. Times are milliseconds since the Unix epoch. */
export interface StoredSigningKey {
  /** RFC 7638 thumbprint of the public key. */
  kid: string
  alg: Algorithm
  state: KeyState
  /** The private key, PKCS #8 DER, encrypted by whoever stored it (base64url); empty when it is gone. */
  sealedPrivateKey: string
  /** When it was first published. */
  createdAt: number
  /** When it began to sign; for the next one: when it is to begin, `null` while nobody has decided that. */
  signsFrom: number | null
  /** When it stopped signing. */
  retiredAt: number | null
  /** When it was declared compromised. */
  revokedAt: number | null
}

/** What configuration decides of the life of keys. */
export interface KeyRules {
  /** Of new keys. */
  algorithm: Algorithm
  /** The longest that any issuer's access tokens live, asked each time: seconds. */
  readonly lifetimeS: number
  /** How long anyone may cache the key set: seconds. */
  jwksMaxAgeS: number
  /** How long a key signs: milliseconds; `undefined`: until someone says so. */
  rotationMs: number | undefined
}

/**
 * An issuer that has not read the keys for this long neither signs nor publishes: milliseconds. So this long after a
 * change nobody acts on what was before it.
 */
export const KEYS_LEASE_MS = 10_000

/**
 * How old what an issuer knows of the keys may be when it begins to make a token, while the store answers: milliseconds.
 * Long enough that thousands of tokens a second cost ten reads.
 */
export const KEYS_FRESH_MS = 100

/**
 * How long a key is published before it signs: milliseconds. A verifier's copy of the key set can be one age old when it
 * is taken from a cache, and is replaced one age later.
 */
export function publishAheadMs({ jwksMaxAgeS }: Pick<KeyRules, 'jwksMaxAgeS'>): number {
  return (2 * jwksMaxAgeS + LEEWAY_S) * 1000 + KEYS_LEASE_MS
}

/** Whether the key set has this key: a retired one until no token or event it signed can be accepted any more. */
export function isPublished({ state, retiredAt }: StoredSigningKey, nowMs: number, lifetimeS: number): boolean {
  if (state === 'gone') return false
  return retiredAt === null || nowMs < retiredAt + KEYS_LEASE_MS + (lifetimeS + 2 * LEEWAY_S) * 1000
}

// Longer than any sidecar may be told to use keys that the issuer has not confirmed (JWKS_MAX_STALE, at most 30 days).
const KEY_REVOCATION_S = 31 * 86_400

/**
 * What the feed says of a revoked key. Forged tokens can have any expiry, so it holds until nobody can have the key any
 * more; it follows from the stored key alone, so that every issuer says the same.
 */
export function keyRevocation(kid: string, revokedAt: number): Extract<Revocation, { kind: 'key' }> {
  return { kind: 'key', kid, exp: Math.ceil(revokedAt / 1000) + KEY_REVOCATION_S }
}

/** The key revocations among the stored keys that still have to be known. */
export function liveKeyRevocations(keys: readonly StoredSigningKey[], nowMs: number) {
  return keys
    .flatMap(({ kid, revokedAt }) =>
      revokedAt === null ? [] : [{ revokedAt, revocation: keyRevocation(kid, revokedAt) }],
    )
    .filter(({ revocation }) => revocation.exp * 1000 > nowMs)
}

/** A key as it is shown. Times are ISO 8601. */
export function publicKeyState(key: StoredSigningKey, nowMs: number, lifetimeS: number) {
  const time = (ms: number | null) => (ms === null ? null : new Date(ms).toISOString())
  return {
    kid: key.kid,
    alg: key.alg,
    state: key.state,
    published: isPublished(key, nowMs, lifetimeS),
    created_at: new Date(key.createdAt).toISOString(),
    signs_from: time(key.signsFrom),
    retired_at: time(key.retiredAt),
    revoked_at: time(key.revokedAt),
  }
}
