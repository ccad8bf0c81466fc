import { once } from 'node:events'
import { createRequire } from 'node:module'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { test } from 'tap'
import { connectKafka, createKafka, topicConfig } from '../../shared/kafka.ts'
import { createLog } from '../../shared/log.ts'

const log = createLog('test', 'silent')

interface Queue {
  pending: unknown[]
  throttledUntil: number
  throttleCheckTimeoutId: NodeJS.Timeout | null
  scheduleCheckPendingRequests(): void
  destroy(): void
}

function requestQueue(): Queue {
  const RequestQueue = createRequire(import.meta.url)('kafkajs/src/network/requestQueue')
  return new RequestQueue({ requestTimeout: 1000, clientId: 'test', broker: 'test', logger: { debug() {} } })
}

test('an idle request queue schedules no timer (tulios/kafkajs#1704)', async (t) => {
  const before = requestQueue()
  before.scheduleCheckPendingRequests()
  t.ok(before.throttleCheckTimeoutId, 'as shipped it does, which is why there is a patch')
  before.destroy()

  createKafka({ brokers: ['127.0.0.1:1'] }, 'test', log)
  const idle = requestQueue()
  idle.scheduleCheckPendingRequests()
  t.equal(idle.throttleCheckTimeoutId, null)

  const throttled = requestQueue()
  throttled.throttledUntil = Date.now() + 10_000
  throttled.scheduleCheckPendingRequests()
  t.ok(throttled.throttleCheckTimeoutId, 'a throttled one still looks again')
  throttled.destroy()

  const busy = requestQueue()
  busy.pending.push({})
  busy.scheduleCheckPendingRequests()
  t.ok(busy.throttleCheckTimeoutId, 'and so does one with something to send')
  busy.destroy()
})

test('a client that is destroyed lets go of a broker that hangs, and connects no more', async (t) => {
  const sockets: Socket[] = []
  const silent = createServer((socket) => sockets.push(socket))
  t.teardown(() => silent.close())
  await once(silent.listen(0, '127.0.0.1'), 'listening')
  const { port } = silent.address() as AddressInfo
  const connection = connectKafka({ brokers: [`127.0.0.1:${port}`], topic: 'none' }, 'test', log)
  const admin = connection.client.admin()
  const connecting = admin.connect().catch((error: Error) => error)
  const [socket] = (await once(silent, 'connection')) as [Socket]
  const began = performance.now()
  connection.destroy()
  await once(socket.resume(), 'close')
  t.ok((await connecting) instanceof Error)
  t.ok(performance.now() - began < 4500, 'before the request would have timed out')
  await connection.end(admin)
})

test('the topic keeps revocations for a few token lifetimes, and three replicas mean two acknowledge', async (t) => {
  const values = (lifetimeS: number, replicas: number) =>
    Object.fromEntries(topicConfig(lifetimeS, replicas).map(({ name, value }) => [name, value]))
  t.same(values(300, 3), {
    'cleanup.policy': 'delete',
    'retention.ms': '1200000',
    'segment.ms': '300000',
    'min.insync.replicas': '2',
    'unclean.leader.election.enable': 'false',
    'message.timestamp.type': 'LogAppendTime',
    'compression.type': 'uncompressed',
  })
  t.match(values(10, 1), { 'retention.ms': '60000', 'segment.ms': '15000', 'min.insync.replicas': '1' })
})
