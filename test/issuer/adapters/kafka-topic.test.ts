import { type Admin, Kafka, logLevel } from 'kafkajs'
import { type Test, test } from 'tap'
import { createKafkaPublisher } from '../../../issuer/adapters/kafka-publisher.ts'
import { ensureTopic } from '../../../issuer/adapters/kafka-topic.ts'
import { topicConfig } from '../../../shared/kafka.ts'
import { eventually } from '../../helpers/eventually.ts'
import { base } from '../../helpers/revocations.ts'
import { uniqueName } from '../../helpers/unique-name.ts'
import { missingShared, sharedUrl } from '../../servers/shared.ts'

const shared = { skip: await missingShared('kafka'), timeout: 300_000 }

const TOPIC = 2
const WITHIN_MS = 20_000
/** Of tokens that live for five minutes and for an hour. */
const [SHORT, LONG] = ['1200000', '14400000']

/** A topic made for tokens that live for five minutes, with a setting of its owner's. */
async function aTopic(t: Test) {
  const brokers = [await sharedUrl('kafka')]
  const admin = new Kafka({ brokers, logLevel: logLevel.NOTHING }).admin()
  await admin.connect()
  t.teardown(() => admin.disconnect())
  const topic = uniqueName('topic')
  const configEntries = [...topicConfig(300, 1), { name: 'max.message.bytes', value: '1234567' }]
  await admin.createTopics({ topics: [{ topic, configEntries }], waitForLeaders: true })
  return { brokers, admin, topic }
}

/** What was set for the topic itself. */
async function settingsOf(admin: Admin, topic: string): Promise<Record<string, string>> {
  const { resources } = await admin.describeConfigs({
    includeSynonyms: false,
    resources: [{ type: TOPIC, name: topic }],
  })
  const own = resources[0]!.configEntries.filter(({ configSource }) => configSource === 1)
  return Object.fromEntries(own.map(({ configName, configValue }) => [configName, configValue]))
}

test('a retention that is too short for the tokens is raised, and nothing else', shared, async (t) => {
  const { admin, topic } = await aTopic(t)
  const { log, lines } = base(t)
  const before = await settingsOf(admin, topic)
  t.match(before, { 'retention.ms': SHORT, 'max.message.bytes': '1234567' })
  await ensureTopic(admin, topic, 1160, log)
  t.same(await settingsOf(admin, topic), before, 'long enough')
  t.match(lines.join(), /below two access-token lifetimes/)
  await ensureTopic(admin, topic, 3600, log)
  await eventually(async () => (await settingsOf(admin, topic))['retention.ms'] === LONG, { within: WITHIN_MS })
  const raised = { ...before, 'retention.ms': LONG }
  t.same(await settingsOf(admin, topic), raised)
  await ensureTopic(admin, topic, 300, log)
  t.same(await settingsOf(admin, topic), raised, 'and never lowered')
})

test('a topic that forgets too early and may not be altered is not used', shared, async (t) => {
  const { admin, topic } = await aTopic(t)
  const { log } = base(t)
  const alterConfigs = () => Promise.reject(new Error('not authorized'))
  await t.rejects(ensureTopic({ ...admin, alterConfigs }, topic, 3600, log), /retention\.ms of .* cannot be raised/)
  await t.resolves(ensureTopic({ ...admin, alterConfigs }, topic, 300, log))
  const describeConfigs = () => Promise.reject(new Error('not authorized'))
  await t.resolves(ensureTopic({ ...admin, describeConfigs }, topic, 3600, log), 'unless nobody can know')
})

test('an issuer that is connected raises it when another one comes whose tokens live longer', shared, async (t) => {
  const { brokers, admin, topic } = await aTopic(t)
  const { log, lifecycle } = base(t)
  let lifetimeS = 300
  const publisher = createKafkaPublisher(
    { brokers, topic, longestLifetimeS: () => lifetimeS },
    'a',
    log,
    lifecycle,
    100,
  )
  await eventually(() => publisher.check().ok, { within: WITHIN_MS })
  t.match(await settingsOf(admin, topic), { 'retention.ms': SHORT })
  lifetimeS = 3600
  await eventually(async () => (await settingsOf(admin, topic))['retention.ms'] === LONG, { within: WITHIN_MS })
  t.ok(publisher.check().ok, 'and goes on')
})
