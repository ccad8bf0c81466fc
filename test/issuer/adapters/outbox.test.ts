import fc from 'fast-check'
import { test } from 'tap'
import { type OutboxParts, publishRound, startOutbox } from '../../../issuer/adapters/outbox.ts'
import type { Ledger, OutgoingEvent, Publisher } from '../../../issuer/domain/ports.ts'
import { LEEWAY_S } from '../../../shared/clock.ts'
import { type Revocation, revocationId } from '../../../shared/revocation.ts'
import { peekSecurityEvent, type SecurityEvent } from '../../../shared/security-event.ts'
import { eventually } from '../../helpers/eventually.ts'
import {
  base,
  entry,
  ISSUER,
  manualClock,
  memoryLedger,
  metric,
  session,
  signer,
  signingKey,
} from '../../helpers/revocations.ts'
import { ADAPTERS } from '../../helpers/stores.ts'

const key = signingKey()

/** A broker log in memory that acknowledges everything, unless `fail` is set. */
function memoryFeed() {
  const log: SecurityEvent[] = []
  const keys: (string | undefined)[] = []
  const feed = {
    log,
    keys,
    fail: false,
    async publish(events: OutgoingEvent[]) {
      if (feed.fail) throw new Error('no broker')
      for (const { key, token } of events) {
        keys.push(key)
        log.push(peekSecurityEvent(token, ISSUER)!)
      }
    },
  }
  return feed
}

function setUp(more: Partial<OutboxParts> = {}) {
  const clock = manualClock()
  const ledger = memoryLedger()
  const publisher = memoryFeed()
  const parts: OutboxParts = { ledger, publisher, sign: signer(key), instance: 'a', clock, ...more }
  return { clock, ledger, publisher, parts }
}

const kinds = (events: SecurityEvent[]) => events.map(({ type }) => type)

test('a round publishes what is due, marks it, and says so', async (t) => {
  const { ledger, publisher, parts, clock } = setUp()
  const [one, two] = [session('one', 'user-1'), { kind: 'key', kid: 'k', exp: 4e9 } as const]
  await ledger.record([entry(one), entry(two)])
  t.equal(await publishRound(parts), 2)
  t.same(publisher.log, [
    { type: 'revocation', revocation: one },
    { type: 'revocation', revocation: two },
    { type: 'heartbeat', instance: 'a', completeUntilMs: clock.now() },
  ])
  t.same(publisher.keys, ['user-1', 'k', undefined], 'the key keeps a user in order; a heartbeat is for all partitions')
  t.ok(ledger.entries.every(({ published }) => published))
  t.equal(await publishRound(parts), 0, 'nothing is published twice')
  t.equal(publisher.log.length, 4)
})

test('a backlog of many batches is published before the heartbeat', async (t) => {
  const { ledger, publisher, parts } = setUp()
  await ledger.record(Array.from({ length: 1234 }, (_, n) => entry(session(`s${n}`))))
  t.equal(await publishRound(parts), 1234)
  t.equal(kinds(publisher.log).indexOf('heartbeat'), 1234)
})

test('what is over by the own clock may not be by that of others, within the leeway', async (t) => {
  const { ledger, publisher, parts, clock } = setUp()
  const nowS = Math.floor(clock.now() / 1000)
  const [over, due] = [LEEWAY_S, LEEWAY_S - 1].map((ago) => ({ ...session(), exp: nowS - ago }))
  await ledger.record([over!, due!].map(entry))
  t.equal(await publishRound(parts), 1)
  t.match(publisher.log[0], { revocation: due })
})

// The wrong variants of the model, one by one. The fourth, freshness by arrival, is the sidecar's.

test('wrong variant: a heartbeat without reading the ledger', async (t) => {
  let reads = 0
  const { ledger, publisher, parts } = setUp()
  const unpublished: Ledger['unpublished'] = (...args) => {
    reads++
    return ledger.unpublished(...args)
  }
  await publishRound({ ...parts, ledger: { ...ledger, unpublished } })
  t.equal(reads, 1, 'even when nothing is due')
  await publishRound({
    ...parts,
    ledger: { ...ledger, unpublished: async () => Promise.reject(new Error('no store')) },
  }).catch(() => {})
  t.equal(kinds(publisher.log).filter((kind) => kind === 'heartbeat').length, 1, 'no read, no heartbeat')
})

test('wrong variant: complete_until taken when sending', async (t) => {
  const { clock, ledger, publisher, parts } = setUp()
  const began = clock.now()
  await ledger.record([entry(session('before'))])
  const slow: Publisher = {
    async publish(events) {
      clock.advance(1000)
      await publisher.publish(events)
      // Another issuer records this one while we are sending: no heartbeat of this round may cover it.
      await ledger.record([entry(session('meanwhile'))])
      clock.advance(1000)
    },
  }
  const slowLedger: OutboxParts['ledger'] = {
    ...ledger,
    async unpublished(...args) {
      clock.advance(1000)
      return ledger.unpublished(...args)
    },
  }
  await publishRound({ ...parts, publisher: slow, ledger: slowLedger })
  t.match(publisher.log.at(-1), { type: 'heartbeat', completeUntilMs: began })
})

