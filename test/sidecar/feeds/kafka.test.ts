import { createHmac } from 'node:crypto'
import kafkajs, { type Admin, Kafka, logLevel, type Message } from 'kafkajs'
import { test } from 'tap'
import type { SigningKeyPair } from '../../../shared/jws.ts'
import { PARTITIONS_MAX_AGE_MS, topicConfig } from '../../../shared/kafka.ts'
import type { SecurityEvent } from '../../../shared/security-event.ts'
import type { KeyFetcher } from '../../../sidecar/feeds/jwks.ts'
import { DELETE_WITHIN_MS, startKafkaFeed } from '../../../sidecar/feeds/kafka.ts'
import { eventually } from '../../helpers/eventually.ts'
import {
  type Base,
  base,
  MAX_STALENESS_MS,
  manualClock,
  metric,
  noMoreKeys,
  type Receiver,
  receiver,
  session,
  signer,
  signingKey,
} from '../../helpers/revocations.ts'
import { uniqueName } from '../../helpers/unique-name.ts'
import { missingShared, sharedUrl } from '../../servers/shared.ts'

const options = { skip: await missingShared('kafka'), timeout: 300_000 }
const key = signingKey()
const sign = signer(key)
const { CompressionCodecs, CompressionTypes } = kafkajs
const silent = { logLevel: logLevel.NOTHING }

/** A topic with one writer, who need not be an issuer. */
async function createTopic(t: { teardown(fn: () => unknown): unknown }, numPartitions = 1) {
  const brokers = (await sharedUrl('kafka')).split(',')
  const topic = uniqueName('feed')
  const kafka = new Kafka({ brokers, ...silent })
  const [admin, producer] = [kafka.admin(), kafka.producer({ metadataMaxAge: 100 })]
  await Promise.all([admin.connect(), producer.connect()])
  t.teardown(() => Promise.all([admin.disconnect(), producer.disconnect()]))
  const create = () => admin.createTopics({ topics: [{ topic, numPartitions }], waitForLeaders: true })
  const write = (...values: (string | Message)[]) =>
    producer.send({
      topic,
      acks: -1,
      messages: values.map((value) => (typeof value === 'string' ? { value, partition: 0 } : value)),
    })
  return { admin, topic, brokers, create, write }
}

const revoked = (sid: string, by = sign) => by({ type: 'revocation', revocation: session(sid) })
const heartbeat = (completeUntilMs = Date.now(), by = sign) => by({ type: 'heartbeat', instance: 'a', completeUntilMs })

function startFeed(
  parts: Base,
  to: Receiver,
  address: { brokers: string[]; topic: string },
  keys: Pick<KeyFetcher, 'settle'> = noMoreKeys,
) {
  return startKafkaFeed({
    address,
    intake: to.intake,
    keys,
    onProgress: (completeUntilMs) => void to.freshness.advance('kafka', completeUntilMs),
    log: parts.log,
    lifecycle: parts.lifecycle,
  })
}

test('it has read everything that was there before it is complete, and goes on', options, async (t) => {
  const topic = await createTopic(t)
  await topic.create()
  const ids = Array.from({ length: 2000 }, (_, n) => `s${n}`)
  await topic.write(...ids.slice(0, 1000).map((id) => revoked(id)))
  await topic.write(heartbeat(), ...ids.slice(1000).map((id) => revoked(id)))
  const parts = base(t)
  const to = receiver(parts, [key])
  let atCompletion: number | undefined
  const feed = startKafkaFeed({
    address: topic,
    intake: to.intake,
    keys: noMoreKeys,
    onProgress: () => {
      atCompletion ??= to.added.length
    },
    log: parts.log,
    lifecycle: parts.lifecycle,
  })
  t.notOk(feed.complete())
  await eventually(() => feed.complete(), { within: 60_000 })
  t.equal(atCompletion, 2000, 'a heartbeat in the midst of the backlog completes nothing')
  t.same(
    to.added,
    ids.map((id) => `session:${id}`),
    'in order',
  )
  await topic.write(revoked('later'))
  await eventually(() => to.added.at(-1) === 'session:later')
})

