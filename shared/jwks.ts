import { createPublicKey } from 'node:crypto'
import { ALGORITHMS, type Algorithm, MIN_RSA_BITS, type VerificationKey } from './jws.ts'

/** One public key as it is published (RFC 7517), and nothing else of it. */
export interface PublicJwk {
  kty: string
  kid: string
  alg: Algorithm
  use: 'sig'
  [parameter: string]: string
}

export interface Jwks {
  keys: PublicJwk[]
}

/** A key set larger than this is refused: bytes. */
export const MAX_JWKS_BYTES = 256 * 1024
const MAX_KEYS = 64

/**
 * Reads a JWK Set. A key that is symmetric, private, weak, without `kid` or `alg`, for encryption, or of another type
 * than its `alg` says is left out, as RFC 7517 section 5 asks; two keys with one `kid` are both left out.
 * @returns the usable keys, or `undefined` when the document is not a key set at all
 */
export function parseJwks(document: unknown): VerificationKey[] | undefined {
  const keys = (document as { keys?: unknown } | null)?.keys
  if (!Array.isArray(keys) || keys.length > MAX_KEYS) return undefined
  const byKid = new Map<string, VerificationKey | null>()
  for (const jwk of keys) {
    const key = parseJwk(jwk)
    if (key) byKid.set(key.kid, byKid.has(key.kid) ? null : key)
  }
  return [...byKid.values()].filter((key) => key !== null)
}

function parseJwk(jwk: unknown): VerificationKey | undefined {
  if (typeof jwk !== 'object' || jwk === null) return undefined
  const { kid, alg, use, d, k } = jwk as Record<string, unknown>
  if (typeof kid !== 'string' || kid.length === 0 || kid.length > 128) return undefined
  if (typeof alg !== 'string' || !Object.hasOwn(ALGORITHMS, alg)) return undefined
  if (d !== undefined || k !== undefined || (use !== undefined && use !== 'sig')) return undefined
  const wanted = ALGORITHMS[alg as Algorithm]
  try {
    const key = createPublicKey({ key: jwk as Record<string, string>, format: 'jwk' })
    if (key.asymmetricKeyType !== wanted.keyType) return undefined
    const { modulusLength, namedCurve, publicExponent } = key.asymmetricKeyDetails ?? {}
    if (wanted.curve && namedCurve !== wanted.curve) return undefined
    if (modulusLength !== undefined && modulusLength < MIN_RSA_BITS) return undefined
    // With an exponent of 1 the padded message is its own signature; FIPS 186-5 asks for more than 2^16.
    if (publicExponent !== undefined && publicExponent < 65_537n) return undefined
    return { kid, alg: alg as Algorithm, key }
  } catch {
    return undefined
  }
}

/** The JWK of a public key, as the key set publishes it. */
export function toJwk({ kid, alg, key }: VerificationKey): PublicJwk {
  return { ...(key.export({ format: 'jwk' }) as Record<string, string>), kid, alg, use: 'sig' } as PublicJwk
}
