import { connect } from 'node:net'
import { PassThrough, Writable } from 'node:stream'
import { test } from 'tap'
import type { Revocation } from '../../../shared/revocation.ts'
import { openSecurityEvent, type SecurityEvent } from '../../../shared/security-event.ts'
import type { ServerSentEvent } from '../../../sidecar/feeds/server-sent-events.ts'
import { FEED_TOKEN, readStream, startEventStream, streamKey } from '../../helpers/event-stream.ts'
import { eventually } from '../../helpers/eventually.ts'
import { entry, ISSUER, manualClock, memoryLedger, metric, session, signer } from '../../helpers/revocations.ts'
import { ADAPTERS } from '../../helpers/stores.ts'

const opened = (event: ServerSentEvent): SecurityEvent => {
  const result = openSecurityEvent(event.data, (kid) => (kid === streamKey.kid ? streamKey : undefined), ISSUER)
  if (!result.ok) throw new Error(result.refusal)
  return result.event
}

const sid = (event: SecurityEvent) =>
  event.type === 'revocation' && event.revocation.kind === 'session' ? event.revocation.sid : undefined

/** Reads on to the next event of the type, passing over others. */
async function nextOf(reader: { next(): Promise<ServerSentEvent> }, type: SecurityEvent['type']) {
  for (;;) {
    const raw = await reader.next()
    if (raw.type !== 'set') continue
    const event = opened(raw)
    if (event.type === type) return { event, id: raw.id }
  }
}

test('a snapshot of all that is live, then every revocation and heartbeats', async (t) => {
  const { url, ledger } = await startEventStream(t)
  const live = Array.from({ length: 1500 }, (_, n) => session(`s${n}`))
  const over: Revocation = { ...session('over'), exp: Math.floor(Date.now() / 1000) - 1 }
  await ledger.record([over, ...live].map(entry))
  const reader = await readStream(t, url)
  t.equal(reader.response.headers.get('content-type'), 'text/event-stream')
  t.equal(reader.response.headers.get('cache-control'), 'no-store')
  const entries: Revocation[] = []
  let event = await reader.next()
  while (event.type === 'entries') {
    const part = JSON.parse(event.data)
    t.ok(part.length <= 1000)
    entries.push(...part)
    event = await reader.next()
  }
  t.same(entries, live)
  t.match(opened(event), { type: 'snapshot', instance: 'a', entries: 1500 })
  await nextOf(reader, 'heartbeat')
  await ledger.record([entry(session('recorded by another issuer'))])
  for (;;) {
    // The tail may repeat the last one.
    const name = sid((await nextOf(reader, 'revocation')).event)
    if (name === 'recorded by another issuer') break
    t.equal(name, 's1499')
  }
})

test('what the ledger gives twice goes out once', async (t) => {
  const { url, ledger, stream } = await startEventStream(t)
  const reader = await readStream(t, url)
  await nextOf(reader, 'snapshot')
  for (let n = 0; n < 20; n++) {
    const revocation = session(`s${n}`)
    await ledger.record([entry(revocation)])
    stream.notify([{ revocation }])
    stream.notify([{ revocation }])
    t.equal(sid((await nextOf(reader, 'revocation')).event), `s${n}`)
  }
})

for (const { name, skip, place } of ADAPTERS) {
  test(`two issuers on one ledger (${name}): what one records, the other sends`, { skip }, async (t) => {
    const { open } = await place(t)
    const [a, b] = [await open(), await open()]
    await a.ledger.record([entry(session('before'))])
    const { url } = await startEventStream(t, { ledger: b.ledger })
    const reader = await readStream(t, url)
    t.match(JSON.parse((await reader.next()).data), [{ sid: 'before' }])
    await nextOf(reader, 'snapshot')
    for (let n = 0; n < 10; n++) {
      await a.ledger.record([entry(session(`s${n}`))])
      let name: string | undefined
      // A tail may go back a little and repeat what the snapshot had.
      while (name === undefined || name === 'before') name = sid((await nextOf(reader, 'revocation')).event)
      t.equal(name, `s${n}`)
    }
  })
}

