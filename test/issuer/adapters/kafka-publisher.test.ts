import { randomUUID } from 'node:crypto'
import { type Admin, Kafka, logLevel } from 'kafkajs'
import { test } from 'tap'
import { createKafkaPublisher } from '../../../issuer/adapters/kafka-publisher.ts'
import { publishRound } from '../../../issuer/adapters/outbox.ts'
import { eventually } from '../../helpers/eventually.ts'
import { type Base, base, entry, ISSUER, memoryLedger, session, signer, signingKey } from '../../helpers/revocations.ts'
import { readTopic } from '../../helpers/topic.ts'
import { uniqueName } from '../../helpers/unique-name.ts'
import { missingShared, sharedUrl } from '../../servers/shared.ts'

const key = signingKey()
const sign = signer(key)
const clock = { now: () => Date.now() }
const shared = { skip: await missingShared('kafka'), timeout: 300_000 }

const event = (id: string) => ({ key: id, token: sign({ type: 'revocation', revocation: session(id, id) }) })
const heartbeat = (completeUntilMs: number) => ({
  key: undefined,
  token: sign({ type: 'heartbeat', instance: 'a', completeUntilMs }),
})

function publisherFor({ log, lifecycle }: Base, brokers: string, topic: string) {
  return createKafkaPublisher({ brokers: brokers.split(','), topic, longestLifetimeS: () => 300 }, 'a', log, lifecycle)
}

async function withAdmin<T>(brokers: string, work: (admin: Admin) => Promise<T>): Promise<T> {
  const admin = new Kafka({ brokers: brokers.split(','), logLevel: logLevel.NOTHING }).admin()
  await admin.connect()
  try {
    return await work(admin)
  } finally {
    await admin.disconnect()
  }
}

const idsOf = async (brokers: string, topic: string) =>
  (await readTopic(brokers, topic, ISSUER)).map((read) =>
    read.type === 'revocation' && read.revocation.kind === 'session' ? read.revocation.sid : read.type,
  )

test('it creates the topic with its settings and publishes in order', shared, async (t) => {
  const brokers = await sharedUrl('kafka')
  const topic = uniqueName('publisher')
  const publisher = publisherFor(base(t), brokers, topic)
  await eventually(() => publisher.check().ok, { within: 60_000 })
  await Promise.all(['one', 'two', 'three'].map((id) => publisher.publish([event(id)])))
  await publisher.publish([event('four'), event('five')])
  await publisher.publish([heartbeat(1)])
  await publisher.publish([])
  t.same(await idsOf(brokers, topic), ['one', 'two', 'three', 'four', 'five', 'heartbeat'])
  const settings = await withAdmin(brokers, (admin) =>
    admin.describeConfigs({ includeSynonyms: false, resources: [{ type: 2, name: topic }] }),
  )
  const value = (name: string) =>
    settings.resources[0]!.configEntries.find(({ configName }) => configName === name)?.configValue
  t.same(['cleanup.policy', 'retention.ms', 'segment.ms'].map(value), ['delete', '1200000', '300000'])
})

test('many publishes at once are few requests, each acknowledged, in order', shared, async (t) => {
  const brokers = await sharedUrl('kafka')
  const topic = uniqueName('publisher')
  const publisher = publisherFor(base(t), brokers, topic)
  await eventually(() => publisher.check().ok, { within: 60_000 })
  const ids = Array.from({ length: 2000 }, (_, n) => `s${n}`)
  const done: string[] = []
  await Promise.all(ids.map((id) => publisher.publish([event(id)]).then(() => done.push(id))))
  t.same(done, ids)
  t.same(await idsOf(brokers, topic), ids)
})

test('a topic that exists is used as it is: a heartbeat goes to each partition, a user to one', shared, async (t) => {
  const brokers = await sharedUrl('kafka')
  const topic = uniqueName('publisher')
  await withAdmin(brokers, (admin) =>
    admin.createTopics({
      topics: [{ topic, numPartitions: 3, configEntries: [{ name: 'cleanup.policy', value: 'compact' }] }],
    }),
  )
  const parts = base(t)
  const publisher = publisherFor(parts, brokers, topic)
  await eventually(() => publisher.check().ok, { within: 60_000 })
  t.ok(
    parts.lines.some((line) => line.includes('cleanup.policy=delete')),
    'compaction would lose revocations: a warning',
  )
  t.ok(
    parts.lines.some((line) => line.includes('compression.type=uncompressed')),
    'any writer could stop the readers: a warning',
  )
  await publisher.publish([heartbeat(1)])
  // So many that none of three partitions stays empty by chance.
  const users = Array.from({ length: 100 }, () => randomUUID())
  await publisher.publish(users.map(event))
  const first = await withAdmin(brokers, (admin) => admin.fetchTopicOffsets(topic))
  t.equal(first.length, 3)
  t.equal(
    first.reduce((sum, { high }) => sum + Number(high), 0),
    103,
  )
  t.ok(
    first.every(({ high }) => Number(high) > 1),
    'all partitions have the heartbeat and some users',
  )
  await publisher.publish(users.map(event))
  const second = await withAdmin(brokers, (admin) => admin.fetchTopicOffsets(topic))
  for (const { partition, high } of first) {
    const now = second.find((other) => other.partition === partition)!.high
    t.equal(Number(now) - 1, 2 * (Number(high) - 1), 'the same users again in the same partition')
  }
})