test('an empty topic is complete with the first heartbeat', options, async (t) => {
  const topic = await createTopic(t)
  await topic.create()
  const parts = base(t)
  const to = receiver(parts, [key])
  const feed = startFeed(parts, to, topic)
  await new Promise((resolve) => setTimeout(resolve, 300))
  t.notOk(feed.complete(), 'reading nothing proves nothing')
  await topic.write(heartbeat())
  await eventually(() => feed.complete() && to.freshness.isFresh(Date.now()), { within: 60_000 })
})

test('a topic that does not exist yet: it waits, says so once, and reads it when it is there', options, async (t) => {
  const topic = await createTopic(t)
  const parts = base(t)
  const to = receiver(parts, [key])
  const feed = startFeed(parts, to, topic)
  await eventually(() => parts.lines.some((line) => line.includes('cannot be read')), { within: 60_000 })
  await new Promise((resolve) => setTimeout(resolve, 500))
  t.equal(parts.lines.filter((line) => line.includes('cannot be read')).length, 1)
  t.notOk(feed.complete())
  const names = await topic.admin.listTopics()
  t.notOk(names.includes(topic.topic), 'reading does not create it')
  await topic.create()
  await topic.write(revoked('one'), heartbeat())
  await eventually(() => feed.complete(), { within: 60_000 })
  t.same(to.added, ['session:one'])
})

test(
  'wrong variant: freshness by arrival. A heartbeat that arrives now is as old as what it says',
  options,
  async (t) => {
    const topic = await createTopic(t)
    await topic.create()
    const parts = base(t)
    const to = receiver(parts, [key])
    const feed = startFeed(parts, to, topic)
    const old = Date.now() - MAX_STALENESS_MS / 2
    await topic.write(heartbeat(old))
    await eventually(() => feed.complete(), { within: 60_000 })
    t.equal(to.freshness.completeUntil('kafka'), old)
    t.ok(to.freshness.ageMs(Date.now()) >= MAX_STALENESS_MS / 2)
    await topic.write(heartbeat(old - 1000), revoked('marker'))
    await eventually(() => to.added.length === 1)
    t.equal(to.freshness.completeUntil('kafka'), old, 'and an older one takes nothing back')
  },
)

test('heartbeats too old to make anything fresh are not even verified, and never believed', options, async (t) => {
  const topic = await createTopic(t)
  await topic.create()
  const parts = base(t)
  const to = receiver(parts, [key])
  const feed = startFeed(parts, to, topic)
  const forger = signer(signingKey('ES256', 'not known'))
  const ancient = Date.now() - MAX_STALENESS_MS - 10_000
  await topic.write(heartbeat(ancient, forger), heartbeat(ancient), revoked('marker'))
  await eventually(() => to.added.length === 1, { within: 60_000 })
  t.equal(await metric(parts.metrics, 'revocation_events_total', { kind: 'heartbeat', outcome: 'outdated' }), 2)
  t.notOk(feed.complete())
  t.notOk(to.freshness.isFresh(Date.now()))
})

test('a heartbeat from a clock that is far ahead is refused', options, async (t) => {
  const topic = await createTopic(t)
  await topic.create()
  const parts = base(t)
  const to = receiver(parts, [key])
  const feed = startFeed(parts, to, topic)
  await topic.write(heartbeat(Date.now() + 3_600_000), revoked('marker'))
  await eventually(() => to.added.length === 1, { within: 60_000 })
  t.equal(await metric(parts.metrics, 'revocation_events_total', { outcome: 'in_the_future' }), 1)
  t.notOk(feed.complete())
})