test("the issuer's own revocations go out at once, without waiting for the tail", async (t) => {
  const { url, ledger, stream } = await startEventStream(t, { tailMs: 60_000 })
  const reader = await readStream(t, url)
  await nextOf(reader, 'snapshot')
  const [one, two] = [session('notified'), session('published')]
  await ledger.record([one, two].map(entry))
  stream.notify([{ revocation: one }])
  t.equal(sid((await nextOf(reader, 'revocation')).event), 'notified')
  const token = signer(streamKey)({ type: 'revocation', revocation: two })
  const heartbeat = signer(streamKey)({ type: 'heartbeat', instance: 'x', completeUntilMs: Date.now() })
  await stream.publisher.publish([
    { key: 'k', token },
    { key: undefined, token: heartbeat },
    { key: 'k', token },
  ])
  const raw = await reader.next()
  t.equal(raw.data, token, 'as it was signed')
  stream.notify([{ revocation: session('end') }])
  t.equal(sid(opened(await reader.next())), 'end', 'once, and no heartbeat of someone else')
})

test('complete_until is when the read began whose entries have all gone out before it', async (t) => {
  const clock = manualClock()
  const ledger = memoryLedger()
  const slow = {
    live: ledger.live,
    async since(...args: Parameters<typeof ledger.since>) {
      const found = await ledger.since(...args)
      // Another issuer commits while the answer is on its way.
      clock.advance(100)
      await ledger.record([entry(session(`at ${clock.now()}`))])
      clock.advance(100)
      return found
    },
  }
  const { url } = await startEventStream(t, { clock, ledger: slow })
  const reader = await readStream(t, url)
  const have = new Set<string | undefined>()
  for (let heartbeats = 0; heartbeats < 5; ) {
    const raw = await reader.next()
    if (raw.type === 'entries') {
      for (const { sid } of JSON.parse(raw.data)) have.add(sid)
      continue
    }
    const event = opened(raw)
    have.add(sid(event))
    if (event.type === 'revocation') continue
    heartbeats += Number(event.type === 'heartbeat')
    const due = ledger.entries.map(({ entry }) => (entry.revocation.kind === 'session' ? entry.revocation.sid : ''))
    const missing = due.filter((name) => Number(name.slice(3)) < event.completeUntilMs && !have.has(name))
    t.same(missing, [], `${event.type} until ${event.completeUntilMs}`)
  }
})

test('nothing falls between the snapshot and the place the tail begins at', async (t) => {
  const ledger = memoryLedger()
  const placing = Promise.withResolvers<void>()
  const slow = {
    live: ledger.live,
    async since(...args: Parameters<typeof ledger.since>) {
      await placing.promise
      return ledger.since(...args)
    },
  }
  const { url, parts } = await startEventStream(t, { ledger: slow })
  const reader = await readStream(t, url)
  await eventually(async () => (await metric(parts.metrics, 'revocation_stream_subscribers')) === 1)
  await new Promise((resolve) => setTimeout(resolve, 30))
  await ledger.record([entry(session('in between'))])
  placing.resolve()
  t.match(JSON.parse((await reader.next()).data), [{ sid: 'in between' }])
})

test('a ledger that cannot be read: no heartbeats, and again when it can', async (t) => {
  const ledger = memoryLedger()
  let fails = false
  const failing = {
    live: ledger.live,
    since: (...args: Parameters<typeof ledger.since>) =>
      fails ? Promise.reject(new Error('no store')) : ledger.since(...args),
  }
  const { url, parts } = await startEventStream(t, { ledger: failing })
  const reader = await readStream(t, url)
  await nextOf(reader, 'heartbeat')
  const claims: number[] = []
  const reading = (async () => {
    for (;;) {
      const { event } = await nextOf(reader, 'heartbeat')
      if (event.type === 'heartbeat') claims.push(event.completeUntilMs)
    }
  })().catch(() => {})
  fails = true
  const awayFrom = Date.now()
  await eventually(() => parts.lines.some((line) => line.includes('cannot read the ledger')))
  await new Promise((resolve) => setTimeout(resolve, 300))
  const backAt = Date.now()
  fails = false
  await eventually(() => claims.some((completeUntilMs) => completeUntilMs >= backAt))
  const ofMeanwhile = claims.filter((completeUntilMs) => completeUntilMs > awayFrom && completeUntilMs < backAt)
  t.same(ofMeanwhile, [], 'nothing is claimed')
  reader.end()
  await reading
})

