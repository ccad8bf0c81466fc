import { randomUUID } from 'node:crypto'
import Fastify from 'fastify'
import { type Test, test } from 'tap'
import { type Revocation, revocationExpiry, revocationId } from '../../../shared/revocation.ts'
import { type ReconcileOptions, startReconciliation } from '../../../sidecar/feeds/reconcile.ts'
import { FEED_TOKEN, LIFETIME_S, startEventStream, streamKey } from '../../helpers/event-stream.ts'
import { eventually } from '../../helpers/eventually.ts'
import { base, entry, metric, noMoreKeys, receiver } from '../../helpers/revocations.ts'

const exp = () => revocationExpiry(Date.now() - 60_000, LIFETIME_S)

/** Revocations of every kind, a minute and a half old. */
function revocations(): Revocation[] {
  const sub = randomUUID()
  return [
    { kind: 'session', sid: randomUUID(), sub, exp: exp() },
    { kind: 'session', sid: `imported-${randomUUID()}`, sub, exp: exp() },
    { kind: 'user', sub, epoch: 1, exp: exp() },
    { kind: 'user', sub, epoch: 2, exp: exp() },
    { kind: 'key', kid: randomUUID(), exp: Math.floor(Date.now() / 1000) + 30 * 86_400 },
  ]
}

/** A sidecar that a feed keeps fresh, which brings nothing by itself. */
function start(t: Test, url: string, more: Partial<ReconcileOptions> = {}) {
  const parts = base(t)
  const to = receiver(parts, [streamKey])
  const fresh = () => to.freshness.advance('kafka', Date.now())
  fresh()
  const beating = setInterval(fresh, 20)
  t.teardown(() => clearInterval(beating))
  startReconciliation({
    url,
    feedToken: FEED_TOKEN,
    intake: to.intake,
    keys: noMoreKeys,
    revocations: to.revocations,
    freshness: to.freshness,
    intervalMs: 60,
    idleMs: 1000,
    clock: { now: () => Date.now() },
    ...parts,
    ...more,
  })
  const counted = (outcome: string) => metric(parts.metrics, 'revocation_digest_comparisons_total', { outcome })
  const rounds = async (outcome: string, more = 3) => {
    const before = await counted(outcome)
    await eventually(async () => (await counted(outcome)) >= before + more, { within: 60_000, message: outcome })
  }
  const value = (name: string) => metric(parts.metrics, name)
  return { ...parts, to, counted, rounds, value, stopBeating: () => clearInterval(beating) }
}

test('what the feed has lost is found, counted and mended by a snapshot', async (t) => {
  const { url, ledger, parts } = await startEventStream(t)
  const [known, lost] = [revocations(), revocations()]
  await ledger.record([...known, ...lost].map(entry))
  const { to, rounds, value, lines } = start(t, url)
  for (const one of known) to.revocations.add(one)
  await eventually(() => lost.every((one) => to.added.includes(revocationId(one))))
  await rounds('equal')
  t.equal(await value('revocation_digest_mismatches_total'), 1, 'once')
  t.equal(await value('revocation_digest_surplus_total'), 0)
  t.ok((await value('revocation_digest_age_seconds')) < 5)
  const warnings = lines.map((line) => JSON.parse(line)).filter(({ level }) => level >= 40)
  t.match(warnings, [{ difference: 'missing', own: 5, issuers: 10, snapshot: true }])
  // And again: the second snapshot is a whole one too.
  const later = revocations()
  await ledger.record(later.map(entry))
  await eventually(() => later.every((one) => to.added.includes(revocationId(one))))
  await rounds('equal')
  t.equal(await value('revocation_digest_mismatches_total'), 2)
  const subscribers = parts.lines.map((line) => JSON.parse(line)).filter(({ resumed }) => resumed !== undefined)
  t.match(subscribers, [{ resumed: false }, { resumed: false }], 'what was lost was lost before where it broke off')
})

