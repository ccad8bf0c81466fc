import { spawnSync } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { Kafka, logLevel } from 'kafkajs'
import { createKafka } from '../shared/kafka.ts'
import { createLog } from '../shared/log.ts'
import { sharedUrl } from '../test/servers/shared.ts'

/**
 * What an idle producer and an idle consumer cost: milliseconds of CPU a second, with kafkajs as shipped and with the
 * patch of shared/kafka.ts. Each is measured in a process of its own. Usage: node bench/kafka-idle.ts [seconds]
 */
const seconds = Number(process.argv[2] ?? 10)
const role = process.env.KAFKA_IDLE

if (role) console.log(await measure(role, process.env.TEST_KAFKA_BROKERS!))
else {
  const brokers = await sharedUrl('kafka')
  for (const kind of ['as shipped', 'patched']) {
    const { stdout } = spawnSync(process.execPath, [fileURLToPath(import.meta.url), String(seconds)], {
      env: { ...process.env, KAFKA_IDLE: kind, TEST_KAFKA_BROKERS: brokers, NODE_NO_WARNINGS: '1' },
      encoding: 'utf8',
    })
    console.log(`${kind}: ${Number(stdout).toFixed(1)} ms of CPU a second`)
  }
  process.exit()
}

async function measure(kind: string, brokers: string): Promise<number> {
  const list = brokers.split(',')
  const kafka =
    kind === 'patched'
      ? createKafka({ brokers: list }, 'idle', createLog('bench', 'silent'))
      : new Kafka({ clientId: 'idle', brokers: list, logLevel: logLevel.NOTHING })
  const topic = `idle-${randomUUID()}`
  const admin = kafka.admin()
  await admin.connect()
  await admin.createTopics({ topics: [{ topic }], waitForLeaders: true })
  await admin.disconnect()
  const producer = kafka.producer()
  const consumer = kafka.consumer({ groupId: topic, maxWaitTimeInMs: 500 })
  await Promise.all([producer.connect(), consumer.connect()])
  await consumer.subscribe({ topic, fromBeginning: true })
  const first = Promise.withResolvers<void>()
  await consumer.run({ autoCommit: false, eachBatch: async () => first.resolve() })
  await producer.send({ topic, messages: [{ value: 'one' }] })
  await first.promise
  await sleep(1000)
  const before = process.cpuUsage()
  await sleep(seconds * 1000)
  const { user, system } = process.cpuUsage(before)
  setTimeout(() => process.exit(), 100)
  return (user + system) / 1000 / seconds
}