test("wrong variant: an entry marked before the broker's acknowledgement", async (t) => {
  const { ledger, publisher, parts } = setUp()
  await ledger.record([entry(session('one'))])
  const acknowledgement = Promise.withResolvers<void>()
  const sent = Promise.withResolvers<void>()
  const slow: Publisher = {
    async publish(events) {
      sent.resolve()
      await acknowledgement.promise
      await publisher.publish(events)
    },
  }
  const round = publishRound({ ...parts, publisher: slow })
  await sent.promise
  t.notOk(ledger.entries[0]!.published)
  acknowledgement.resolve()
  await round
  t.ok(ledger.entries[0]!.published)

  await ledger.record([entry(session('two'))])
  publisher.fail = true
  await t.rejects(publishRound(parts), { message: 'no broker' })
  t.notOk(ledger.entries[1]!.published, 'and not at all when there is none')
})

for (const { name, skip, place } of ADAPTERS) {
  test(`wrong variant: an issuer that looks at its own entries only (${name})`, { skip }, async (t) => {
    const { open } = await place(t)
    const [a, b] = [await open(), await open()]
    await a.ledger.record([entry(session('recorded by a'))])
    const { publisher, parts } = setUp()
    t.equal(await publishRound({ ...parts, ledger: b.ledger, instance: 'b' }), 1)
    t.same(kinds(publisher.log), ['revocation', 'heartbeat'])
    t.same(await a.ledger.unpublished('a', 10), [], 'and it is marked for all')
  })
}

test('an issuer that cannot publish claims nothing; one that can publishes its entries', async (t) => {
  const ledger = memoryLedger()
  const topic = memoryFeed()
  const cutOff = memoryFeed()
  cutOff.fail = true
  const a = setUp({ ledger, publisher: cutOff, instance: 'a' }).parts
  const b = setUp({ ledger, publisher: topic, instance: 'b' }).parts
  await ledger.record([entry(session('logged out at a'))])
  await t.rejects(publishRound(a))
  t.same(cutOff.log, [])
  await publishRound(b)
  t.same(kinds(topic.log), ['revocation', 'heartbeat'])
  t.match(topic.log[1], { instance: 'b' })
  await t.rejects(publishRound(a), 'with nothing left to publish it still has no heartbeat to its name')
})

test('a crash between publishing and marking costs a repetition and no revocation', async (t) => {
  const { ledger, publisher, parts } = setUp()
  await ledger.record([entry(session('one'))])
  const crash = { ...ledger, markPublished: () => Promise.reject(new Error('crash')) }
  await t.rejects(publishRound({ ...parts, ledger: crash }))
  t.same(kinds(publisher.log), ['revocation'], 'no heartbeat either')
  await publishRound(parts)
  t.same(kinds(publisher.log), ['revocation', 'revocation', 'heartbeat'])
})

/**
 * Two issuers with a logout and some rounds each, every step delayed at will, publishing failing before or after the
 * write at will. Returns the first revocation that a heartbeat claims and the log does not have before it.
 */
async function brokenPromise(
  scheduler: fc.Scheduler,
  failures: boolean[],
  bend: (parts: OutboxParts, owner: (id: string) => string) => OutboxParts,
): Promise<string | undefined> {
  let time = 1
  const clock = { now: () => time++ }
  const store = memoryLedger()
  const committedAt = new Map<string, number>()
  const owners = new Map<string, string>()
  const log: SecurityEvent[] = []
  const step = (name: string) => scheduler.schedule(Promise.resolve(), name)
  let sent = 0
  const publisher: Publisher = {
    async publish(events) {
      await step('send')
      const failure = failures[sent++ % failures.length] ? sent % 3 : 0
      if (failure === 1) throw new Error('lost on the way')
      for (const { token } of events) log.push(peekSecurityEvent(token, ISSUER)!)
      await step('acknowledge')
      if (failure === 2) throw new Error('the acknowledgement was lost')
    },
  }
  const ledger: OutboxParts['ledger'] & Pick<Ledger, 'record'> = {
    async record(entries) {
      await step('record')
      const recorded = await store.record(entries)
      for (const { id } of entries) committedAt.set(id, clock.now())
      return recorded
    },
    async unpublished(...args) {
      await step('read')
      const entries = await store.unpublished(...args)
      await step('answer')
      return entries
    },
    async markPublished(ids) {
      await step('mark')
      await store.markPublished(ids)
    },
  }
  const issuer = async (instance: string) => {
    const real: OutboxParts = { ledger, publisher, sign: signer(key), instance, clock }
    const parts = bend(real, (id) => owners.get(id)!)
    const logout = async () => {
      const revocation = session(`of ${instance}`)
      const id = revocationId(revocation)
      owners.set(id, instance)
      await ledger.record([entry(revocation)])
      const token = parts.sign({ type: 'revocation', revocation })
      await parts.publisher.publish([{ key: instance, token }])
      await parts.ledger.markPublished([id])
    }
    const rounds = async () => {
      for (let n = 0; n < 3; n++) await publishRound(parts).catch(() => {})
    }
    await Promise.all([logout().catch(() => {}), rounds()])
  }
  const all = Promise.all([issuer('a'), issuer('b')])
  await scheduler.waitFor(all)
  return firstLie(log, committedAt)
}

