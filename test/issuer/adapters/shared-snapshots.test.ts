import { Writable } from 'node:stream'
import { type Test, test } from 'tap'
import { MAX_SNAPSHOTS } from '../../../issuer/adapters/event-stream.ts'
import type { Ledger } from '../../../issuer/domain/ports.ts'
import { type Revocation, revocationId } from '../../../shared/revocation.ts'
import type { SecurityEvent } from '../../../shared/security-event.ts'
import { createConnection } from '../../../sidecar/feeds/issuer-stream.ts'
import { type RunningStream, readStream, startEventStream, streamKey } from '../../helpers/event-stream.ts'
import { eventually } from '../../helpers/eventually.ts'
import {
  base,
  entry,
  memoryLedger,
  metric,
  noMoreKeys,
  receiver,
  session,
  signer,
  signingKey,
} from '../../helpers/revocations.ts'

const { signal } = new AbortController()
const LIVE = 3000

/** A ledger that counts how often all of it is read, and stops in the midst of each read until it is told to go on. */
async function watchedLedger(entries = LIVE) {
  const ledger = memoryLedger()
  await ledger.record(Array.from({ length: entries }, (_, n) => entry(session(`s${n}`))))
  const counts = { begun: 0, reading: 0, most: 0, ended: 0 }
  const gate = Promise.withResolvers<void>()
  const live: Ledger['live'] = async function* (...args) {
    counts.begun++
    counts.most = Math.max(counts.most, ++counts.reading)
    try {
      const batches = ledger.live(...args)[Symbol.asyncIterator]()
      const first = await batches.next()
      if (!first.done) yield first.value
      await gate.promise
      for (let next = await batches.next(); !next.done; next = await batches.next()) yield next.value
    } finally {
      counts.reading--
      counts.ended++
    }
  }
  return { ledger, counts, goOn: gate.resolve, watched: { since: ledger.since, live } }
}

/** What a sidecar makes of a stream: it reads until `isEnough`, and everything has to add up on the way. */
async function readAsSidecar(t: Test, url: string, keys = [streamKey]) {
  const to = receiver(base(t), keys)
  const connection = createConnection({ intake: to.intake, keys: noMoreKeys }, signal)
  const reader = await readStream(t, url)
  const proofs: number[] = []
  return {
    ...to,
    proofs,
    end: reader.end,
    /** @returns up to when it has been proven to be complete: milliseconds */
    async next(): Promise<number | undefined> {
      const untilMs = await connection.read(await reader.next())
      if (untilMs !== undefined) proofs.push(untilMs)
      return untilMs
    },
    async nextProof(): Promise<number> {
      for (;;) {
        const untilMs = await this.next()
        if (untilMs !== undefined) return untilMs
      }
    },
  }
}

const given = ({ parts }: Pick<RunningStream, 'parts'>, from: 'ledger' | 'shared') =>
  metric(parts.metrics, 'revocation_stream_snapshots_total', { from })

/** A connection that takes nothing at all. */
function stall(t: Test, { stream }: RunningStream): Writable {
  const out = new Writable({ highWaterMark: 1, write: () => {} })
  t.teardown(() => out.destroy())
  stream.subscribe(out)
  return out
}

/** Lets the clock that nobody sets run ahead. Timers do not. */
function skipTime(t: Test): (ms: number) => void {
  const now = performance.now
  let ahead = 0
  performance.now = () => now.call(performance) + ahead
  t.teardown(() => {
    performance.now = now
  })
  return (ms) => {
    ahead += ms
  }
}

test('all who ask at once cost one read of the ledger, and each can check what it got', async (t) => {
  const { watched, counts, goOn } = await watchedLedger()
  const running = await startEventStream(t, { ledger: watched })
  const early = await Promise.all(Array.from({ length: 20 }, () => readAsSidecar(t, running.url)))
  await Promise.all(early.map((reader) => reader.next()))
  const late = await Promise.all(Array.from({ length: 20 }, () => readAsSidecar(t, running.url)))
  await eventually(async () => (await given(running, 'shared')) === 39)
  goOn()
  const proven = await Promise.all([...early, ...late].map((reader) => reader.nextProof()))
  t.equal(new Set(proven).size, 1, 'they all have the claim of the same instant')
  t.ok([...early, ...late].every(({ added }) => added.length === LIVE))
  t.equal(counts.begun, 1)
  t.equal(await given(running, 'ledger'), 1)
})

test('who comes a moment later shares it too, and after that moment it is gone', async (t) => {
  const { watched, counts, goOn } = await watchedLedger()
  goOn()
  const running = await startEventStream(t, { ledger: watched })
  const began = performance.now()
  let taken = 0
  for (; counts.begun < 3; taken++) {
    const reader = await readAsSidecar(t, running.url)
    await reader.nextProof()
    t.equal(reader.added.length, LIVE)
    reader.end()
  }
  t.ok(performance.now() - began >= 2000, 'at most one a second')
  t.equal(await given(running, 'ledger'), 3)
  t.equal(await given(running, 'shared'), taken - 3)
})

