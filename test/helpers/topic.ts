import { Kafka, logLevel } from 'kafkajs'
import { peekSecurityEvent, type SecurityEvent } from '../../shared/security-event.ts'
import { uniqueName } from './unique-name.ts'

/** Reads a revocation topic from its beginning to its present end, unverified, in order. */
export async function readTopic(brokers: string, topic: string, issuer: string): Promise<SecurityEvent[]> {
  const kafka = new Kafka({ brokers: brokers.split(','), logLevel: logLevel.NOTHING })
  const admin = kafka.admin()
  await admin.connect()
  const [offsets] = await admin.fetchTopicOffsets(topic)
  await admin.disconnect()
  const end = Number(offsets?.high ?? 0)
  if (end === Number(offsets?.low ?? 0)) return []
  const consumer = kafka.consumer({ groupId: uniqueName('reader'), maxWaitTimeInMs: 100 })
  const events: SecurityEvent[] = []
  await consumer.connect()
  await consumer.subscribe({ topic, fromBeginning: true })
  await new Promise<void>((resolve) => {
    void consumer.run({
      autoCommit: false,
      eachMessage: async ({ message }) => {
        const event = peekSecurityEvent(message.value?.toString() ?? '', issuer)
        if (event) events.push(event)
        if (Number(message.offset) + 1 >= end) resolve()
      },
    })
  })
  await consumer.disconnect()
  return events
}