test('what only this sidecar knows it keeps, and that costs one snapshot, not one each time', async (t) => {
  const { url, ledger, parts } = await startEventStream(t)
  const [known, more] = [revocations(), revocations()]
  await ledger.record(known.map(entry))
  const { to, rounds, value, counted } = start(t, url)
  for (const one of [...known, ...more]) to.revocations.add(one)
  await rounds('surplus', 6)
  t.equal(await value('revocation_digest_mismatches_total'), 0)
  t.equal(await value('revocation_digest_surplus_total'), await counted('surplus'))
  const shown = [...to.revocations.batches(() => true)].flat().map(([id]) => id)
  t.same(shown.sort(), [...known, ...more].map(revocationId).sort())
  const snapshots = parts.lines.filter((line) => line.includes('a subscriber of the event stream has come'))
  t.equal(snapshots.length, 1)
})

test('no verdict while the feed has not brought all that was recorded before the cut', async (t) => {
  const { url, ledger } = await startEventStream(t)
  await ledger.record(revocations().map(entry))
  const untilMs = Date.now() - 15_000
  const { to, rounds, counted, value } = start(t, url, {
    freshness: { isFresh: () => true, completeUntil: () => untilMs },
  })
  await rounds('not_due')
  t.equal(await value('revocation_digest_mismatches_total'), 0)
  t.equal(await counted('missing'), 0)
  t.same(to.added, [])
  t.equal(await value('revocation_digest_age_seconds'), Number.POSITIVE_INFINITY)
})

test('a sidecar that is not fresh does not even ask', async (t) => {
  const { rounds, counted } = start(t, 'http://127.0.0.1:1', {
    freshness: { isFresh: () => false, completeUntil: () => Date.now() },
  })
  await rounds('not_due')
  t.equal(await counted('failed'), 0)
})

test('an entry that is about to expire is not compared any more', async (t) => {
  const { url, ledger } = await startEventStream(t)
  const { to, rounds, value } = start(t, url)
  await ledger.record([entry({ kind: 'session', sid: 'old', sub: 'u', exp: Math.floor(Date.now() / 1000) + 60 })])
  await rounds('equal')
  t.same(to.added, [])
  t.equal(await value('revocation_digest_mismatches_total'), 0)
})

/** An issuer whose answers are these, one after the other, the last for good. */
async function answering(t: Test, ...answers: { status: number; body?: string }[]) {
  const app = Fastify()
  app.get('/revocations/digest', async (_request, reply) => {
    const { status, body = '{}' } = answers.length > 1 ? answers.shift()! : answers[0]!
    return reply.code(status).type('application/json').send(body)
  })
  t.teardown(() => app.close())
  return `${await app.listen({ host: '127.0.0.1', port: 0 })}/revocations`
}

test('an issuer that has no such route is left alone, and that is said once', async (t) => {
  const { rounds, lines, value } = start(t, await answering(t, { status: 404 }))
  await rounds('unsupported', 4)
  t.equal(lines.filter((line) => line.includes('too old')).length, 1)
  t.equal(lines.filter((line) => JSON.parse(line).level >= 40).length, 0)
  t.equal(await value('revocation_digest_mismatches_total'), 0)
})

test('an answer that is none changes nothing and is reported once', async (t) => {
  const window = { after: Math.floor(Date.now() / 1000) + 100, until: { session: 1, user: 1, key: 1 } }
  const good = JSON.stringify({ window, count: 0, digest: '0'.repeat(32) })
  const bad = [
    { status: 500 },
    { status: 302 },
    { status: 200, body: 'x' },
    { status: 200, body: '{"count":1}' },
    { status: 200, body: `${good}${' '.repeat(5000)}` },
  ]
  const { rounds, lines, counted, to } = start(t, await answering(t, ...bad, { status: 200, body: good }))
  await rounds('equal')
  t.equal(await counted('failed'), bad.length)
  t.same(to.added, [])
  const said = lines.map((line) => JSON.parse(line).msg as string).filter((msg) => msg.includes('compared'))
  t.equal(said.length, 2, 'its beginning and its end')
})

test('an answer for a window that is over by the time it is here says nothing', async (t) => {
  const after = Math.floor(Date.now() / 1000) + 4
  const late = JSON.stringify({
    window: { after, until: { session: 1, user: 1, key: 1 } },
    count: 9,
    digest: 'f'.repeat(32),
  })
  const { rounds, value } = start(t, await answering(t, { status: 200, body: late }))
  await rounds('not_due')
  t.equal(await value('revocation_digest_mismatches_total'), 0)
})
