import fc from 'fast-check'
import { test } from 'tap'
import { type OutboxParts, publishRound } from '../../../issuer/adapters/outbox.ts'
import { createReplay } from '../../../issuer/adapters/replay.ts'
import type { OutgoingEvent } from '../../../issuer/domain/ports.ts'
import { KEYS_LEASE_MS, keyRevocation, type StoredSigningKey } from '../../../issuer/domain/signing-key.ts'
import type { SigningKeyPair } from '../../../shared/jws.ts'
import { type Revocation, revocationId } from '../../../shared/revocation.ts'
import { openSecurityEvent, type SecurityEvent } from '../../../shared/security-event.ts'
import { entry, ISSUER, manualClock, memoryLedger, session, signer, signingKey } from '../../helpers/revocations.ts'

const LIFETIME_S = 300
const [old, next] = [signingKey('ES256', 'old'), signingKey('ES256', 'next')]

function storedKey(kid: string, more: Partial<StoredSigningKey> = {}): StoredSigningKey {
  return {
    kid,
    alg: 'ES256',
    state: 'current',
    sealedPrivateKey: 'sealed',
    createdAt: 0,
    signsFrom: 0,
    retiredAt: null,
    revokedAt: null,
    ...more,
  }
}

const revoked = (kid: string, revokedAt: number) =>
  storedKey(kid, { state: 'gone', sealedPrivateKey: '', retiredAt: revokedAt, revokedAt })

interface Sent {
  kid: string
  event: SecurityEvent
}

/** One log for all, and issuers that know as much of the keys as they are told. */
function setUp() {
  const clock = manualClock()
  const ledger = memoryLedger()
  const log: Sent[] = []
  let failing = false
  const publisher = {
    async publish(events: OutgoingEvent[]) {
      if (failing) throw new Error('no broker')
      for (const { token } of events) {
        const pair = [old, next].find(({ kid }) => token.startsWith(head(kid)))!
        const opened = openSecurityEvent(token, () => pair, ISSUER)
        if (opened.ok) log.push({ kid: pair.kid, event: opened.event })
      }
    },
  }
  const issuer = (instance: string) => {
    const known = { keys: [storedKey('old')] as StoredSigningKey[], pair: old as SigningKeyPair }
    const replay = createReplay({ ledger, storedKeys: () => known.keys, lifetimeS: LIFETIME_S, instance, clock })
    const sign = (event: SecurityEvent) => signer(known.pair, ISSUER, clock)(event)
    const parts: OutboxParts = { ledger, publisher, sign, instance, clock, replay }
    return {
      /** Learns that the old key was revoked, and signs with the next one. */
      learn(revokedAt: number) {
        known.keys = [revoked('old', revokedAt), storedKey('next', { signsFrom: revokedAt })]
        known.pair = next
      },
      round: () => publishRound(parts),
      /** What a logout does. */
      async logOut(revocation: Revocation) {
        await ledger.record([entry(revocation)])
        await publisher.publish([{ key: 'x', token: sign({ type: 'revocation', revocation }) }])
        await ledger.markPublished([revocationId(revocation)])
      },
    }
  }
  return {
    clock,
    ledger,
    log,
    issuer,
    fail(value: boolean) {
      failing = value
    },
  }
}

const head = (kid: string) =>
  Buffer.from(JSON.stringify({ alg: 'ES256', typ: 'secevent+jwt', kid })).toString('base64url')
const idOf = ({ event }: Sent) => (event.type === 'revocation' ? revocationId(event.revocation) : event.type)
const sentBy = (log: Sent[], kid: string) => log.filter((sent) => sent.kid === kid).map(idOf)

test('without a revoked key nothing is said twice', async (t) => {
  const { log, issuer } = setUp()
  const one = issuer('a')
  await one.logOut(session('s'))
  for (let n = 0; n < 3; n++) await one.round()
  t.same(log.map(idOf), ['session:s', 'heartbeat', 'heartbeat', 'heartbeat'])
})

test('what a revoked key has signed is said again by the next one, before its first heartbeat', async (t) => {
  const { log, issuer, clock, ledger } = setUp()
  const one = issuer('a')
  for (let n = 0; n < 1500; n++) await ledger.record([entry(session(`s${n}`))])
  await one.round()
  await ledger.record([entry(keyRevocation('old', clock.now()))])
  one.learn(clock.now())
  await one.round()
  const said = sentBy(log, 'next')
  t.equal(said.at(-1), 'heartbeat')
  t.equal(said.filter((id) => id === 'heartbeat').length, 1)
  t.same(new Set(said).size, 1502, 'all 1500, the key, and the heartbeat')
  log.length = 0
  await one.round()
  // A read of the ledger may give its last entry again.
  t.ok(sentBy(log, 'next').length <= 2, 'once')
})