test('those who left while the ledger was away leave no snapshot to be read for nobody', async (t) => {
  const ledger = memoryLedger()
  let away = true
  let snapshots = 0
  const gate = {
    live: (...args: Parameters<typeof ledger.live>) => {
      snapshots++
      return ledger.live(...args)
    },
    since: (...args: Parameters<typeof ledger.since>) =>
      away ? Promise.reject(new Error('no store')) : ledger.since(...args),
  }
  const { url, parts } = await startEventStream(t, { ledger: gate })
  const stays = await readStream(t, url)
  for (let n = 0; n < 20; n++) (await readStream(t, url)).end()
  await eventually(async () => (await metric(parts.metrics, 'revocation_stream_subscribers')) === 1)
  away = false
  await nextOf(stays, 'snapshot')
  await nextOf(stays, 'heartbeat')
  t.equal(snapshots, 1)
})

test('a clock that is ahead for a moment keeps nothing from those who listen', async (t) => {
  const clock = manualClock()
  const { url, ledger } = await startEventStream(t, { clock })
  const reader = await readStream(t, url)
  await nextOf(reader, 'snapshot')
  clock.advance(3_600_000)
  await ledger.record([entry(session('meanwhile'))])
  t.equal(sid((await nextOf(reader, 'revocation')).event), 'meanwhile')
})

test('Last-Event-ID: goes on from there without a snapshot; an unknown one gets a snapshot', async (t) => {
  const { url, ledger } = await startEventStream(t)
  const first = await readStream(t, url)
  await nextOf(first, 'snapshot')
  await ledger.record([entry(session('one'))])
  const { id } = await nextOf(first, 'revocation')
  t.match(id, /^a\.\d+$/)
  first.end()
  await ledger.record(['two', 'three'].map((name) => entry(session(name))))
  const second = await readStream(t, url, id)
  t.equal(sid((await nextOf(second, 'revocation')).event), 'two')
  t.equal(sid((await nextOf(second, 'revocation')).event), 'three')
  const heartbeat = await nextOf(second, 'heartbeat')
  t.equal(heartbeat.id, 'a.3', 'a heartbeat stands where the last revocation stands')

  for (const unknown of ['b.1', 'a.99', 'a.', 'a.x', 'a.-1', 'nonsense', `a.${'9'.repeat(300)}`]) {
    const reader = await readStream(t, url, unknown)
    const event = await reader.next()
    t.equal(event.type === 'entries' ? 'snapshot' : opened(event).type, 'snapshot', unknown)
    reader.end()
  }
})

test('the id of a snapshot is where the subscriber came in: what follows it is not skipped', async (t) => {
  const ledger = memoryLedger()
  await ledger.record([entry(session('in the snapshot'))])
  const reading = Promise.withResolvers<void>()
  const slow = {
    since: ledger.since,
    async *live(...args: Parameters<typeof ledger.live>) {
      yield* ledger.live(...args)
      await reading.promise
    },
  }
  const { url, stream } = await startEventStream(t, { ledger: slow })
  const reader = await readStream(t, url)
  t.equal((await reader.next()).type, 'entries')
  stream.notify([{ revocation: session('meanwhile') }])
  reading.resolve()
  const snapshot = await nextOf(reader, 'snapshot')
  // The connection breaks right here.
  reader.end()
  const again = await readStream(t, url, snapshot.id)
  let name: string | undefined
  // A tail that was read before it was notified repeats what the snapshot had.
  while (name === undefined || name === 'in the snapshot') name = sid((await nextOf(again, 'revocation')).event)
  t.equal(name, 'meanwhile')
})

