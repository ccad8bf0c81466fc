import { type Admin, Kafka, logLevel } from 'kafkajs'
import { test } from 'tap'
import { createAudit } from '../../../issuer/adapters/audit.ts'
import { createAuditTopic } from '../../../issuer/adapters/audit-topic.ts'
import { startIssuer } from '../../../issuer/main.ts'
import { createLifecycle } from '../../../shared/lifecycle.ts'
import { createLog } from '../../../shared/log.ts'
import { createMetrics } from '../../../shared/metrics.ts'
import { login, logout, register } from '../../helpers/client.ts'
import { eventually } from '../../helpers/eventually.ts'
import { temporaryFolder } from '../../helpers/temporary-folder.ts'
import { uniqueName } from '../../helpers/unique-name.ts'
import { startKafka } from '../../servers/kafka.ts'
import { missing, missingShared, sharedUrl } from '../../servers/shared.ts'

function auditOver(brokers: string, topic: string) {
  const lines: string[] = []
  const log = createLog('issuer', 'warn', { write: (line) => void lines.push(line) })
  const [metrics, lifecycle] = [createMetrics(), createLifecycle(log)]
  const address = { brokers: brokers.split(','), topic }
  const sink = createAuditTopic({ address, instance: 'a', log, metrics, lifecycle })
  const { record } = createAudit(log, metrics, sink)
  const has = async (line: string) => (await metrics.metrics()).includes(`\n${line}\n`)
  return { record, lines, lifecycle, has }
}

const client = (brokers: string) => new Kafka({ brokers: brokers.split(','), logLevel: logLevel.NOTHING })

async function withAdmin<T>(brokers: string, work: (admin: Admin) => Promise<T>): Promise<T> {
  const admin = client(brokers).admin()
  await admin.connect()
  try {
    return await work(admin)
  } finally {
    await admin.disconnect()
  }
}

const createTopic = (brokers: string, topic: string) =>
  withAdmin(brokers, (admin) => admin.createTopics({ topics: [{ topic, numPartitions: 1 }] }))

/** The first `count` different messages of the topic. One whose acknowledgement was lost is there again. */
async function read(brokers: string, topic: string, count: number) {
  const consumer = client(brokers).consumer({ groupId: uniqueName('reader'), maxWaitTimeInMs: 100 })
  const messages = new Map<string, { key: string; value: Record<string, unknown> }>()
  let repeated = 0
  await consumer.connect()
  await consumer.subscribe({ topic, fromBeginning: true })
  await new Promise<void>((resolve) => {
    void consumer.run({
      eachMessage: async ({ message }) => {
        const text = String(message.value)
        if (messages.has(text)) repeated++
        else messages.set(text, { key: String(message.key), value: JSON.parse(text) })
        if (messages.size >= count) resolve()
      },
    })
  })
  await consumer.disconnect()
  return { messages: [...messages.values()], repeated }
}

test('events go to the topic, by user and in order, and to the log', {
  skip: await missingShared('kafka'),
}, async (t) => {
  const brokers = await sharedUrl('kafka')
  const topic = uniqueName('audit')
  await createTopic(brokers, topic)
  const { record, lines, lifecycle, has } = auditOver(brokers, topic)
  t.teardown(lifecycle.close)
  for (let n = 0; n < 1200; n++) record('login', { sub: `u${n % 3}`, n, address: null })
  record('signing_key_rotated', { kid: 'k' })
  const { messages, repeated } = await read(brokers, topic, 1201)
  t.match(messages[0], {
    key: 'u0',
    value: { event: 'login', sub: 'u0', n: 0, address: null, time: /^\d{4}-.*Z$/ },
  })
  t.same(
    messages.map(({ value }) => value.n),
    [...Array.from({ length: 1200 }, (_, n) => n), undefined],
  )
  t.equal(messages.at(-1)?.key, 'signing_key_rotated', 'an event without a user is kept together by its name')
  const events = lines.filter((line) => line.includes('"audit":true'))
  t.equal(events.length, 1201)
  t.ok(repeated === 0 || lines.length > events.length, 'none goes out twice without a reason')
  // A reader has the last ones before the broker's acknowledgement is here.
  await eventually(() => has('audit_events_waiting 0'))
  t.ok(await has('audit_events_lost_total 0'))
})

test('what waits at the end of the process is sent first', { skip: await missingShared('kafka') }, async (t) => {
  const brokers = await sharedUrl('kafka')
  const topic = uniqueName('audit')
  await createTopic(brokers, topic)
  const { record, lifecycle } = auditOver(brokers, topic)
  record('login', { sub: 'first' })
  await read(brokers, topic, 1)
  record('logout', { sub: 'last' })
  await lifecycle.close()
  t.match((await read(brokers, topic, 2)).messages, [{ key: 'first' }, { key: 'last' }])
})

test('while the broker is away nothing waits; it is bounded, counted, and goes on afterwards', {
  skip: await missing('kafka'),
  timeout: 300_000,
}, async (t) => {
  const server = await startKafka()
  t.teardown(server.stop)
  const topic = 'audit'
  await createTopic(server.url, topic)
  const { record, lines, lifecycle, has } = auditOver(server.url, topic)
  t.teardown(lifecycle.close)
  record('login', { sub: 'before' })
  await eventually(() => has('audit_events_waiting 0'))
  await server.kill()
  const began = performance.now()
  for (let n = 0; n < 10_005; n++) record('login', { sub: 'during', n })
  t.ok(performance.now() - began < 8000, 'recording never waits')
  t.ok(await has('audit_events_waiting 10000'))
  t.ok(await has('audit_events_lost_total 5'))
  await eventually(() => lines.some((line) => line.includes('the audit topic cannot be used')), { within: 60_000 })
  await server.start()
  await eventually(() => has('audit_events_waiting 0'), { within: 60_000 })
  const { messages } = await read(server.url, topic, 10_001)
  t.equal(messages[0]?.value.sub, 'before')
  const numbers = new Set(messages.slice(1).map(({ value }) => value.n))
  t.equal(numbers.has(4), false, 'the oldest are the ones that are lost')
  t.equal(numbers.has(10_004), true)
})

test('an end without a broker is an end, and says what was lost', async (t) => {
  const { record, lifecycle, has } = auditOver('127.0.0.1:1', 'audit')
  record('login', { sub: 'x' })
  const began = performance.now()
  await lifecycle.close()
  t.ok(performance.now() - began < 8000)
  t.ok(await has('audit_events_lost_total 1'))
})

test('a running issuer with AUDIT_TOPIC', { skip: await missingShared('kafka') }, async (t) => {
  const brokers = await sharedUrl('kafka')
  const topic = uniqueName('audit')
  await createTopic(brokers, topic)
  const env = {
    ISSUER_PORT: '0',
    DATA_DIR: temporaryFolder(t),
    HASH_MEMORY_KIB: '7168',
    HASH_TIME: '5',
    KAFKA_BROKERS: brokers,
    KAFKA_TOPIC: uniqueName('revocations'),
    AUDIT_TOPIC: topic,
  }
  const issuer = await startIssuer(env, { log: createLog('issuer', 'silent') })
  t.teardown(issuer.close)
  const credentials = await register(issuer.url)
  const { access_token } = await login(issuer.url, credentials)
  await logout(issuer.url, access_token)
  const { messages } = await read(brokers, topic, 3)
  t.same(
    messages.map(({ value }) => value.event),
    ['register', 'login', 'logout'],
  )
  t.notOk(JSON.stringify(messages).includes(credentials.email))
})