test('forged and malformed events are ignored and counted; what is genuine around them counts', options, async (t) => {
  const topic = await createTopic(t)
  await topic.create()
  const parts = base(t)
  const to = receiver(parts, [key])
  const feed = startFeed(parts, to, topic)
  const forger: SigningKeyPair = signingKey('ES256', key.kid)
  const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url')
  const payload = revoked('forged').split('.')[1]
  const hmac = `${encode({ alg: 'HS256', typ: 'secevent+jwt', kid: key.kid })}.${payload}`
  const mac = createHmac('sha256', key.key.export({ type: 'spki', format: 'pem' }))
    .update(hmac)
    .digest('base64url')
  const genuine = revoked('genuine')
  await topic.write(
    revoked('wrong key', signer(forger)),
    heartbeat(Date.now(), signer(forger)),
    revoked('other issuer', signer(key, 'https://evil.example')),
    `${encode({ alg: 'none', typ: 'secevent+jwt', kid: key.kid })}.${payload}.`,
    `${encode({ alg: 'none', typ: 'secevent+jwt', kid: key.kid })}.${payload}.AAAA`,
    `${hmac}.${mac}`,
    genuine.slice(0, -20) + (genuine.at(-20) === 'A' ? 'B' : 'A') + genuine.slice(-19),
    'nonsense',
    '',
    { value: null, partition: 0 },
    'x'.repeat(20_000),
    { value: Buffer.from([0xff, 0xfe, 0x00]), partition: 0 },
    genuine,
  )
  await eventually(() => to.added.includes('session:genuine'), { within: 60_000 })
  t.same(to.added, ['session:genuine'])
  t.notOk(feed.complete(), 'the forged heartbeat proved nothing')
  t.equal(await metric(parts.metrics, 'revocation_events_total', { outcome: 'signature_invalid' }), 3)
  t.equal(await metric(parts.metrics, 'revocation_events_total', { outcome: 'event_malformed' }), 9)
  const refusals = parts.lines.filter((line) => line.includes('an event of the feed was refused'))
  t.equal(refusals.length, 2, 'one line a minute for each reason')
  t.notOk(parts.lines.join('').includes(payload!), 'and no content in the log')
})

test('an unknown key stops the feed: no later heartbeat is believed until the key is known', options, async (t) => {
  const topic = await createTopic(t)
  await topic.create()
  const parts = base(t)
  const to = receiver(parts, [key])
  const next = signingKey()
  const asked: string[] = []
  const answer = Promise.withResolvers<'known'>()
  const keys: Pick<KeyFetcher, 'settle'> = {
    settle: (kid) => {
      asked.push(kid)
      return answer.promise
    },
  }
  const feed = startFeed(parts, to, topic, keys)
  await topic.write(revoked('before'), revoked('of the new key', signer(next)), heartbeat(), revoked('after'))
  await eventually(() => asked.length > 0, { within: 60_000 })
  await new Promise((resolve) => setTimeout(resolve, 1500))
  t.same(to.added, ['session:before'])
  t.notOk(feed.complete())
  to.ring.replace([key, next], Date.now())
  answer.resolve('known')
  await eventually(() => feed.complete() && to.added.length === 3)
  t.same(to.added, ['session:before', 'session:of the new key', 'session:after'])
  t.same(asked, [next.kid])
})

test('an event of a key that the issuer does not have is skipped and counted', options, async (t) => {
  const topic = await createTopic(t)
  await topic.create()
  const parts = base(t)
  const to = receiver(parts, [key])
  const feed = startFeed(parts, to, topic)
  await topic.write(revoked('foreign', signer(signingKey())), heartbeat(), revoked('after'))
  await eventually(() => feed.complete() && to.added.length === 1, { within: 60_000 })
  t.equal(await metric(parts.metrics, 'revocation_events_total', { outcome: 'key_absent' }), 1)
})

test('a flood of forged keys: all that came at once is asked for as of one moment', options, async (t) => {
  const topic = await createTopic(t)
  await topic.create()
  const parts = base(t)
  const to = receiver(parts, [key])
  const moments = new Set<number | undefined>()
  const keys: Pick<KeyFetcher, 'settle'> = {
    settle: async (_kid, _signal, heardAt) => {
      moments.add(heardAt)
      return 'absent'
    },
  }
  const forged = Array.from({ length: 30 }, (_, n) => revoked(`forged ${n}`, signer(signingKey())))
  await topic.write(...forged, heartbeat(), revoked('after'))
  const feed = startFeed(parts, to, topic, keys)
  await eventually(() => feed.complete() && to.added.length === 1, { within: 60_000 })
  t.equal(await metric(parts.metrics, 'revocation_events_total', { outcome: 'key_absent' }), 30)
  t.equal(moments.size, 1)
  t.ok([...moments].every(Number.isFinite))
})

test('a key that appears after its events were skipped: they are read after all', options, async (t) => {
  const topic = await createTopic(t)
  await topic.create()
  const parts = base(t)
  const to = receiver(parts, [key])
  const next = signingKey()
  startFeed(parts, to, topic)
  // One issuer signs with a key that another, the one that was asked, had not heard of yet.
  await topic.write(revoked('skipped', signer(next)), revoked('marker'))
  await eventually(() => to.added.length === 1, { within: 60_000 })
  to.ring.replace([key, next], Date.now())
  await topic.write(heartbeat(Date.now(), signer(next)))
  await eventually(() => to.added.includes('session:skipped'), { within: 60_000 })
})

