import fc from 'fast-check'
import { test } from 'tap'
import { refusedFrom } from '../../shared/access-token.ts'
import { LEEWAY_S } from '../../shared/clock.ts'
import {
  parseRevocation,
  partitionKey,
  type Revocation,
  revocationExpiry,
  revocationId,
} from '../../shared/revocation.ts'

const SESSION: Revocation = { kind: 'session', sid: 's', sub: 'u', exp: 10 }
const USER: Revocation = { kind: 'user', sub: 'u', epoch: 2, exp: 10 }
const KEY: Revocation = { kind: 'key', kid: 'k', exp: 10 }

test('one name for one revocation, one partition for one user', async (t) => {
  t.same([SESSION, USER, KEY].map(revocationId), ['session:s', 'user:u:2', 'key:k'])
  t.same([SESSION, USER, KEY].map(partitionKey), ['u', 'u', 'k'])
})

const id = fc.string({ minLength: 1, maxLength: 6, unit: fc.constantFrom('a', ':', '1', '2') })
const exp = fc.integer({ min: 1 })
const revocation: fc.Arbitrary<Revocation> = fc.oneof(
  fc.record({ kind: fc.constant('session' as const), sid: id, sub: id, exp }),
  fc.record({ kind: fc.constant('user' as const), sub: id, epoch: fc.integer({ min: 1, max: 30 }), exp }),
  fc.record({ kind: fc.constant('key' as const), kid: id, exp }),
)

test('two revocations of different things have different names', async () => {
  const subject = (one: Revocation) =>
    JSON.stringify(one.kind === 'user' ? [one.kind, one.sub, one.epoch] : [one.kind, 'sid' in one ? one.sid : one.kid])
  fc.assert(
    fc.property(
      revocation,
      revocation,
      (a, b) => (revocationId(a) === revocationId(b)) === (subject(a) === subject(b)),
    ),
    { numRuns: 2000 },
  )
})

test('what was written is read, and nothing besides', async (t) => {
  for (const one of [SESSION, USER, KEY]) {
    t.same(parseRevocation(JSON.parse(JSON.stringify(one))), one)
    t.same(parseRevocation({ ...one, more: 1 }), one)
  }
})

const WRONG: unknown[] = [
  undefined,
  null,
  'session',
  [],
  {},
  { ...SESSION, kind: 'Session' },
  { ...SESSION, kind: undefined },
  { ...SESSION, sid: undefined },
  { ...SESSION, sid: '' },
  { ...SESSION, sid: 1 },
  { ...SESSION, sid: ['s'] },
  { ...SESSION, sid: 'x'.repeat(257) },
  { ...SESSION, sub: undefined },
  { ...SESSION, exp: undefined },
  { ...SESSION, exp: '10' },
  { ...SESSION, exp: 0 },
  { ...SESSION, exp: -1 },
  { ...SESSION, exp: 1.5 },
  { ...SESSION, exp: Number.POSITIVE_INFINITY },
  { ...USER, sub: '' },
  { ...USER, epoch: undefined },
  { ...USER, epoch: '2' },
  { ...USER, epoch: 0 },
  { ...USER, epoch: 1.5 },
  { ...KEY, kid: undefined },
  { ...KEY, kid: '' },
]

test('missing or wrongly typed parts are no revocation', async (t) => {
  for (const value of WRONG) t.equal(parseRevocation(value), undefined, JSON.stringify(value))
})

test('revocation expiry: no token it concerns is accepted after it, on clocks within the leeway', async () => {
  const at = fc.integer({ min: 1_700_000_000_000, max: 2_000_000_000_000 })
  const skew = fc.integer({ min: 0, max: LEEWAY_S * 1000 })
  fc.assert(
    fc.property(at, fc.integer({ min: 1, max: 86_400 }), skew, (revokedAtMs, lifetimeS, skewMs) => {
      // Issued at the last moment, by a clock that is ahead.
      const exp = Math.floor((revokedAtMs + skewMs) / 1000) + lifetimeS
      return refusedFrom(exp) <= revocationExpiry(revokedAtMs, lifetimeS) * 1000
    }),
  )
})
