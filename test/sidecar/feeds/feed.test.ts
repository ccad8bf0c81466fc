import { Kafka, logLevel } from 'kafkajs'
import { type Test, test } from 'tap'
import type { KafkaAddress } from '../../../shared/kafka.ts'
import type { Revocation } from '../../../shared/revocation.ts'
import { type FeedOptions, startFeeds } from '../../../sidecar/feeds/feed.ts'
import { FEED_TOKEN, startEventStream, streamKey } from '../../helpers/event-stream.ts'
import { eventually } from '../../helpers/eventually.ts'
import {
  base,
  entry,
  ISSUER,
  MAX_STALENESS_MS,
  manualClock,
  metric,
  receiver,
  session,
  signer,
} from '../../helpers/revocations.ts'
import { uniqueName } from '../../helpers/unique-name.ts'
import { missingShared, sharedUrl } from '../../servers/shared.ts'

const withKafka = { skip: await missingShared('kafka'), timeout: 300_000 }
const sign = signer(streamKey)

async function start(t: Test, more: Partial<FeedOptions>) {
  const parts = base(t)
  const to = receiver(parts, [streamKey])
  const cut: Revocation[] = []
  // Its own registry: the receiver has registered the same metric.
  const { metrics } = base(t)
  const feeds = await startFeeds({
    issuer: ISSUER,
    kafka: undefined,
    stream: undefined,
    ring: to.ring,
    keys: {
      ready: Promise.resolve(),
      lookUp: async () => 'absent',
      settle: async () => 'absent',
      revoke: () => {},
      expire: () => {},
      check: () => ({ name: 'keys', ok: to.ring.size > 0 }),
    },
    revocations: to.revocations,
    freshness: to.freshness,
    onRevocation: (revocation) => void cut.push(revocation),
    fallbackAfterMs: 1000,
    maxStalenessMs: MAX_STALENESS_MS,
    digestIntervalMs: 60_000,
    clock: { now: () => Date.now() },
    ...parts,
    metrics,
    ...more,
  })
  const ready = () => feeds.ready().every(({ ok }) => ok)
  return { ...parts, metrics, to, cut, feeds, ready }
}

/** A topic whose heartbeats can be switched off. */
async function startTopic(t: Test) {
  const address: KafkaAddress = { brokers: (await sharedUrl('kafka')).split(','), topic: uniqueName('feeds') }
  const kafka = new Kafka({ brokers: address.brokers, logLevel: logLevel.NOTHING })
  const [admin, producer] = [kafka.admin(), kafka.producer()]
  await Promise.all([admin.connect(), producer.connect()])
  await admin.createTopics({ topics: [{ topic: address.topic }] })
  const topic = {
    address,
    beating: true,
    write: (value: string) => producer.send({ topic: address.topic, messages: [{ value }] }),
  }
  const timer = setInterval(() => {
    // The last one may be under way when the test ends.
    const beat = () => topic.write(sign({ type: 'heartbeat', instance: 'a', completeUntilMs: Date.now() }))
    if (topic.beating) void beat().catch(() => {})
  }, 100)
  t.teardown(async () => {
    clearInterval(timer)
    await Promise.all([admin.disconnect(), producer.disconnect()])
  })
  return topic
}

test('without Kafka the stream alone makes it ready, and onRevocation is told of what is new', async (t) => {
  const { url, ledger } = await startEventStream(t)
  const [one, two] = [session('one'), session('two')]
  await ledger.record([entry(one)])
  const { ready, feeds, cut, metrics } = await start(t, { stream: { url, feedToken: FEED_TOKEN } })
  t.match(feeds.ready(), [
    { name: 'keys', ok: true },
    { name: 'revocations', ok: false, detail: 'incomplete' },
  ])
  await eventually(ready)
  t.same(feeds.ready()[1], { name: 'revocations', ok: true })
  await ledger.record([entry(two)])
  await eventually(() => cut.length === 2)
  t.same(cut, [one, two])
  t.equal(await metric(metrics, 'revocation_feed_stream_open'), 1)
  t.ok((await metric(metrics, 'revocation_feed_age_seconds')) < 5)
})

test('no feed at all is never ready', async (t) => {
  const { feeds, metrics } = await start(t, {})
  t.notOk(feeds.ready()[1]!.ok)
  t.equal(await metric(metrics, 'revocation_feed_age_seconds'), Number.POSITIVE_INFINITY)
})

test('ready ends with the freshness, and without keys', async (t) => {
  const { url, ledger, parts } = await startEventStream(t)
  await ledger.record([entry(session())])
  const clock = manualClock()
  const { ready, feeds, to } = await start(t, { stream: { url, feedToken: FEED_TOKEN }, clock })
  await eventually(() => {
    // Else what comes late would be from a clock that is ahead.
    clock.set(Date.now())
    return ready()
  })
  await parts.lifecycle.close()
  clock.advance(MAX_STALENESS_MS + 10_000)
  t.match(feeds.ready()[1], { ok: false, detail: 'stale' })
  clock.set(Date.now())
  t.ok(ready())
  to.ring.replace([], Date.now())
  t.notOk(ready())
})

test('with Kafka the stream gives the start, and is closed when Kafka is up to date', withKafka, async (t) => {
  const topic = await startTopic(t)
  const { url, ledger } = await startEventStream(t)
  await ledger.record([entry(session('of the snapshot'))])
  await topic.write(sign({ type: 'revocation', revocation: session('of kafka') }))
  const { ready, to, metrics } = await start(t, { kafka: topic.address, stream: { url, feedToken: FEED_TOKEN } })
  await eventually(ready)
  await eventually(() => to.added.length === 2, { within: 60_000 })
  await eventually(async () => (await metric(metrics, 'revocation_feed_kafka_complete')) === 1, { within: 60_000 })
  await eventually(async () => (await metric(metrics, 'revocation_feed_stream_open')) === 0, { within: 60_000 })
  t.ok(ready())
})

test('Kafka alone, and its falling behind: the stream takes over and gives way again', withKafka, async (t) => {
  const topic = await startTopic(t)
  const { url, ledger } = await startEventStream(t)
  const { ready, to, metrics, lines } = await start(t, { kafka: topic.address, stream: { url, feedToken: FEED_TOKEN } })
  const isOpen = async () => (await metric(metrics, 'revocation_feed_stream_open')) === 1
  await eventually(async () => ready() && !(await isOpen()), { within: 60_000 })
  topic.beating = false
  await ledger.record([entry(session('while Kafka is behind'))])
  await eventually(isOpen, { within: 60_000 })
  await eventually(() => to.added.includes('session:while Kafka is behind'))
  await eventually(() => to.freshness.ageMs(Date.now()) < 1000)
  t.ok(lines.some((line) => line.includes('Kafka is behind')))
  topic.beating = true
  await eventually(async () => !(await isOpen()), { within: 60_000 })
})

test('Kafka without a stream is ready by itself', withKafka, async (t) => {
  const topic = await startTopic(t)
  const { ready, feeds } = await start(t, { kafka: topic.address })
  t.notOk(ready())
  await eventually(ready, { within: 60_000 })
  t.match(feeds.ready(), [{ ok: true }, { ok: true }])
})
