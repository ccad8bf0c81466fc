import { generateKeyPairSync } from 'node:crypto'
import { calculateJwkThumbprint } from 'jose'
import { test } from 'tap'
import { generateSigningKey, thumbprint } from '../../../issuer/domain/generate-key.ts'
import { toJwk } from '../../../shared/jwks.ts'
import { ALGORITHM_NAMES } from '../../../shared/jws.ts'

test('the key id is the thumbprint of RFC 7638, for every type of key', async (t) => {
  const keys = [
    generateKeyPairSync('ec', { namedCurve: 'P-256' }),
    generateKeyPairSync('rsa', { modulusLength: 2048 }),
    generateKeyPairSync('ed25519'),
  ]
  for (const { publicKey } of keys) {
    const expected = await calculateJwkThumbprint(publicKey.export({ format: 'jwk' }) as { kty: string })
    t.equal(thumbprint(publicKey), expected, String(publicKey.asymmetricKeyType))
  }
})

test('a key of every algorithm', async (t) => {
  for (const alg of ALGORITHM_NAMES) {
    const pair = await generateSigningKey(alg)
    t.match(pair, { alg, kid: thumbprint(pair.key) })
    t.notMatch(toJwk(pair), { d: String })
    if (alg === 'RS256') t.equal(pair.key.asymmetricKeyDetails?.modulusLength, 3072)
  }
})
