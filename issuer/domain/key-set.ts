import { createHash, createPrivateKey, createPublicKey, type KeyObject } from 'node:crypto'
import { LEEWAY_S } from '../../shared/clock.ts'
import { type Jwks, type PublicJwk, toJwk } from '../../shared/jwks.ts'
import type { SigningKeyPair, VerificationKey } from '../../shared/jws.ts'
import type { KeySealing } from './key-sealing.ts'
import type { SigningKeys } from './ports.ts'
import type { StoredSigningKey } from './signing-key.ts'

/** How long anyone may cache the key set, in seconds; so long a new key is published before it signs. */
export const JWKS_MAX_AGE_S = 300

/** The stored keys can't be used: nothing this instance could sign would be worth anything. */
export class SigningKeysUnusable extends Error {
  constructor(reason: string) {
    super(reason)
    this.name = 'SigningKeysUnusable'
  }
}

/** The keys of this instance, in memory: asking for one never waits. */
export interface KeySet {
  /** The key that signs now. */
  current(): SigningKeyPair
  keyFor(kid: string): VerificationKey | undefined
  /** What is published: next, current, and retired keys whose last token may still be valid. */
  jwks(): Jwks
  /** Reads the keys again. @throws SigningKeysUnusable, StoreUnavailable; what was known stays in use then */
  reload(): Promise<void>
  /** Reads the keys again unless that was done a moment ago, and never throws. */
  refresh(): Promise<void>
}

/** An unknown `kid` may cost at most one read of the store in this time: milliseconds. */
const REFRESH_COOLDOWN_MS = 5000

export interface KeySetPorts {
  signingKeys: SigningKeys
  sealing: KeySealing
  clock: { now(): number }
}

/** @param lifetimeS how long an access token lives: seconds */
export function createKeySet({ signingKeys, sealing, clock }: KeySetPorts, lifetimeS: number): KeySet {
  let opened = new Map<string, SigningKeyPair>()
  let stored: StoredSigningKey[] = []
  let current: SigningKeyPair | undefined
  let refreshedAt = -Infinity
  let refreshing: Promise<void> | undefined
  const published = () => stored.filter((key) => isPublished(key, clock.now(), lifetimeS))

  const reload = async () => {
    const found = await signingKeys.all()
    const pairs = new Map(found.map((key) => [key.kid, opened.get(key.kid) ?? openKey(key, sealing)]))
    const signing = found.find(({ state }) => state === 'current')
    if (!signing) throw new SigningKeysUnusable('there is no current signing key in the store')
    opened = pairs
    stored = found
    current = pairs.get(signing.kid)
  }

  return {
    current() {
      if (!current) throw new SigningKeysUnusable('there is no signing key')
      return current
    },
    keyFor: (kid) => (published().some((key) => key.kid === kid) ? opened.get(kid) : undefined),
    jwks: () => ({ keys: published().map(({ kid }) => toJwk(opened.get(kid)!)) }),
    reload,
    refresh() {
      if (!refreshing && clock.now() - refreshedAt >= REFRESH_COOLDOWN_MS) {
        refreshedAt = clock.now()
        refreshing = reload()
          .catch(() => {})
          .finally(() => {
            refreshing = undefined
          })
      }
      return refreshing ?? Promise.resolve()
    },
  }
}

/** A retired key is gone once no token it signed can be accepted any more. */
export function isPublished(key: StoredSigningKey, nowMs: number, lifetimeS: number): boolean {
  return key.retiredAt === null || nowMs < key.retiredAt + (lifetimeS + 2 * LEEWAY_S) * 1000
}

/** The JWK Thumbprint of RFC 7638: SHA-256 over the members that make the key, in order. */
export function thumbprint(publicKey: KeyObject): string {
  const { crv, e, kty, n, x, y } = publicKey.export({ format: 'jwk' }) as Partial<PublicJwk>
  // JSON leaves out what this type of key does not have.
  return createHash('sha256').update(JSON.stringify({ crv, e, kty, n, x, y })).digest('base64url')
}

function openKey({ kid, alg, sealedPrivateKey }: StoredSigningKey, sealing: KeySealing): SigningKeyPair {
  const der = sealing.open(kid, sealedPrivateKey)
  if (!der) throw new SigningKeysUnusable('MASTER_KEY does not open the signing keys in the store: is it another one?')
  const privateKey = createPrivateKey({ key: der, format: 'der', type: 'pkcs8' })
  return { kid, alg, privateKey, key: createPublicKey(privateKey) }
}
