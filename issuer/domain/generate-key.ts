import { createHash, generateKeyPair as generate, type KeyObject } from 'node:crypto'
import type { PublicJwk } from '../../shared/jwks.ts'
import { ALGORITHMS, type Algorithm, type SigningKeyPair } from '../../shared/jws.ts'

const RSA_BITS = 3072

/** Makes a key pair, off the event loop. */
export function generateSigningKey(alg: Algorithm): Promise<SigningKeyPair> {
  return new Promise((resolve, reject) => {
    const done = (error: Error | null, publicKey: KeyObject, privateKey: KeyObject) =>
      error ? reject(error) : resolve({ kid: thumbprint(publicKey), alg, key: publicKey, privateKey })
    const { keyType, curve } = ALGORITHMS[alg]
    if (keyType === 'ec') generate('ec', { namedCurve: curve }, done)
    else if (keyType === 'rsa') generate('rsa', { modulusLength: RSA_BITS }, done)
    else generate('ed25519', {}, done)
  })
}

/** The JWK Thumbprint of RFC 7638: SHA-256 over the members that make the key, in order. */
export function thumbprint(publicKey: KeyObject): string {
  const { crv, e, kty, n, x, y } = publicKey.export({ format: 'jwk' }) as Partial<PublicJwk>
  // JSON leaves out what this type of key does not have.
  return createHash('sha256').update(JSON.stringify({ crv, e, kty, n, x, y })).digest('base64url')
}
