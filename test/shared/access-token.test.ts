import { sign } from 'node:crypto'
import fc from 'fast-check'
import { test } from 'tap'
import { refusedFrom, type TokenRefusal, verifyAccessToken } from '../../shared/access-token.ts'
import { LEEWAY_S } from '../../shared/clock.ts'
import { ALGORITHM_NAMES, MAX_TOKEN_BYTES, signJws } from '../../shared/jws.ts'
import {
  AUDIENCE,
  accessClaims,
  accessToken,
  ISSUER,
  NOW_MS,
  NOW_S,
  rawToken,
  tokenRules,
} from '../helpers/access-tokens.ts'
import { signingKey } from '../helpers/revocations.ts'

// EdDSA is the cheapest to sign with.
const key = signingKey('EdDSA', 'key-1')
const rules = tokenRules([key])

function verdict(claims: Record<string, unknown>, nowMs = NOW_MS): TokenRefusal | 'ok' {
  const verified = verifyAccessToken(accessToken(key, claims), rules, nowMs)
  return verified.ok ? 'ok' : verified.refusal
}

test('a token of each algorithm is accepted', async (t) => {
  for (const alg of ALGORITHM_NAMES) {
    const signer = signingKey(alg)
    const verified = verifyAccessToken(accessToken(signer, { scope: 'a b', tier: 'pro' }), tokenRules([signer]), NOW_MS)
    t.same(verified, { ok: true, claims: accessClaims({ scope: 'a b', tier: 'pro' }), kid: signer.kid }, alg)
  }
})

const WRONG: Record<string, unknown[]> = {
  iss: [undefined, null, 1, '', [ISSUER]],
  aud: [undefined, null, 1, '', [], [1], [AUDIENCE, 1], [''], { 0: AUDIENCE }],
  sub: [undefined, null, 1, '', ['u'], { $ne: null }, 'x'.repeat(1025), '\ud800'],
  client_id: [undefined, 1, ''],
  jti: [undefined, 1, ''],
  sid: [undefined, null, 1, '', ['s'], {}],
  epoch: [undefined, null, '0', -1, 0.5, 2 ** 53, Number.NaN, [0], true],
  iat: [undefined, null, '1', 1.5, -1, 0, 2 ** 53],
  exp: [undefined, null, String(NOW_S + 300), NOW_S + 300.5, -1, Number.POSITIVE_INFINITY, NOW_S, NOW_S - 1],
  roles: [undefined, null, 'admin', {}, [1], [''], [['admin']], Array(129).fill('r'), ['\udfff']],
  scope: [null, 1, '', ['a']],
  tier: [null, 1, ''],
  email: [null, 1, '', ['a@b.example']],
  email_verified: [null, 'true', 1],
  nbf: [NOW_S, NOW_S - 1, null],
}

test('missing or wrongly typed claims are a refusal, not a skip', async (t) => {
  for (const [name, values] of Object.entries(WRONG)) {
    for (const value of values)
      t.equal(verdict({ [name]: value }), 'claims_invalid', `${name}: ${JSON.stringify(value)}`)
  }
  t.equal(verdict({ more: { x: [1] } }), 'ok', 'a claim that nobody asks for does no harm')
})

test('__proto__ in a payload is a claim like any other, and lends none', async (t) => {
  // As JSON text: in an object literal it would set the prototype.
  const { sid, ...others } = accessClaims()
  const payload = `{"__proto__":${JSON.stringify({ sid })},${JSON.stringify(others).slice(1)}`
  const token = rawToken({ alg: 'EdDSA', typ: 'at+jwt', kid: 'key-1' }, payload, (input) =>
    sign(null, Buffer.from(input), key.privateKey),
  )
  t.match(verifyAccessToken(token, rules, NOW_MS), { ok: false, refusal: 'claims_invalid' })
})

test('issuer and audience are compared whole', async (t) => {
  for (const iss of [`${ISSUER}/`, ISSUER.toUpperCase(), 'https://issuer.example.attacker.example', ` ${ISSUER}`]) {
    t.equal(verdict({ iss }), 'issuer_mismatch', iss)
  }
  for (const aud of ['Sallyport', 'sallyport2', ['a', 'b']]) t.equal(verdict({ aud }), 'audience_mismatch', String(aud))
  t.equal(verdict({ aud: ['a', AUDIENCE] }), 'ok')
  const several = tokenRules([key], { audience: ['x', 'y'] })
  t.ok(verifyAccessToken(accessToken(key, { aud: 'y' }), several, NOW_MS).ok)
  t.notOk(verifyAccessToken(accessToken(key, { aud: 'x,y' }), several, NOW_MS).ok)
})

test('the leeway is finite: 5 s on either side', async (t) => {
  const exp = NOW_S + 300
  t.equal(verdict({}, (exp + LEEWAY_S) * 1000 - 1), 'ok')
  t.equal(verdict({}, (exp + LEEWAY_S) * 1000), 'token_expired')
  t.equal(refusedFrom(exp), (exp + LEEWAY_S) * 1000)
  t.equal(verdict({ iat: NOW_S + LEEWAY_S }), 'ok')
  t.equal(verdict({ iat: NOW_S + LEEWAY_S + 1 }), 'token_not_yet_valid')
})

test('an unknown key is named, so that it can be fetched', async (t) => {
  const token = accessToken(signingKey('EdDSA', 'key-2'))
  t.same(verifyAccessToken(token, rules, NOW_MS), { ok: false, refusal: 'key_unknown', kid: 'key-2' })
})

test('a token is at most 8 KiB long', async (t) => {
  const sized = (length: number) => {
    const claims = accessClaims({ note: '' })
    for (let pad = 0; ; pad++) {
      const token = signJws(key, 'at+jwt', { ...claims, note: 'x'.repeat(length + pad) })
      if (token.length >= MAX_TOKEN_BYTES) return token
    }
  }
  const token = sized(5400)
  t.ok(token.length - MAX_TOKEN_BYTES < 3, 'as near as can be')
  t.equal(verifyAccessToken(token, rules, NOW_MS).ok, token.length <= MAX_TOKEN_BYTES)
  t.same(verifyAccessToken(`${token}AAA`, rules, NOW_MS), { ok: false, refusal: 'token_malformed' })
})

test('any text gets an answer, and none but a signed token a good one', async () => {
  const good = accessToken(key)
  const near = fc
    .tuple(fc.constantFrom(...good.split('.')), fc.constantFrom(...good.split('.')), fc.string({ maxLength: 8 }))
    .map((parts) => parts.join('.'))
  fc.assert(
    fc.property(fc.oneof(fc.string({ maxLength: 300 }), near), (token) => !verifyAccessToken(token, rules, NOW_MS).ok),
    { numRuns: 2000 },
  )
})
