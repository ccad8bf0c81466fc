import { createHmac, sign } from 'node:crypto'
import fc from 'fast-check'
import { test } from 'tap'
import { LEEWAY_S } from '../../../shared/clock.ts'
import { ALGORITHM_NAMES, type SigningKeyPair } from '../../../shared/jws.ts'
import { createKeyRing } from '../../../sidecar/domain/key-ring.ts'
import { createVerifier } from '../../../sidecar/domain/verify.ts'
import {
  AUDIENCE,
  accessClaims,
  accessToken,
  NOW_MS,
  NOW_S,
  rawToken,
  tokenRules,
} from '../../helpers/access-tokens.ts'
import { signingKey } from '../../helpers/revocations.ts'

const key = signingKey('ES256', 'key-1')
const other = signingKey('ES256', 'key-2')
const rsa = signingKey('RS256', 'key-3')

function setUp({ keys = [key, rsa], cacheSize = 100 } = {}) {
  const ring = createKeyRing({ maxStaleMs: 1000 })
  ring.replace(keys, NOW_MS)
  return { ring, verifier: createVerifier({ rules: tokenRules([], { keyFor: ring.keyFor }), cacheSize }) }
}

/** The refusal of a token, or `ok`. */
function verdict(token: string, nowMs = NOW_MS, verifier = setUp().verifier): string {
  const verified = verifier.verify(token, nowMs)
  return verified.ok ? 'ok' : verified.refusal
}

const es256 = (signer: SigningKeyPair) => (input: string) =>
  sign('sha256', Buffer.from(input), { key: signer.privateKey, dsaEncoding: 'ieee-p1363' })

const HEADER = { alg: 'ES256', typ: 'at+jwt', kid: 'key-1' }

test('a good token is verified once and then found', async (t) => {
  const { verifier } = setUp()
  const token = accessToken(key)
  const first = verifier.verify(token, NOW_MS)
  t.match(first, { ok: true, kid: 'key-1', claims: accessClaims() })
  t.equal(verifier.verify(token, NOW_MS + 1000), first)
  t.same(verifier.counts, { hits: 1, misses: 1, size: 1 })
})

test('without a cache every token is verified', async (t) => {
  const { verifier } = setUp({ cacheSize: 0 })
  const token = accessToken(key)
  t.ok(verifier.verify(token, NOW_MS).ok)
  t.ok(verifier.verify(token, NOW_MS).ok)
  t.same(verifier.counts, { hits: 0, misses: 2, size: 0 })
})

test('token cache outliving exp (CVE-2026-107719): what is found ends when the token does', async (t) => {
  const { verifier } = setUp()
  const token = accessToken(key)
  const end = (NOW_S + 300 + LEEWAY_S) * 1000
  t.equal(verdict(token, NOW_MS, verifier), 'ok')
  t.equal(verdict(token, end - 1, verifier), 'ok')
  t.equal(verdict(token, end, verifier), 'token_expired')
  t.equal(verifier.counts.size, 0)
})

test('token cache outliving the key: what is found ends with the very key it was verified with', async (t) => {
  const { ring, verifier } = setUp()
  const token = accessToken(key)
  t.equal(verdict(token, NOW_MS, verifier), 'ok')
  ring.replace([{ ...key }], NOW_MS + 1)
  t.equal(verdict(token, NOW_MS, verifier), 'ok')
  t.equal(verifier.counts.hits, 1, 'the same key fetched again changes nothing')

  ring.replace([{ ...other, kid: 'key-1' }], NOW_MS + 2)
  t.equal(verdict(token, NOW_MS, verifier), 'signature_invalid', 'another key under the same id')
  ring.replace([rsa], NOW_MS + 3)
  t.equal(verdict(token, NOW_MS, verifier), 'key_unknown', 'a key that is gone')

  ring.replace([key], NOW_MS + 4)
  t.equal(verdict(token, NOW_MS, verifier), 'ok')
  ring.revoke('key-1')
  t.equal(verdict(token, NOW_MS, verifier), 'key_unknown', 'a key that was revoked')
  ring.replace([rsa], NOW_MS)
  ring.expire(NOW_MS + 2000)
  t.equal(verdict(accessToken(rsa), NOW_MS, verifier), 'key_unknown', 'keys too old to be trusted')
})

test('token cache colliding (CVE-2026-35039, CVE-2026-33496): only the very same bytes are found', async (t) => {
  const { verifier } = setUp()
  const token = accessToken(key, { sub: 'alice' })
  const another = accessToken(key, { sub: 'bob' })
  t.equal(verdict(token, NOW_MS, verifier), 'ok')
  const [header, payload, signature] = token.split('.') as [string, string, string]
  const [, otherPayload, otherSignature] = another.split('.') as [string, string, string]
  const lookalikes = [
    `${header}.${otherPayload}.${signature}`,
    `${header}.${payload}.${otherSignature}`,
    token.slice(0, -1),
    `${token}A`,
    `${token}=`,
    `${token}.`,
    ` ${token}`,
    token.toUpperCase(),
    `${token}\0`,
  ]
  for (const lookalike of lookalikes) t.not(verdict(lookalike, NOW_MS, verifier), 'ok', lookalike.slice(-12))
  t.match(verifier.verify(another, NOW_MS), { ok: true, claims: { sub: 'bob' } })
  t.match(verifier.verify(token, NOW_MS), { ok: true, claims: { sub: 'alice' } })
})

