import { createPublicKey } from 'node:crypto'
import type { Shot } from '../deployment.ts'
import { asking, compact, partsOf, signedWithSecret, withHeader } from '../forge.ts'
import { type AttackClass, unauthorized } from '../row.ts'

const EMPTY = Buffer.alloc(0)

/** What a verifier may take for the secret when it has public keys and the token says HMAC. */
const SECRETS: [name: string, secret: (a: Shot) => string | Buffer][] = [
  ['the public key in PEM', (a) => publicKey(a).export({ type: 'spki', format: 'pem' })],
  [
    'the public key in PEM without the last line feed',
    (a) => publicKey(a).export({ type: 'spki', format: 'pem' }).toString().trim(),
  ],
  ['the public key in DER', (a) => publicKey(a).export({ type: 'spki', format: 'der' })],
  ['the public key as JSON', (a) => JSON.stringify(a.keys![0])],
]

function publicKey({ keys }: Shot) {
  return createPublicKey({ key: keys![0]!, format: 'jwk' })
}

export const TOKEN_ALGORITHMS: AttackClass = {
  id: 'token-algorithms',
  title: 'alg: none, RS/HS confusion',
  known: ['CVE-2015-9235', 'CVE-2023-48223', 'CVE-2026-34950'],
  holds: 'an exact list of algorithms, and each key is for one of them',
  alsoTestedIn: ['test/shared/jws.test.ts', 'test/shared/access-token.test.ts', 'test/shared/jwks.test.ts'],
  rows: [
    ...['none', 'None', 'NONE', 'nOnE', ''].flatMap((alg) => [
      unauthorized(
        `alg ${JSON.stringify(alg)} with the signature it had`,
        (a) => asking(a, withHeader(a, { alg })),
        [],
      ),
      unauthorized(
        `alg ${JSON.stringify(alg)} without a signature`,
        (a) => asking(a, withHeader(a, { alg }, EMPTY)),
        [],
      ),
    ]),
    unauthorized(
      'alg none in two parts',
      (a) => asking(a, compact({ ...partsOf(a), header: { alg: 'none' } }).replace(/\.[^.]*$/, '')),
      [],
    ),
    unauthorized(
      'alg none and nothing else in the header',
      (a) => asking(a, compact({ ...partsOf(a), header: { alg: 'none' }, signature: EMPTY })),
      [],
    ),
    ...[['none'], { name: 'none' }, null, 0, true].map((alg) =>
      unauthorized(`alg ${JSON.stringify(alg)}`, (a) => asking(a, withHeader(a, { alg })), []),
    ),
    unauthorized('no alg', (a) => asking(a, withHeader(a, { alg: undefined })), []),
    ...[
      'ES384',
      'ES256K',
      'PS256',
      'RS1',
      'HS256',
      'RS256',
      'ES256',
      'EdDSA',
      'es256',
      ' ES256',
      '__proto__',
      'constructor',
    ].map((alg) =>
      unauthorized(`alg ${JSON.stringify(alg)} with a signature that is none of that`, (a) =>
        // The one it has must not verify here: its first byte is another.
        asking(
          a,
          withHeader(a, { alg }, Buffer.from(partsOf(a).signature.map((byte, i) => (i === 0 ? byte ^ 1 : byte)))),
        ),
      ),
    ),
    ...['', 'secret', 'null', 'undefined', '\0'].map((secret) =>
      unauthorized(
        `HS256 with the secret ${JSON.stringify(secret)}`,
        (a) => asking(a, signedWithSecret(a, secret)),
        [],
      ),
    ),
    ...SECRETS.flatMap(([name, secret]) =>
      ['HS256', 'HS512'].map((alg) =>
        unauthorized(`${alg} with ${name} for the secret`, (a) => asking(a, signedWithSecret(a, secret(a), alg)), [
          'keys',
        ]),
      ),
    ),
    unauthorized(
      'HS256 in the header, of which the key says nothing',
      (a) => asking(a, withHeader(a, { alg: 'HS256' })),
      ['token'],
    ),
  ],
}