function firstLie(log: SecurityEvent[], committedAt: Map<string, number>): string | undefined {
  const read = new Set<string>()
  for (const event of log) {
    if (event.type === 'revocation') read.add(revocationId(event.revocation as Revocation))
    else {
      for (const [id, at] of committedAt) if (at < event.completeUntilMs && !read.has(id)) return id
    }
  }
  return undefined
}

const interleavings = (bend: Parameters<typeof brokenPromise>[2]) =>
  fc.asyncProperty(
    fc.scheduler(),
    fc.array(fc.boolean(), { minLength: 1, maxLength: 8 }),
    async (scheduler, failures) => (await brokenPromise(scheduler, failures, bend)) === undefined,
  )

test('in every order of steps, a heartbeat in the log is true', async (t) => {
  const result = await fc.check(
    interleavings((parts) => parts),
    { numRuns: 500 },
  )
  t.notOk(result.failed, fc.defaultReportMessage(result) ?? '')
})

test('and the same search finds the lie of each wrong variant', async (t) => {
  const variants: Record<string, Parameters<typeof brokenPromise>[2]> = {
    'a heartbeat without reading the ledger': (parts) => ({
      ...parts,
      ledger: { ...parts.ledger, unpublished: async () => [] },
    }),
    'complete_until taken when sending': (parts) => ({
      ...parts,
      sign: (event) =>
        parts.sign(event.type === 'heartbeat' ? { ...event, completeUntilMs: parts.clock.now() } : event),
    }),
    'marked before the acknowledgement': (parts) => ({
      ...parts,
      publisher: {
        async publish(events) {
          const ids = events.map(({ token }) => peekSecurityEvent(token, ISSUER)!)
          const due = ids.flatMap((event) => (event.type === 'revocation' ? [revocationId(event.revocation)] : []))
          await parts.ledger.markPublished(due)
          await parts.publisher.publish(events)
        },
      },
    }),
    'own entries only': (parts, owner) => ({
      ...parts,
      ledger: {
        ...parts.ledger,
        unpublished: async (instance, limit) =>
          (await parts.ledger.unpublished(instance, limit)).filter(({ id }) => owner(id) === instance),
      },
    }),
  }
  for (const [name, bend] of Object.entries(variants)) {
    const result = await fc.check(interleavings(bend), { numRuns: 500 })
    t.ok(result.failed, name)
  }
})

test('rounds follow each other, never two at once, and a failure is logged once', async (t) => {
  const { log, lines, metrics, lifecycle } = base(t)
  const { ledger, publisher, parts } = setUp({ clock: { now: () => Date.now() } })
  let running = 0
  let most = 0
  const slow: Publisher = {
    async publish(events) {
      most = Math.max(most, ++running)
      await new Promise((resolve) => setTimeout(resolve, 15))
      running--
      await publisher.publish(events)
    },
  }
  startOutbox({ ...parts, publisher: slow, intervalMs: 5, log, metrics, lifecycle })
  await eventually(() => publisher.log.length >= 3)
  t.equal(most, 1)

  publisher.fail = true
  await ledger.record([entry(session('one'))])
  await eventually(async () => (await metric(metrics, 'revocation_outbox_rounds_total', { outcome: 'failed' })) >= 3)
  t.equal(await metric(metrics, 'revocation_outbox_backlog'), 1)
  t.ok((await metric(metrics, 'revocation_outbox_last_success_age_seconds')) > 0)
  t.equal(lines.filter((line) => line.includes('cannot be published')).length, 1)

  publisher.fail = false
  await eventually(() => ledger.entries[0]!.published)
  await eventually(() => lines.some((line) => line.includes('published again')))
  t.equal(await metric(metrics, 'revocation_outbox_published_total'), 1)
  await lifecycle.close()
  const rounds = publisher.log.length
  await new Promise((resolve) => setTimeout(resolve, 30))
  t.equal(publisher.log.length, rounds, 'and they stop')
})
