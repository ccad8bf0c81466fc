import diagnostics from 'node:diagnostics_channel'
import type { Socket } from 'node:net'
import { Kafka, logLevel } from 'kafkajs'
import { test } from 'tap'
import { startKafkaFeed } from '../../../sidecar/feeds/kafka.ts'
import { eventually } from '../../helpers/eventually.ts'
import { base, noMoreKeys, receiver, signer, signingKey } from '../../helpers/revocations.ts'
import { uniqueName } from '../../helpers/unique-name.ts'
import { missingShared, sharedUrl } from '../../servers/shared.ts'

/** One for metadata, one to the broker that has group and partition. */
const CONNECTIONS = 2

const options = { skip: await missingShared('kafka'), timeout: 300_000 }

test('a feed keeps no connection that only its start and its end need', options, async (t) => {
  const brokers = (await sharedUrl('kafka')).split(',')
  const topic = uniqueName('connections')
  const kafka = new Kafka({ brokers, logLevel: logLevel.NOTHING })
  const [admin, producer] = [kafka.admin(), kafka.producer()]
  await Promise.all([admin.connect(), producer.connect()])
  t.teardown(() => Promise.all([admin.disconnect(), producer.disconnect()]))
  await admin.createTopics({ topics: [{ topic }], waitForLeaders: true })
  const key = signingKey()
  const value = signer(key)({ type: 'heartbeat', instance: 'a', completeUntilMs: Date.now() })
  await producer.send({ topic, messages: [{ value }] })

  const sockets = new Set<Socket>()
  const opened = (message: unknown) => {
    const { socket } = message as { socket: Socket }
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
  }
  diagnostics.subscribe('net.client.socket', opened)
  t.teardown(() => diagnostics.unsubscribe('net.client.socket', opened))
  const parts = base(t)
  const to = receiver(parts, [key])
  const feed = startKafkaFeed({ address: { brokers, topic }, ...to, keys: noMoreKeys, onProgress() {}, ...parts })
  await eventually(() => feed.complete(), { within: 60_000 })
  await eventually(() => sockets.size === CONNECTIONS)
  await parts.lifecycle.close()
  await eventually(() => sockets.size === 0)
})
