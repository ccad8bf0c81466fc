import { createSecretKey, generateKeyPairSync } from 'node:crypto'
import fc from 'fast-check'
import { test } from 'tap'
import { verifyAccessToken } from '../../shared/access-token.ts'
import { parseJwks, toJwk } from '../../shared/jwks.ts'
import { ALGORITHM_NAMES, signJws } from '../../shared/jws.ts'
import { accessClaims, NOW_MS, tokenRules } from '../helpers/access-tokens.ts'
import { signingKey } from '../helpers/revocations.ts'

const ec = signingKey('ES256', 'ec')
const rsa = signingKey('RS256', 'rsa')
const okp = signingKey('EdDSA', 'okp')
const kids = (...keys: unknown[]) => parseJwks({ keys })?.map(({ kid, alg }) => `${kid} ${alg}`)

test('what is published can be read, and verifies', async (t) => {
  for (const key of [ec, rsa, okp]) {
    const published = JSON.parse(JSON.stringify({ keys: [toJwk(key)] }))
    const read = parseJwks(published)!
    t.match(read, [{ kid: key.kid, alg: key.alg }])
    const token = signJws(key, 'at+jwt', accessClaims())
    t.ok(verifyAccessToken(token, tokenRules(read), NOW_MS).ok, key.alg)
  }
  t.same(kids(toJwk(ec), toJwk(rsa), toJwk(okp)), ['ec ES256', 'rsa RS256', 'okp EdDSA'])
})

test('what is published is public', async (t) => {
  for (const key of [ec, rsa, okp]) {
    const jwk = toJwk(key)
    for (const secret of ['d', 'p', 'q', 'dp', 'dq', 'qi', 'k']) t.notOk(secret in jwk, `${key.alg} has no ${secret}`)
    t.match(jwk, { kid: key.kid, alg: key.alg, use: 'sig' })
  }
})

const other = (curve: string) => generateKeyPairSync('ec', { namedCurve: curve }).publicKey.export({ format: 'jwk' })
const weak = generateKeyPairSync('rsa', { modulusLength: 1024 }).publicKey.export({ format: 'jwk' })
const x25519 = generateKeyPairSync('x25519').publicKey.export({ format: 'jwk' })
const secret = createSecretKey(Buffer.alloc(32)).export({ format: 'jwk' })
const privateJwk = (key: typeof ec) => ({ ...key.privateKey.export({ format: 'jwk' }), kid: 'p', alg: key.alg })

const LEFT_OUT: [name: string, jwk: unknown][] = [
  ['nothing', null],
  ['a text', 'key'],
  ['an empty key', {}],
  ['no kid', { ...toJwk(ec), kid: undefined }],
  ['an empty kid', { ...toJwk(ec), kid: '' }],
  ['a kid that is no text', { ...toJwk(ec), kid: 1 }],
  ['a kid that is too long', { ...toJwk(ec), kid: 'k'.repeat(129) }],
  ['no alg', { ...toJwk(ec), alg: undefined }],
  ['an unknown alg', { ...toJwk(ec), alg: 'ES512' }],
  ['alg none', { ...toJwk(ec), alg: 'none' }],
  ['an alg of every object', { ...toJwk(ec), alg: 'constructor' }],
  ['a symmetric key', { ...secret, kid: 'k', alg: 'HS256' }],
  ['a symmetric key under another alg', { ...secret, kid: 'k', alg: 'RS256' }],
  ['a public key with a secret', { ...toJwk(ec), k: 'AAAA' }],
  ['a private EC key', privateJwk(ec)],
  ['a private RSA key', privateJwk(rsa)],
  ['a private Ed25519 key', privateJwk(okp)],
  ['a key for encryption', { ...toJwk(rsa), use: 'enc' }],
  ['an EC key for RS256', { ...toJwk(ec), alg: 'RS256' }],
  ['an RSA key for ES256', { ...toJwk(rsa), alg: 'ES256' }],
  ['an Ed25519 key for ES256', { ...toJwk(okp), alg: 'ES256' }],
  ['another curve', { ...other('P-384'), kid: 'k', alg: 'ES256' }],
  ['the curve of another field', { ...other('secp256k1'), kid: 'k', alg: 'ES256' }],
  ['a key agreement key', { ...x25519, kid: 'k', alg: 'EdDSA' }],
  ['a weak RSA key', { ...weak, kid: 'k', alg: 'RS256' }],
  ['an RSA key whose exponent is 1', { ...toJwk(rsa), e: 'AQ' }],
  ['an RSA key whose exponent is 3', { ...toJwk(rsa), e: 'Aw' }],
  ['a point that is not on the curve', { ...toJwk(ec), x: Buffer.alloc(32, 1).toString('base64url') }],
  ['a key without its parameters', { kty: 'EC', kid: 'k', alg: 'ES256' }],
]

test('a key that cannot be used is left out, and the others stay', async (t) => {
  for (const [name, jwk] of LEFT_OUT) t.same(kids(jwk, toJwk(okp)), ['okp EdDSA'], name)
})

test('keys with one kid are all left out', async (t) => {
  const twin = { ...toJwk(rsa), kid: 'ec' }
  t.same(kids(toJwk(ec), toJwk(okp), twin), ['okp EdDSA'])
  t.same(kids(toJwk(ec), twin, toJwk(ec)), [], 'a third does not bring them back')
  t.same(kids(toJwk(ec), { ...twin, alg: 'none' }), ['ec ES256'], 'but one that is left out anyway takes none with it')
})

test('what is no key set is none', async (t) => {
  for (const document of [undefined, null, 1, 'keys', [], {}, { keys: null }, { keys: {} }, { keys: 'a' }]) {
    t.equal(parseJwks(document), undefined, JSON.stringify(document))
  }
  t.equal(parseJwks({ keys: Array(65).fill(toJwk(ec)) }), undefined, 'too many keys')
  t.same(parseJwks({ keys: [] }), [])
})

test('any document gets an answer', async () => {
  const jwk = fc.record(
    {
      kty: fc.constantFrom('EC', 'RSA', 'OKP', 'oct'),
      kid: fc.string(),
      alg: fc.constantFrom(...ALGORITHM_NAMES),
      n: fc.jsonValue(),
      x: fc.base64String(),
    },
    { requiredKeys: [] },
  )
  fc.assert(
    fc.property(fc.oneof(fc.jsonValue(), fc.record({ keys: fc.array(fc.oneof(jwk, fc.jsonValue())) })), (document) => {
      const keys = parseJwks(document)
      return keys === undefined || keys.every(({ key }) => key.type === 'public')
    }),
  )
})