test('a key revocation drops the key: what it signs later is not believed', options, async (t) => {
  const topic = await createTopic(t)
  await topic.create()
  const parts = base(t)
  const stolen = signingKey()
  const to = receiver(parts, [key, stolen])
  startFeed(parts, to, topic)
  const revokeKey: SecurityEvent = { type: 'revocation', revocation: { kind: 'key', kid: stolen.kid, exp: 4e9 } }
  await topic.write(
    revoked('before', signer(stolen)),
    sign(revokeKey),
    revoked('after', signer(stolen)),
    revoked('end'),
  )
  await eventually(() => to.added.includes('session:end'), { within: 60_000 })
  t.same(to.added, ['session:before', `key:${stolen.kid}`, 'session:end'])
  t.equal(to.ring.keyFor(stolen.kid), undefined)
})

test('with several partitions the one furthest behind counts', options, async (t) => {
  const topic = await createTopic(t, 3)
  await topic.create()
  const parts = base(t)
  const to = receiver(parts, [key])
  const feed = startFeed(parts, to, topic)
  const now = Date.now()
  const beat = (partition: number, ageMs: number) => ({ value: heartbeat(now - ageMs), partition })
  await topic.write(beat(0, 0), beat(1, 5000), { value: revoked('marker'), partition: 1 })
  await eventually(() => to.added.length === 1, { within: 60_000 })
  t.notOk(feed.complete(), 'nothing is known about the third')
  await topic.write(beat(2, 1000))
  await eventually(() => to.freshness.completeUntil('kafka') === now - 5000)
  await topic.write(beat(1, 2000))
  await eventually(() => to.freshness.completeUntil('kafka') === now - 2000)
})

test('a partition that is added is waited for, and read from its beginning', options, async (t) => {
  const topic = await createTopic(t)
  await topic.create()
  const parts = base(t)
  const to = receiver(parts, [key])
  const feed = startFeed(parts, to, topic)
  await topic.write(heartbeat())
  await eventually(() => feed.complete(), { within: 60_000 })
  await topic.admin.createPartitions({ topicPartitions: [{ topic: topic.topic, count: 2 }] })
  await eventually(() => topic.write({ value: revoked('in the new one'), partition: 1 }).then((sent) => sent.length))
  await eventually(() => to.added.length === 1, { within: 60_000 + 3 * PARTITIONS_MAX_AGE_MS })
  const known = to.freshness.completeUntil('kafka')
  await topic.write(heartbeat(), revoked('marker'))
  await eventually(() => to.added.length === 2)
  t.equal(to.freshness.completeUntil('kafka'), known, 'a heartbeat in the old one alone proves nothing any more')
  const all = Date.now()
  await topic.write({ value: heartbeat(all), partition: 0 }, { value: heartbeat(all), partition: 1 })
  await eventually(() => to.freshness.completeUntil('kafka') === all)
})

test('revocations that are over are passed over', options, async (t) => {
  const topic = await createTopic(t)
  await topic.create()
  const parts = base(t)
  const clock = manualClock()
  const to = receiver(parts, [key], clock)
  const over = sign({ type: 'revocation', revocation: { ...session('over'), exp: Math.floor(clock.now() / 1000) } })
  await topic.write(over, revoked('live'))
  startFeed(parts, to, topic)
  await eventually(() => to.added.length > 0, { within: 60_000 })
  t.same(to.added, ['session:live'])
})

test('its consumer group is gone when it has ended', options, async (t) => {
  const topic = await createTopic(t)
  await topic.create()
  await topic.write(heartbeat())
  const parts = base(t)
  const to = receiver(parts, [key])
  const feed = startFeed(parts, to, topic)
  await eventually(() => feed.complete(), { within: 60_000 })
  const group = await eventually(() => groupThatReads(topic))
  const began = performance.now()
  await parts.lifecycle.close()
  const tookMs = performance.now() - began
  t.ok(tookMs < 8000, 'it ends quickly')
  const { groups } = await topic.admin.listGroups()
  // A broker that takes longer is not waited for: it forgets an empty group by itself.
  t.ok(tookMs >= DELETE_WITHIN_MS || groups.every(({ groupId }) => groupId !== group), 'and leaves nothing behind')
})