test('what an issuer that lags behind goes on publishing with it is said again too, for as long as it can', async (t) => {
  const { log, issuer, clock, ledger } = setUp()
  const [aware, lagging] = [issuer('a'), issuer('b')]
  await ledger.record([entry(keyRevocation('old', clock.now()))])
  aware.learn(clock.now())
  await aware.round()
  for (let n = 0; n < 5; n++) {
    clock.advance(KEYS_LEASE_MS / 2)
    log.length = 0
    await lagging.logOut(session(`s${n}`))
    await aware.round()
    const said = sentBy(log, 'next')
    t.ok(n === 4 || said.includes(`session:s${n}`), `after ${((n + 1) * KEYS_LEASE_MS) / 2} ms`)
    t.equal(said.at(-1), 'heartbeat')
  }
})

test('an issuer that starts while events of a revoked key can still matter says everything again', async (t) => {
  const { log, issuer, clock, ledger } = setUp()
  await issuer('dead').logOut(session('s'))
  await ledger.record([entry(keyRevocation('old', clock.now()))])
  const revokedAt = clock.now()
  clock.advance(60_000)
  const late = issuer('late')
  late.learn(revokedAt)
  await late.round()
  t.ok(sentBy(log, 'next').includes('session:s'))
})

test('key revocations are repeated for as long as they hold, before the log forgets them', async (t) => {
  const { log, issuer, clock, ledger, fail } = setUp()
  const one = issuer('a')
  const revokedAt = clock.now()
  await ledger.record([entry(keyRevocation('old', revokedAt))])
  one.learn(revokedAt)
  await one.round()
  for (let hour = 0; hour < 2; hour++) {
    log.length = 0
    for (let second = 0; second < 3600; second += 10) {
      clock.advance(10_000)
      await one.round()
    }
    const times = sentBy(log, 'next').filter((id) => id === 'key:old').length
    t.ok(times >= 12 && times <= (hour === 0 ? 16 : 12), `once in five minutes, for Kafka keeps twenty: ${times} times`)
  }
  // After an outage the log may be another one: at once, and before the heartbeat.
  fail(true)
  await t.rejects(one.round())
  fail(false)
  log.length = 0
  await one.round()
  t.same(sentBy(log, 'next'), ['key:old', 'heartbeat'])
  clock.advance(32 * 86_400_000)
  log.length = 0
  await one.round()
  t.same(sentBy(log, 'next'), ['heartbeat'], 'in the end it is over')
})

test('a key that turns out to be revoked while a round is under way: no heartbeat of the next one before the replay', async (t) => {
  const { issuer, clock, ledger, log } = setUp()
  const one = issuer('a')
  await one.logOut(session('s'))
  const { unpublished } = ledger
  ledger.unpublished = async (...args) => {
    const found = await unpublished(...args)
    queueMicrotask(() => queueMicrotask(() => one.learn(clock.now())))
    return found
  }
  await one.round()
  const heartbeat = log.find(({ event }) => event.type === 'heartbeat')!
  if (heartbeat.kid === 'next') t.same(sentBy(log, 'next'), ['session:s', 'key:old', 'heartbeat'])
  else t.fail('the test did not hit the moment it is about')
})

// The guarantee: a sidecar that believes only the next key knows, at each heartbeat, every revocation that was recorded
// before the instant the heartbeat names.
test('property: at every heartbeat of the next key all that it claims has been said by the next key', async (t) => {
  const act = fc.record({
    act: fc.constantFrom('logout' as const, 'round' as const, 'learn' as const, 'record' as const),
    issuer: fc.nat(2),
    afterMs: fc.nat(4000),
  })
  const property = fc.asyncProperty(fc.array(act, { maxLength: 40 }), async (acts) => {
    const { clock, ledger, log, issuer } = setUp()
    const issuers = [issuer('a'), issuer('b'), issuer('c')]
    const aware = new Set<number>()
    let revokedAt: number | undefined
    const recordedAt = new Map<string, number>()
    let n = 0
    for (const { act, issuer: index, afterMs } of acts) {
      clock.advance(afterMs)
      const now = clock.now()
      const one = issuers[index]!
      // Nobody acts on what he has not read for longer than the lease.
      for (const [other, lagging] of issuers.entries()) {
        if (revokedAt !== undefined && now - revokedAt > KEYS_LEASE_MS && !aware.has(other)) {
          aware.add(other)
          lagging.learn(revokedAt)
        }
      }
      if (act === 'learn' && !aware.has(index)) {
        if (revokedAt === undefined) {
          revokedAt = now
          await ledger.record([entry(keyRevocation('old', now))])
          recordedAt.set('key:old', now)
        }
        aware.add(index)
        one.learn(revokedAt)
      }
      if (act === 'logout' || act === 'record') {
        const revocation = session(`s${n++}`)
        recordedAt.set(revocationId(revocation), now)
        if (act === 'logout') await one.logOut(revocation)
        else await ledger.record([entry(revocation)])
      }
      if (act === 'round') await one.round()
      for (const [place, { kid, event }] of log.entries()) {
        if (event.type !== 'heartbeat' || kid !== 'next') continue
        const said = new Set(sentBy(log.slice(0, place), 'next'))
        for (const [id, at] of recordedAt) if (at < event.completeUntilMs && !said.has(id)) return false
      }
    }
    return true
  })
  await t.resolves(fc.assert(property, { numRuns: 300 }))
})