test('without Kafka the process starts, and publish is refused at once', { timeout: 300_000 }, async (t) => {
  const parts = base(t)
  const publisher = publisherFor(parts, '127.0.0.1:1', 'none')
  const began = performance.now()
  await t.rejects(publisher.publish([event('one')]), { message: 'Kafka is not reachable' })
  await eventually(() => parts.lines.some((line) => line.includes('Kafka cannot be used')))
  await t.rejects(publisher.publish([event('one')]))
  t.ok(performance.now() - began < 15_000)
  t.match(publisher.check(), { name: 'kafka', ok: false })
  await new Promise((resolve) => setTimeout(resolve, 500))
  t.equal(parts.lines.filter((line) => line.includes('Kafka cannot be used')).length, 1, 'one line for one outage')
})

test('a topic that grows is used from the second look on, with heartbeats in every partition', shared, async (t) => {
  const brokers = await sharedUrl('kafka')
  const topic = uniqueName('publisher')
  const { log, lifecycle } = base(t)
  // Long enough that two looks do not pass while the topic grows.
  const lookEveryMs = 3000
  const address = { brokers: brokers.split(','), topic, longestLifetimeS: () => 300 }
  const publisher = createKafkaPublisher(address, 'a', log, lifecycle, lookEveryMs)
  await eventually(() => publisher.check().ok, { within: 60_000 })
  await publisher.publish([heartbeat(1)])
  const grown = performance.now()
  await withAdmin(brokers, (admin) => admin.createPartitions({ topicPartitions: [{ topic, count: 2 }] }))
  await publisher.publish([heartbeat(2)])
  const published = performance.now()
  const highs = async () =>
    (await withAdmin(brokers, (admin) => admin.fetchTopicOffsets(topic)))
      .sort((a, b) => a.partition - b.partition)
      .map(({ high }) => Number(high))
  // The broker tells of the new partition a moment after it has agreed to make it.
  const both = await eventually(async () => ((await highs()).length === 2 ? highs() : undefined))
  // Unless all that took so long that two looks may have passed.
  if (published - grown < 0.9 * lookEveryMs) t.same(both, [2, 0])
  await eventually(
    async () => {
      await publisher.publish([heartbeat(3)])
      return (await highs())[1]! > 0
    },
    { every: 100 },
  )
  // Two looks that both see it are at least 0.9 of the interval apart; sidecars need half of it.
  t.ok(performance.now() - grown > 0.9 * lookEveryMs, 'no sooner than sidecars can have seen it')
})

test('the outbox and the publisher together: a backlog from before the start', shared, async (t) => {
  const brokers = await sharedUrl('kafka')
  const topic = uniqueName('publisher')
  const publisher = publisherFor(base(t), brokers, topic)
  const ledger = memoryLedger()
  await ledger.record(['one', 'two'].map((id) => entry(session(id))))
  const parts = { ledger, publisher, sign, instance: 'a', clock }
  await t.rejects(publishRound(parts), 'not connected yet: nothing is claimed')
  await eventually(() => publisher.check().ok, { within: 60_000 })
  await publishRound(parts)
  t.same(await idsOf(brokers, topic), ['one', 'two', 'heartbeat'])
})

/** What is live in the ledger and counts as published there. */
async function* live() {
  yield [event('logged out before')]
}

function publisherWithLive({ log, lifecycle }: Base, brokers: string, topic: string) {
  const address = { brokers: brokers.split(','), topic, longestLifetimeS: () => 300 }
  return createKafkaPublisher(address, 'a', log, lifecycle, undefined, live)
}

test('a log that is new, or that nobody kept up, gets all that is live before anything else', shared, async (t) => {
  const brokers = await sharedUrl('kafka')
  const rows: [name: string, ages: number[], filled: boolean][] = [
    ['new', [], true],
    ['so young that it cannot have everything', [60_000, 0], true],
    ['kept up', [3_600_000, 0], false],
    ['left alone while there was another feed', [3_600_000, 120_000], true],
  ]
  for (const [name, ages, filled] of rows) {
    const topic = uniqueName('publisher')
    await withAdmin(brokers, (admin) => admin.createTopics({ topics: [{ topic }], waitForLeaders: true }))
    const producer = new Kafka({ brokers: brokers.split(','), logLevel: logLevel.NOTHING }).producer()
    await producer.connect()
    const now = Date.now()
    for (const age of ages) {
      await producer.send({ topic, messages: [{ value: heartbeat(1).token, timestamp: String(now - age) }] })
    }
    await producer.disconnect()
    const publisher = publisherWithLive(base(t), brokers, topic)
    await eventually(() => publisher.check().ok, { within: 60_000 })
    await publisher.publish([heartbeat(1)])
    const before = ages.map(() => 'heartbeat')
    t.same(await idsOf(brokers, topic), [...before, ...(filled ? ['logged out before'] : []), 'heartbeat'], name)
  }
})

test('a log that has lost what it acknowledged gets all that is live again', shared, async (t) => {
  const brokers = await sharedUrl('kafka')
  const topic = uniqueName('publisher')
  const publisher = publisherWithLive(base(t), brokers, topic)
  await eventually(() => publisher.check().ok, { within: 60_000 })
  await publisher.publish(['one', 'two', 'three'].map(event))
  await withAdmin(brokers, async (admin) => {
    await admin.deleteTopics({ topics: [topic] })
    await eventually(() => admin.createTopics({ topics: [{ topic }], waitForLeaders: true }).catch(() => false))
  })
  // The one that finds it out may still have been written.
  await eventually(async () => (await publisher.publish([heartbeat(1)]).catch(() => 'no')) === undefined, {
    within: 60_000,
  })
  const ids = await idsOf(brokers, topic)
  t.ok(ids.indexOf('logged out before') !== -1, ids.join())
  t.ok(ids.indexOf('logged out before') < ids.lastIndexOf('heartbeat'))
})
