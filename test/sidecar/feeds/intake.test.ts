import { randomUUID } from 'node:crypto'
import { test } from 'tap'
import { LEEWAY_S } from '../../../shared/clock.ts'
import type { Revocation } from '../../../shared/revocation.ts'
import { createKeyRing } from '../../../sidecar/domain/key-ring.ts'
import { createRevocationList } from '../../../sidecar/domain/revocation-list.ts'
import { createIntake } from '../../../sidecar/feeds/intake.ts'
import {
  base,
  ISSUER,
  MAX_STALENESS_MS,
  manualClock,
  metric,
  session,
  signer,
  signingKey,
} from '../../helpers/revocations.ts'

const key = signingKey()

function setUp(t: Parameters<typeof base>[0]) {
  const parts = base(t)
  const clock = manualClock()
  const ring = createKeyRing({ maxStaleMs: 60_000 })
  ring.replace([key], clock.now())
  const revocations = createRevocationList()
  const told: Revocation[] = []
  const onRevocation = (revocation: Revocation) => void told.push(revocation)
  const settings = { issuer: ISSUER, maxStalenessMs: MAX_STALENESS_MS }
  const intake = createIntake({ ring, revocations, onRevocation, clock, ...settings, ...parts })
  return { ...parts, clock, ring, revocations, told, intake }
}

const revoked = (revocation: Revocation) => signer(key)({ type: 'revocation', revocation })
const heartbeat = (completeUntilMs: number) => signer(key)({ type: 'heartbeat', instance: 'a', completeUntilMs })

test('a revocation is entered and told of once, however often and by whichever feed it comes', async (t) => {
  const { intake, told, revocations, metrics } = setUp(t)
  const revocation = session('one')
  t.same(intake.read(revoked(revocation), 'kafka'), { outcome: 'applied', kid: key.kid })
  t.same(intake.read(revoked(revocation), 'stream'), { outcome: 'repeated' })
  intake.apply(revocation, 'stream')
  t.same(told, [revocation])
  t.equal(revocations.size, 1)
  const count = (labels: Record<string, string>) => metric(metrics, 'revocation_events_total', labels)
  t.equal(await count({ feed: 'kafka', kind: 'session', outcome: 'applied' }), 1)
  t.equal(await count({ feed: 'stream', kind: 'session', outcome: 'repeated' }), 2)
})

test('what is known need not be genuine: its signature is not checked, and nothing comes of it', async (t) => {
  const { intake, told, revocations, clock } = setUp(t)
  const forger = signer(signingKey('ES256', key.kid))
  const forged = (revocation: Revocation) => intake.read(forger({ type: 'revocation', revocation }), 'kafka')
  const exp = Math.floor(clock.now() / 1000) + 600
  const known: Revocation[] = [
    { kind: 'session', sid: 'one', sub: 'u', exp },
    { kind: 'session', sid: randomUUID(), sub: 'u', exp },
    { kind: 'user', sub: 'u', epoch: 3, exp },
    { kind: 'key', kid: 'another', exp },
  ]
  for (const revocation of known) intake.apply(revocation, 'stream')
  for (const revocation of known) {
    t.same(forged(revocation), { outcome: 'repeated' }, revocation.kind)
    t.match(forged({ ...revocation, exp: exp + 1 }), { reason: 'signature_invalid' }, `${revocation.kind}, for longer`)
  }
  const { sub } = known[2] as Extract<Revocation, { kind: 'user' }>
  t.match(forged({ kind: 'user', sub, epoch: 4, exp }), { reason: 'signature_invalid' })
  t.match(forged({ kind: 'user', sub, epoch: 2, exp }), { reason: 'signature_invalid' })
  t.match(forged(session()), { reason: 'signature_invalid' })
  t.same(told, known)
  t.equal(revocations.size, known.length)
})

test('a revoked key leaves the ring, and its events are unknown from then on', async (t) => {
  const { intake, ring, told } = setUp(t)
  const stolen = signingKey()
  ring.replace([key, stolen], 0)
  intake.read(revoked({ kind: 'key', kid: stolen.kid, exp: 4e9 }), 'kafka')
  const later = signer(stolen)({ type: 'revocation', revocation: session() })
  t.same(intake.read(later, 'kafka'), { outcome: 'key_unknown', kid: stolen.kid })
  t.equal(told.length, 1)
})

test('proofs: as old as the bound allows and no further ahead than clocks may differ', async (t) => {
  const { intake, clock } = setUp(t)
  const now = clock.now()
  const [oldest, latest] = [now - MAX_STALENESS_MS - LEEWAY_S * 1000, now + LEEWAY_S * 1000]
  t.match(intake.read(heartbeat(now), 'kafka'), { outcome: 'proof', proof: { completeUntilMs: now } })
  t.match(intake.read(heartbeat(oldest), 'kafka'), { outcome: 'proof' })
  t.match(intake.read(heartbeat(oldest - 1), 'kafka'), { outcome: 'outdated' })
  t.match(intake.read(heartbeat(latest), 'kafka'), { outcome: 'proof' })
  t.match(intake.read(heartbeat(latest + 1), 'kafka'), { outcome: 'refused', reason: 'in_the_future' })
})

test('of what is outdated nothing is believed, whoever signed it', async (t) => {
  const { intake, told, clock } = setUp(t)
  const forger = signer(signingKey('ES256', key.kid))
  const over = { ...session('over'), exp: Math.floor(clock.now() / 1000) }
  t.same(intake.read(forger({ type: 'revocation', revocation: over }), 'kafka'), { outcome: 'outdated' })
  t.same(intake.read(forger({ type: 'heartbeat', instance: 'a', completeUntilMs: 1 }), 'kafka'), {
    outcome: 'outdated',
  })
  t.same(told, [])
})

test('refusals are counted each, and logged once for each feed and reason', async (t) => {
  const { intake, metrics, lines } = setUp(t)
  for (let n = 0; n < 5; n++) {
    intake.read('nonsense', 'kafka')
    intake.read('nonsense', 'stream')
    intake.refuse('key_absent', 'kafka')
  }
  t.equal(await metric(metrics, 'revocation_events_total', { outcome: 'event_malformed' }), 10)
  t.equal(await metric(metrics, 'revocation_events_total', { outcome: 'key_absent' }), 5)
  t.equal(lines.length, 3)
})

test('a clock that was ahead for a while: what was passed over meanwhile has to be read again', async (t) => {
  const { intake, clock, revocations } = setUp(t)
  const began = clock.now()
  const revocation = session('meanwhile')
  clock.advance(3_600_000)
  t.same(intake.read(revoked(revocation), 'kafka'), { outcome: 'outdated' })
  t.same(intake.read(revoked(revocation), 'stream'), { outcome: 'outdated' })
  clock.set(began)
  for (const [feed, outcome] of [
    ['kafka', 'applied'],
    ['stream', 'repeated'],
  ] as const) {
    const proof = heartbeat(clock.now())
    t.same(intake.read(proof, feed), { outcome: 'refused', reason: 'clock_set_back' }, feed)
    t.match(intake.read(revoked(revocation), feed), { outcome }, 'whoever is told begins anew')
    t.match(intake.read(proof, feed), { outcome: 'proof' })
  }
  t.equal(revocations.size, 1)
})

test('a clock that is set back by a moment is nothing of the kind', async (t) => {
  const { intake, clock } = setUp(t)
  intake.read(revoked({ ...session(), exp: Math.floor(clock.now() / 1000) - 1 }), 'kafka')
  clock.advance(-100)
  t.match(intake.read(heartbeat(clock.now()), 'kafka'), { outcome: 'proof' })
})
