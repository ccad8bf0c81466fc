import fc from 'fast-check'
import { jwtVerify } from 'jose'
import { test } from 'tap'
import { type SigningKeyPair, signJws } from '../../shared/jws.ts'
import type { Revocation } from '../../shared/revocation.ts'
import {
  EVENT_TYPES,
  openSecurityEvent,
  peekSecurityEvent,
  SECURITY_EVENT_TYPE,
  type SecurityEvent,
  signSecurityEvent,
} from '../../shared/security-event.ts'
import { ISSUER, signingKey } from '../helpers/revocations.ts'

const key = signingKey()
const keyFor = (kid: string) => (kid === key.kid ? key : undefined)
const context = { issuer: ISSUER, audience: ['sidecars'], nowMs: 1_700_000_000_123 }

const id = fc.string({ minLength: 1, maxLength: 64 })
const exp = fc.integer({ min: 1, max: 4_000_000_000 })
const revocation: fc.Arbitrary<Revocation> = fc.oneof(
  fc.record({ kind: fc.constant('session' as const), sid: id, sub: id, exp }),
  fc.record({ kind: fc.constant('user' as const), sub: id, epoch: fc.integer({ min: 1, max: 1e9 }), exp }),
  fc.record({ kind: fc.constant('key' as const), kid: id, exp }),
)
const completeUntilMs = fc.integer({ min: 0, max: 4_000_000_000_000 })
const event: fc.Arbitrary<SecurityEvent> = fc.oneof(
  fc.record({ type: fc.constant('revocation' as const), revocation }),
  fc.record({ type: fc.constant('heartbeat' as const), instance: id, completeUntilMs }),
  fc.record({
    type: fc.constant('snapshot' as const),
    instance: id,
    completeUntilMs,
    entries: fc.nat(),
    sha256: fc.string(),
  }),
)

test('what is signed is what is read', async (t) => {
  fc.assert(
    fc.property(event, (sent) => {
      const token = signSecurityEvent(key, sent, context)
      t.same(openSecurityEvent(token, keyFor, ISSUER), { ok: true, event: sent, kid: key.kid })
      t.same(peekSecurityEvent(token, ISSUER), sent)
    }),
    { numRuns: 200 },
  )
})

test('any SET library can read it: jose verifies it, with the subject and the event of OpenID CAEP', async (t) => {
  const sent = { kind: 'session', sid: 'the-session', sub: 'the-user', exp: 1_800_000_000 } as const
  const token = signSecurityEvent(key, { type: 'revocation', revocation: sent }, context)
  const { payload } = await jwtVerify(token, key.key, {
    issuer: ISSUER,
    audience: 'sidecars',
    typ: SECURITY_EVENT_TYPE,
    algorithms: ['ES256'],
    currentDate: new Date(context.nowMs),
  })
  t.match(payload, { iat: 1_700_000_000, jti: /^[0-9a-f-]{36}$/ })
  t.same(payload.sub_id, {
    format: 'complex',
    user: { format: 'iss_sub', iss: ISSUER, sub: 'the-user' },
    session: { format: 'opaque', id: 'the-session' },
  })
  t.same(payload.events, {
    [EVENT_TYPES.sessionRevoked]: { event_timestamp: 1_700_000_000, expires_at: 1_800_000_000 },
  })
  t.notOk('sub' in payload || 'exp' in payload, 'which no access token could lack (RFC 8417 section 2.2)')
})

test('refused: another key, another issuer, another kind of token, an unknown key', async (t) => {
  const sent: SecurityEvent = { type: 'heartbeat', instance: 'a', completeUntilMs: 1 }
  const open = (token: string) => openSecurityEvent(token, keyFor, ISSUER)
  const forger: SigningKeyPair = signingKey('ES256', key.kid)
  t.match(open(signSecurityEvent(forger, sent, context)), { ok: false, refusal: 'signature_invalid' })
  const elsewhere = { ...context, issuer: 'https://evil.example' }
  t.match(open(signSecurityEvent(key, sent, elsewhere)), { ok: false, refusal: 'event_malformed' })
  t.match(open(signSecurityEvent(signingKey('ES256', 'k2'), sent, context)), { refusal: 'key_unknown', kid: 'k2' })
  t.match(open(signJws(key, 'at+jwt', { iss: ISSUER })), { ok: false, refusal: 'event_type' })
  t.match(open('nonsense'), { ok: false, refusal: 'event_malformed' })
})

test('refused: a subject of another issuer, two events in one, missing or wrongly typed parts', async (t) => {
  const open = (claims: object) =>
    openSecurityEvent(signJws(key, SECURITY_EVENT_TYPE, { iss: ISSUER, ...claims }), keyFor, ISSUER)
  const user = { format: 'iss_sub', iss: ISSUER, sub: 'u' }
  const revoked = (body: object) => ({ [EVENT_TYPES.sessionRevoked]: body })
  const good = { sub_id: user, events: revoked({ epoch: 2, expires_at: 10 }) }
  t.match(open(good), { ok: true })
  const rows: [string, object][] = [
    ['foreign user', { ...good, sub_id: { ...user, iss: 'https://evil.example' } }],
    ['foreign session', { ...good, sub_id: { format: 'complex', user: { ...user, iss: 'x' }, session: { id: 's' } } }],
    ['two events', { ...good, events: { ...good.events, [EVENT_TYPES.keyRevoked]: {} } }],
    ['no event', { ...good, events: {} }],
    ['unknown event', { ...good, events: { 'urn:example': {} } }],
    ['no subject', { events: good.events }],
    ['no epoch', { ...good, events: revoked({ expires_at: 10 }) }],
    ['epoch as text', { ...good, events: revoked({ epoch: '2', expires_at: 10 }) }],
    ['no expiry', { ...good, events: revoked({ epoch: 2 }) }],
    ['array as subject', { ...good, sub_id: [user] }],
    ['heartbeat without instance', { events: { [EVENT_TYPES.verification]: { complete_until: 1 } } }],
    ['negative instant', { sub_id: { id: 'a' }, events: { [EVENT_TYPES.verification]: { complete_until: -1 } } }],
    [
      'half a snapshot',
      { sub_id: { id: 'a' }, events: { [EVENT_TYPES.verification]: { complete_until: 1, entries: 1 } } },
    ],
    ['prototype', { ...good, sub_id: JSON.parse('{"__proto__":{"format":"iss_sub","sub":"u"}}') }],
  ]
  for (const [name, claims] of rows) t.match(open(claims), { ok: false, refusal: 'event_malformed' }, name)
})

test('no claims make it throw', async (t) => {
  fc.assert(
    fc.property(fc.object({ maxDepth: 4 }), (claims) => {
      const token = signJws(key, SECURITY_EVENT_TYPE, { iss: ISSUER, ...claims })
      if (token.length <= 8192) t.equal(openSecurityEvent(token, keyFor, ISSUER).ok, false)
    }),
    { numRuns: 200 },
  )
})