test('no changed character of a token that is in the cache is overlooked', async () => {
  const { verifier } = setUp()
  const token = accessToken(key)
  verifier.verify(token, NOW_MS)
  fc.assert(
    fc.property(fc.nat(token.length - 1), fc.constantFrom(...'AQgwx_-.~ '), (at, character) => {
      const changed = token.slice(0, at) + character + token.slice(at + 1)
      return changed === token || verdict(changed, NOW_MS, verifier) !== 'ok'
    }),
    { numRuns: 300 },
  )
})

test('refusals are not remembered, and nothing a client can make fills the cache', async (t) => {
  const { ring, verifier } = setUp({ keys: [rsa] })
  const token = accessToken(key)
  t.equal(verdict(token, NOW_MS, verifier), 'key_unknown')
  ring.replace([key], NOW_MS)
  t.equal(verdict(token, NOW_MS, verifier), 'ok', 'as soon as the key is known')
  for (let i = 0; i < 50; i++) verdict(`${token.slice(0, -4)}AA${i}`, NOW_MS, verifier)
  t.equal(verifier.counts.size, 1)
})

test('the cache is bounded', async (t) => {
  const { verifier } = setUp({ cacheSize: 3 })
  for (let i = 0; i < 10; i++) verdict(accessToken(key, { jti: String(i) }), NOW_MS, verifier)
  t.equal(verifier.counts.size, 3)
})

test('what is found cannot be changed by whoever read it before', async (t) => {
  const { verifier } = setUp()
  const token = accessToken(key)
  const verified = verifier.verify(token, NOW_MS)
  if (!verified.ok) throw new Error('the token is good')
  t.throws(() => verified.claims.roles.push('admin'), TypeError)
  t.throws(() => Object.assign(verified.claims, { sub: 'admin' }), TypeError)
})

test('alg: none (CVE-2015-9235): refused in every spelling', async (t) => {
  for (const alg of ['none', 'None', 'NONE', '', null, undefined, ['none']]) {
    const header = { ...HEADER, alg }
    t.equal(verdict(rawToken(header, accessClaims(), es256(key))), 'token_malformed', String(alg))
    t.equal(verdict(rawToken(header, accessClaims(), () => Buffer.alloc(0))), 'token_malformed', `${alg}, unsigned`)
  }
})

test('RS/HS confusion (CVE-2015-9235, CVE-2023-48223, CVE-2026-34950): the public key is no secret', async (t) => {
  const pem = rsa.key.export({ type: 'spki', format: 'pem' })
  const secrets = [pem, Buffer.from(pem), JSON.stringify(rsa.key.export({ format: 'jwk' })), ` ${pem}`]
  for (const secret of secrets) {
    const mac = (input: string) => createHmac('sha256', secret).update(input).digest()
    const forged = rawToken({ alg: 'HS256', typ: 'at+jwt', kid: 'key-3' }, accessClaims(), mac)
    t.equal(verdict(forged), 'token_malformed')
    const claimed = rawToken({ alg: 'RS256', typ: 'at+jwt', kid: 'key-3' }, accessClaims(), mac)
    t.equal(verdict(claimed), 'signature_invalid')
  }
})

test('the algorithm is bound to the key, and to the list that is allowed', async (t) => {
  const withRsaKid = rawToken({ ...HEADER, kid: 'key-3' }, accessClaims(), es256(key))
  t.equal(verdict(withRsaKid), 'signature_invalid', 'ES256 with a key for RS256')
  for (const alg of ALGORITHM_NAMES) {
    const signer = signingKey(alg)
    const rules = tokenRules([signer], { algorithms: ALGORITHM_NAMES.filter((name) => name !== alg) })
    const verified = createVerifier({ rules, cacheSize: 1 }).verify(accessToken(signer), NOW_MS)
    t.match(verified, { ok: false, refusal: 'token_malformed' }, `${alg} is not allowed`)
    const allowed = createVerifier({ rules: tokenRules([signer], { algorithms: [alg] }), cacheSize: 1 })
    t.equal(allowed.verify(accessToken(signer), NOW_MS).ok, true, `${alg} is allowed`)
  }
})

test('kid injection (CVE-2026-81829): finds no key, reads no file, asks nobody', async (t) => {
  const kids = ['../../dev/null', '/etc/passwd', "x' UNION SELECT 'key", 'http://attacker/jwks', '__proto__', 'KEY-1']
  for (const kid of kids) {
    t.equal(verdict(rawToken({ ...HEADER, kid }, accessClaims(), es256(key))), 'key_unknown', kid)
  }
  for (const kid of ['', 'k'.repeat(129), 1, null, ['key-1'], { toString: 'key-1' }, undefined]) {
    t.equal(verdict(rawToken({ ...HEADER, kid }, accessClaims(), es256(key))), 'token_malformed', JSON.stringify(kid))
  }
})