/** Of all the sidecars' groups the one with a member that reads this topic. */
async function groupThatReads({ admin, topic }: { admin: Admin; topic: string }): Promise<string | undefined> {
  const ids = (await admin.listGroups()).groups.map(({ groupId }) => groupId)
  const { groups } = await admin.describeGroups(ids.filter((id) => id.startsWith('sallyport-sidecar-')))
  return groups.find(({ members }) => members.some(({ memberAssignment }) => memberAssignment.includes(topic)))?.groupId
}

test('what a clock that was ahead passed over is read again before anything is proven', options, async (t) => {
  const topic = await createTopic(t)
  await topic.create()
  await topic.write(heartbeat())
  const parts = base(t)
  const clock = manualClock()
  const to = receiver(parts, [key], clock)
  const feed = startFeed(parts, to, topic)
  await eventually(() => feed.complete(), { within: 60_000 })
  clock.advance(3_600_000)
  await topic.write(revoked('meanwhile'))
  const outdated = () => metric(parts.metrics, 'revocation_events_total', { kind: 'session', outcome: 'outdated' })
  await eventually(async () => (await outdated()) === 1)
  clock.advance(-3_600_000)
  const known = to.freshness.completeUntil()
  await topic.write(heartbeat(clock.now() + 1000))
  await eventually(() => to.freshness.completeUntil() > known, { within: 60_000 })
  t.same(to.added, ['session:meanwhile'])
})

test('a heartbeat of an issuer’s stream proves nothing here, whoever copied it', options, async (t) => {
  const topic = await createTopic(t)
  await topic.create()
  const parts = base(t)
  const to = receiver(parts, [key])
  const feed = startFeed(parts, to, topic)
  await topic.write(sign({ type: 'heartbeat', feed: 'stream', instance: 'a', completeUntilMs: Date.now() }))
  const refused = () => metric(parts.metrics, 'revocation_events_total', { outcome: 'other_feed' })
  await eventually(async () => (await refused()) === 1, { within: 60_000 })
  t.notOk(feed.complete())
  t.equal(to.freshness.completeUntil(), 0)
  await topic.write(heartbeat())
  await eventually(() => feed.complete())
})

/** What Kafka's Java clients make of Snappy (the framing of snappy-java), without compressing anything. */
function snappy(bytes: Buffer): Buffer {
  const length = Buffer.from([(bytes.length & 0x7f) | 0x80, bytes.length >> 7])
  const literal = Buffer.from([61 << 2, (bytes.length - 1) & 0xff, (bytes.length - 1) >> 8])
  const chunk = Buffer.concat([length, literal, bytes])
  const size = Buffer.alloc(4)
  size.writeUInt32BE(chunk.length)
  return Buffer.concat([Buffer.from('82534e41505059000000000100000001', 'hex'), size, chunk])
}

test('a writer who compresses stops nobody: the broker unpacks it', options, async (t) => {
  const topic = await createTopic(t)
  const configEntries = topicConfig(300, 1)
  await topic.admin.createTopics({ topics: [{ topic: topic.topic, numPartitions: 1, configEntries }] })
  // kafkajs can't read Snappy: a consumer that met it would fail, begin anew, and fail again.
  const missing = CompressionCodecs[CompressionTypes.Snappy]
  const restore = () => {
    CompressionCodecs[CompressionTypes.Snappy] = missing
  }
  CompressionCodecs[CompressionTypes.Snappy] = () => ({
    compress: async ({ buffer }: { buffer: Buffer }) => snappy(buffer),
  })
  t.teardown(restore)
  const producer = new Kafka({ brokers: topic.brokers, ...silent }).producer()
  await producer.connect()
  t.teardown(() => producer.disconnect())
  const compression = CompressionTypes.Snappy
  await producer.send({ topic: topic.topic, compression, messages: [{ value: 'x'.repeat(300) }] })
  restore()
  await topic.write(revoked('after'), heartbeat())
  const parts = base(t)
  const to = receiver(parts, [key])
  const feed = startFeed(parts, to, topic)
  await eventually(() => feed.complete(), { within: 60_000 })
  t.same(to.added, ['session:after'])
})