test('the ledger is read only while somebody listens', async (t) => {
  const ledger = memoryLedger()
  let reads = 0
  const counted = {
    live: ledger.live,
    since: (...args: Parameters<typeof ledger.since>) => {
      reads++
      return ledger.since(...args)
    },
  }
  const { url, stream, parts } = await startEventStream(t, { ledger: counted })
  stream.notify([{ revocation: session('nobody listens') }])
  await stream.publisher.publish([
    { key: 'k', token: signer(streamKey)({ type: 'revocation', revocation: session() }) },
  ])
  await new Promise((resolve) => setTimeout(resolve, 50))
  t.equal(reads, 0)
  const reader = await readStream(t, url)
  await nextOf(reader, 'heartbeat')
  t.ok(reads > 0)
  t.equal(await metric(parts.metrics, 'revocation_stream_subscribers'), 1)
  reader.end()
  await eventually(async () => (await metric(parts.metrics, 'revocation_stream_subscribers')) === 0)
})

test('a subscriber that does not read is cut, and the others go on', async (t) => {
  const { url, stream, parts } = await startEventStream(t)
  const reader = await readStream(t, url)
  await nextOf(reader, 'snapshot')
  const { port, hostname } = new URL(url)
  const stuck = connect(Number(port), hostname).pause()
  t.teardown(() => stuck.destroy())
  stuck.write(`GET /revocations HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${FEED_TOKEN}\r\n\r\n`)
  await eventually(async () => (await metric(parts.metrics, 'revocation_stream_subscribers')) === 2)
  const pumping = (async () => {
    for (;;) await reader.next()
  })().catch(() => {})
  for (let n = 0; (await metric(parts.metrics, 'revocation_stream_ended_total', { reason: 'too_slow' })) === 0; n++) {
    if (n > 1000) return t.fail('never cut')
    for (let m = 0; m < 100; m++) stream.notify([{ revocation: session() }])
    await new Promise((resolve) => setImmediate(resolve))
  }
  t.equal(await metric(parts.metrics, 'revocation_stream_subscribers'), 1)
  reader.end()
  await pumping
})

test('a snapshot is read from the ledger only as fast as the subscriber takes it', async (t) => {
  const ledger = memoryLedger()
  await ledger.record(Array.from({ length: 20_000 }, (_, n) => entry(session(`s${n}`))))
  let batches = 0
  const counted = {
    since: ledger.since,
    async *live(...args: Parameters<typeof ledger.live>) {
      for await (const batch of ledger.live(...args)) {
        batches++
        yield batch
      }
    },
  }
  const { stream } = await startEventStream(t, { ledger: counted })
  const out = new PassThrough()
  stream.subscribe(out)
  await new Promise((resolve) => setTimeout(resolve, 100))
  t.ok(batches <= 2, `${batches} batches while nobody reads`)
  let text = ''
  out.setEncoding('utf8').on('data', (chunk) => {
    text += chunk
  })
  await eventually(() => text.includes('event: set'))
  t.equal(batches, Math.ceil(20_000 / 700))
})

test('a ledger that fails in the midst of a snapshot ends the connection', async (t) => {
  const ledger = memoryLedger()
  const failing = {
    since: ledger.since,
    // biome-ignore lint/correctness/useYield: it fails before it has anything to give
    async *live(): AsyncGenerator<Revocation[]> {
      throw new Error('no store')
    },
  }
  const { url, parts } = await startEventStream(t, { ledger: failing })
  const reader = await readStream(t, url)
  await t.rejects(reader.next())
  t.ok(parts.lines.some((line) => line.includes('a snapshot cannot be sent')))
})

test('every stream ends when the server closes', async (t) => {
  const { url, close, parts } = await startEventStream(t)
  const reader = await readStream(t, url)
  await nextOf(reader, 'snapshot')
  const began = performance.now()
  await Promise.all([close(), parts.lifecycle.close()])
  t.ok(performance.now() - began < 8000)
  await t.rejects(
    (async () => {
      for (;;) await reader.next()
    })(),
  )
  await t.rejects(readStream(t, url))
})

test('a subscriber whose connection is broken already does no harm', async (t) => {
  const { stream, parts } = await startEventStream(t)
  const broken = new Writable({ write: (_chunk, _encoding, done) => done(new Error('broken')) })
  stream.subscribe(broken)
  await eventually(
    async () => (await metric(parts.metrics, 'revocation_stream_ended_total', { reason: 'closed_by_peer' })) === 1,
  )
})