test('jku, x5u, jwk, x5c (CVE-2018-0114, CVE-2026-48522): a token brings no key of its own', async (t) => {
  const jwk = other.key.export({ format: 'jwk' })
  for (const member of [
    { jwk },
    { jku: 'https://attacker/jwks' },
    { x5u: 'https://attacker/crt' },
    { x5c: ['MIIB'] },
  ]) {
    const [name = ''] = Object.keys(member)
    t.equal(verdict(rawToken({ ...HEADER, ...member }, accessClaims(), es256(other))), 'token_malformed', name)
    t.equal(
      verdict(rawToken({ ...HEADER, ...member }, accessClaims(), es256(key))),
      'token_malformed',
      `${name}, own key`,
    )
  }
})

test('zero and malformed signatures (CVE-2022-21449): refused', async (t) => {
  const token = (signature: Buffer) => rawToken(HEADER, accessClaims(), () => signature)
  const order = Buffer.from('ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551', 'hex')
  const one = Buffer.concat([Buffer.alloc(31), Buffer.from([1])])
  const rows: [string, Buffer][] = [
    ['r = s = 0', Buffer.alloc(64)],
    ['r = s = 1', Buffer.concat([one, one])],
    ['r = s = n', Buffer.concat([order, order])],
    ['r = 0', Buffer.concat([Buffer.alloc(32), one])],
    ['all ones', Buffer.alloc(64, 0xff)],
    ['too short', Buffer.alloc(63)],
    ['too long', Buffer.alloc(65)],
    ['one byte', Buffer.from([0])],
    ['DER zero', Buffer.from('3006020100020100', 'hex')],
  ]
  for (const [name, signature] of rows) t.equal(verdict(token(signature)), 'signature_invalid', name)
  const der = (input: string) => sign('sha256', Buffer.from(input), { key: key.privateKey, dsaEncoding: 'der' })
  t.equal(verdict(rawToken(HEADER, accessClaims(), der)), 'signature_invalid', 'the right one, as DER')
  t.equal(verdict(token(Buffer.alloc(0))), 'token_malformed', 'none at all')
  t.equal(verdict(rawToken(HEADER, accessClaims(), es256(other))), 'signature_invalid', 'by another key')
})

test('JWE, zip, crit, five parts (CVE-2024-28180, GHSA-hhhv-q57g-882q): refused before anything is unpacked', async (t) => {
  const [header, payload, signature] = accessToken(key).split('.') as [string, string, string]
  const rows: [string, string][] = [
    ['five parts', `${header}.${payload}.${signature}.${payload}.${signature}`],
    ['a JWE of empty parts', 'eyJhbGciOiJkaXIifQ....'],
    ['four parts', `${header}.${payload}.${signature}.`],
    ['two parts', `${header}.${payload}`],
    ['a detached payload', `${header}..${signature}`],
    ['no header', `.${payload}.${signature}`],
    ['nothing', ''],
    ['dots', '..'],
    ['zip', rawToken({ ...HEADER, zip: 'DEF' }, accessClaims(), es256(key))],
    ['enc', rawToken({ ...HEADER, enc: 'A256GCM' }, accessClaims(), es256(key))],
    ['crit', rawToken({ ...HEADER, crit: ['exp'] }, accessClaims(), es256(key))],
    ['b64', rawToken({ ...HEADER, b64: false }, accessClaims(), es256(key))],
    ['a header that is a list', rawToken([HEADER], accessClaims(), es256(key))],
    ['a payload that is a list', rawToken(HEADER, [accessClaims()], es256(key))],
    ['a payload that is no JSON', rawToken(HEADER, '{', es256(key))],
    ['a JSON serialisation', JSON.stringify({ protected: header, payload, signature })],
    ['base64 instead of base64url', `${header}.${payload}.${signature.slice(0, -2)}+/`],
    ['padding', `${header}=.${payload}.${signature}`],
    ['too long', rawToken(HEADER, accessClaims({ note: 'x'.repeat(8192) }), es256(key))],
    ['a header that is too long', rawToken({ ...HEADER, note: 'x'.repeat(1024) }, accessClaims(), es256(key))],
  ]
  for (const [name, token] of rows) t.equal(verdict(token), 'token_malformed', name)
})

test('cross-JWT confusion (RFC 8725 section 2.8): only an access token of this issuer for this audience', async (t) => {
  t.equal(verdict(accessToken(key, {}, 'secevent+jwt')), 'token_type', 'an event of the feed')
  t.equal(verdict(accessToken(key, {}, 'JWT')), 'token_type', 'a plain JWT')
  t.equal(verdict(accessToken(key, {}, 'application/at+jwt')), 'ok', 'the long form of the type')
  t.equal(verdict(accessToken(key, { iss: 'https://issuer.example/' })), 'issuer_mismatch')
  t.equal(verdict(accessToken(key, { aud: 'others' })), 'audience_mismatch')
  t.equal(verdict(accessToken(key, { aud: ['others', AUDIENCE] })), 'ok', 'one audience of several')
})