test('a logout in between is in the snapshot or follows it, and the claim is older than it', async (t) => {
  const { watched, ledger, goOn } = await watchedLedger()
  const running = await startEventStream(t, { ledger: watched })
  const first = await readAsSidecar(t, running.url)
  await first.next()
  // One by this issuer, one by another: the tail finds it.
  const at = Date.now()
  const [own, others] = [session('own'), session('of another issuer')]
  await ledger.record([entry(own)])
  running.stream.notify([{ revocation: own }])
  await ledger.record([entry(others)])
  await eventually(async () => (await metric(running.parts.metrics, 'revocation_stream_events_total')) >= 2)
  const second = await readAsSidecar(t, running.url)
  await eventually(async () => (await given(running, 'shared')) === 1)
  goOn()
  t.ok((await second.nextProof()) <= at)
  t.equal(second.added.length, LIVE, 'the ledger was read before it')
  for (const reader of [first, second]) {
    while ((await reader.nextProof()) <= at);
    t.same(reader.added.slice(LIVE), ['session:own', 'session:of another issuer'], 'before a claim that is later')
  }
})

test('whoever comes whenever, amid logouts: each claim holds for what was read before it', async (t) => {
  const ledger = memoryLedger()
  await ledger.record(Array.from({ length: 3000 }, (_, n) => entry(session(`s${n}`))))
  const committed = new Map<string, number>()
  const commit = async (revocation: Revocation) => {
    await ledger.record([entry(revocation)])
    committed.set(revocationId(revocation), Date.now())
  }
  const live: Ledger['live'] = async function* (...args) {
    for await (const batch of ledger.live(...args)) {
      yield batch
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
  }
  const running = await startEventStream(t, { ledger: { since: ledger.since, live }, heartbeatMs: 20 })
  const over = new AbortController()
  const logouts = (async () => {
    for (let n = 0; !over.signal.aborted; n++) {
      const revocation = session(`logout ${n}`)
      await commit(revocation)
      // Of three, one waits for the tail.
      if (n % 3 > 0) running.stream.notify([{ revocation }])
      await new Promise((resolve) => setTimeout(resolve, 1))
    }
  })()
  const readers = Array.from({ length: 40 }, async (_, n) => {
    await new Promise((resolve) => setTimeout(resolve, n * 7))
    const reader = await readAsSidecar(t, running.url)
    for (let proofs = 0; proofs < 6; proofs++) {
      const untilMs = await reader.nextProof()
      const known = new Set(reader.added)
      const missing = [...committed].filter(([id, at]) => at < untilMs && !known.has(id)).map(([id]) => id)
      t.same(missing, [], `reader ${n}, claim ${proofs}`)
    }
    reader.end()
  })
  await Promise.all(readers)
  over.abort()
  await logouts
  t.ok((await given(running, 'shared')) > 0)
})

test('a connection that breaks right after a shared snapshot is taken up there', async (t) => {
  const { watched, goOn } = await watchedLedger()
  const running = await startEventStream(t, { ledger: watched })
  const first = await readAsSidecar(t, running.url)
  await first.next()
  running.stream.notify([{ revocation: session('in between') }])
  const second = await readStream(t, running.url)
  await eventually(async () => (await given(running, 'shared')) === 1)
  goOn()
  let event = await second.next()
  while (event.type === 'entries') event = await second.next()
  second.end()
  const again = await readStream(t, running.url, event.id)
  const parts = receiver(base(t), [streamKey])
  const connection = createConnection({ intake: parts.intake, keys: noMoreKeys }, signal, event.id)
  while ((await connection.read(await again.next())) === undefined);
  // A tail that was read before it was notified repeats the last one of the snapshot.
  const missed = parts.added.filter((id) => id !== `session:s${LIVE - 1}`)
  t.same(missed, ['session:in between'], 'before the first claim')
})

test('a key revoked in between signs nothing for those who come, whether they share or not', async (t) => {
  const { watched, ledger, goOn, counts } = await watchedLedger()
  const stolen = signingKey('ES256', 'stolen')
  let sign = signer(stolen)
  const running = await startEventStream(t, {
    ledger: watched,
    sign: (event: SecurityEvent) => sign(event),
    heartbeatMs: 60_000,
  })
  const before = await readAsSidecar(t, running.url, [stolen, streamKey])
  await before.next()
  // An event that the key signed still, then its end.
  running.stream.notify([{ revocation: session('signed by the stolen key') }])
  const sharing = await readAsSidecar(t, running.url, [stolen, streamKey])
  await eventually(async () => (await given(running, 'shared')) === 1)
  sign = signer(streamKey)
  const revoked: Revocation = { kind: 'key', kid: 'stolen', exp: Math.floor(Date.now() / 1000) + 600 }
  await ledger.record([entry(revoked), entry(session('signed by the stolen key'))])
  running.stream.notify([{ revocation: revoked }])
  // This one has fetched the keys since then.
  const after = await readAsSidecar(t, running.url, [streamKey])
  await eventually(() => counts.begun === 2)
  goOn()
  for (const [name, reader] of Object.entries({ before, sharing, after })) {
    await reader.nextProof()
    while (!reader.added.includes('key:stolen')) await reader.next()
    t.ok(reader.added.includes('session:signed by the stolen key'), name)
    t.notOk(reader.ring.keyFor('stolen'), name)
  }
})

test('a reader that takes nothing holds up nobody who shares its snapshot', async (t) => {
  const { watched, counts, goOn } = await watchedLedger()
  goOn()
  const running = await startEventStream(t, { ledger: watched })
  for (let n = 0; n < 2 * MAX_SNAPSHOTS; n++) stall(t, running)
  const reader = await readAsSidecar(t, running.url)
  await reader.nextProof()
  t.equal(reader.added.length, LIVE)
  t.equal(counts.begun, 1)
})

test('slow readers hold two snapshots: the newer one is shared for longer, then each reads by itself, in turn', async (t) => {
  const skip = skipTime(t)
  const { watched, counts, goOn } = await watchedLedger()
  const running = await startEventStream(t, { ledger: watched })
  stall(t, running)
  await eventually(() => counts.begun === 1)
  skip(21_000)
  const newer = stall(t, running)
  await eventually(() => counts.begun === 2)
  skip(10_000)
  const sharing = await readAsSidecar(t, running.url)
  await eventually(async () => (await given(running, 'shared')) === 1)
  skip(11_000)
  const alone = await Promise.all(Array.from({ length: MAX_SNAPSHOTS + 10 }, () => readAsSidecar(t, running.url)))
  await eventually(() => counts.begun === 2 + MAX_SNAPSHOTS)
  // While it waits for its turn, one leaves: it is passed over.
  const leaving = await readAsSidecar(t, running.url)
  leaving.end()
  await eventually(
    async () =>
      (await metric(running.parts.metrics, 'revocation_stream_ended_total', { reason: 'closed_by_peer' })) === 1,
  )
  goOn()
  for (const reader of [sharing, ...alone]) {
    await reader.nextProof()
    t.equal(reader.added.length, LIVE)
  }
  t.equal(counts.begun, 2 + alone.length)
  t.equal(counts.most, 2 + MAX_SNAPSHOTS)
  newer.destroy()
  await eventually(async () => (await metric(running.parts.metrics, 'revocation_stream_subscribers')) <= 28)
  const next = await Promise.all([readAsSidecar(t, running.url), readAsSidecar(t, running.url)])
  for (const reader of next) await reader.nextProof()
  t.equal(await given(running, 'ledger'), 3 + alone.length, 'where one is given up, the next is shared')
})

test('readers that take nothing do not keep those from theirs who read by themselves', async (t) => {
  const skip = skipTime(t)
  const { watched, counts, goOn } = await watchedLedger()
  goOn()
  const running = await startEventStream(t, { ledger: watched })
  for (let n = 0; n < 2; n++) {
    stall(t, running)
    await eventually(() => counts.begun === n + 1)
    skip(21_000)
  }
  for (let n = 0; n < MAX_SNAPSHOTS; n++) stall(t, running)
  const reader = await readAsSidecar(t, running.url)
  const began = Date.now()
  await reader.nextProof()
  t.equal(reader.added.length, LIVE)
  // A sidecar that hears nothing for 10 s gives up and has to queue again.
  t.ok(Date.now() - began < 8000)
})

test('when all have gone the read is given up; the next one begins anew', async (t) => {
  const { watched, counts, goOn } = await watchedLedger()
  const running = await startEventStream(t, { ledger: watched })
  const readers = await Promise.all([readAsSidecar(t, running.url), readAsSidecar(t, running.url)])
  for (const reader of readers) await reader.next()
  for (const reader of readers) reader.end()
  await eventually(async () => (await metric(running.parts.metrics, 'revocation_stream_subscribers')) === 0)
  goOn()
  await eventually(() => counts.ended === 1)
  const next = await readAsSidecar(t, running.url)
  await next.nextProof()
  t.equal(next.added.length, LIVE)
  t.equal(counts.begun, 2)
})

test('a ledger that fails ends all who share the read; the next one begins anew', async (t) => {
  const ledger = memoryLedger()
  await ledger.record([entry(session('s1'))])
  const failing = Promise.withResolvers<void>()
  let begun = 0
  const live: Ledger['live'] = async function* (...args) {
    begun++
    yield* ledger.live(...args)
    if (begun === 1) await failing.promise
  }
  const running = await startEventStream(t, { ledger: { since: ledger.since, live }, heartbeatMs: 60_000 })
  const readers = await Promise.all(Array.from({ length: 3 }, () => readAsSidecar(t, running.url)))
  for (const reader of readers) await reader.next()
  // It has not even noticed.
  stall(t, running)
  failing.reject(new Error('no store'))
  for (const reader of readers) await t.rejects(reader.nextProof())
  t.equal(begun, 1)
  const next = await readAsSidecar(t, running.url)
  await next.nextProof()
  t.equal(begun, 2)
})
