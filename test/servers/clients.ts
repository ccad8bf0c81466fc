import { Redis } from 'ioredis'
import { Kafka, logLevel } from 'kafkajs'
import { MongoClient } from 'mongodb'
import { eventually } from '../helpers/eventually.ts'

/** The least a test of a server needs from its client. */
export interface Client {
  /** Resolves when the server acknowledged it as durably as the product asks for. */
  write(value: string): Promise<unknown>
  readAll(): Promise<string[]>
  close(): Promise<unknown>
}

export async function connectRedis(url: string): Promise<Client> {
  const redis = new Redis(url, { retryStrategy: () => null, maxRetriesPerRequest: 0 })
  redis.on('error', () => {})
  return {
    write: (value) => redis.rpush('values', value),
    readAll: () => redis.lrange('values', 0, -1),
    close: async () => redis.disconnect(),
  }
}

export async function connectMongo(url: string): Promise<Client> {
  // close() says good-bye to the server, and looks for one for as long as this if it just went.
  const options = { writeConcern: { w: 'majority' as const }, serverSelectionTimeoutMS: 2000 }
  // … which is too short to connect by where the machine stands still meanwhile.
  const client = await eventually(() => new MongoClient(url, options).connect(), { message: 'a connection' })
  const values = client.db('test').collection<{ _id: string }>('values')
  return {
    // In a transaction, which only a member of a replica set has.
    write: (value) =>
      client.withSession((session) => session.withTransaction(() => values.insertOne({ _id: value }, { session }))),
    readAll: async () => (await values.find().toArray()).map(({ _id }) => _id),
    close: () => client.close(),
  }
}

export async function connectKafka(url: string): Promise<Client> {
  const kafka = new Kafka({ brokers: [url], logLevel: logLevel.NOTHING })
  const [admin, producer] = [kafka.admin(), kafka.producer()]
  await admin.connect()
  await admin.createTopics({ topics: [{ topic: 'values' }], waitForLeaders: true })
  await producer.connect()
  return {
    write: (value) => producer.send({ topic: 'values', acks: -1, messages: [{ value }] }),
    async readAll() {
      const [partition] = await admin.fetchTopicOffsets('values')
      const consumer = kafka.consumer({ groupId: `reader-${Date.now()}` })
      await consumer.connect()
      await consumer.subscribe({ topic: 'values', fromBeginning: true })
      const values: string[] = []
      await new Promise<void>((resolve) =>
        consumer.run({
          eachMessage: async ({ message }) => {
            values.push(String(message.value))
            if (values.length === Number(partition?.high)) resolve()
          },
        }),
      )
      await consumer.disconnect()
      return values
    },
    close: () => Promise.all([producer.disconnect(), admin.disconnect()]),
  }
}
