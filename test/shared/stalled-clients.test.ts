import { once } from 'node:events'
import { createServer, type RequestListener } from 'node:http'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Test, test } from 'tap'
import { giveUpStalledClients } from '../../shared/stalled-clients.ts'
import { eventually } from '../helpers/eventually.ts'

const STALL_MS = 400
/** For those that must not be ended: longer than a busy machine keeps this process waiting. */
const LONG_STALL_MS = 2000
/** More than the kernels keep for a connection of loopback. */
const MUCH = 32 * 1024 * 1024
const GET = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n'

async function start(t: Test, answer: RequestListener, stallMs = STALL_MS) {
  const server = createServer(answer)
  giveUpStalledClients(server, stallMs)
  const accepted: Socket[] = []
  server.on('connection', (socket: Socket) => accepted.push(socket))
  await once(server.listen(0, '127.0.0.1'), 'listening')
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  const client = connect((server.address() as AddressInfo).port, '127.0.0.1')
  client.on('error', () => {})
  t.teardown(() => client.destroy())
  client.write(GET)
  await eventually(() => accepted.length === 1)
  return { client, socket: accepted[0]!, closed: once(client, 'close') }
}

test('a client that takes nothing of its answer is ended, whether or not more of it is to come', async (t) => {
  for (const end of [true, false]) {
    const { client, socket } = await start(t, (_request, response) => {
      response.write(Buffer.alloc(MUCH))
      if (end) response.end()
    })
    client.pause()
    await eventually(() => socket.destroyed, { message: `end: ${end}` })
  }
})

test('a client that takes it slowly gets all of it', async (t) => {
  const { client, closed } = await start(
    t,
    (_request, response) => {
      response.setHeader('connection', 'close')
      response.end(Buffer.alloc(MUCH))
    },
    LONG_STALL_MS,
  )
  const began = performance.now()
  let taken = 0
  client.on('data', (chunk: Buffer) => {
    taken += chunk.length
    client.pause()
    setTimeout(() => client.resume(), 8)
  })
  await closed
  t.ok(performance.now() - began > LONG_STALL_MS, 'so slowly that a time for the whole would have ended it')
  t.ok(taken > MUCH)
})

test('a client that waits is not ended, however long that takes, also when it was slow before', async (t) => {
  const late = Promise.withResolvers<void>()
  const { client, socket } = await start(
    t,
    async (_request, response) => {
      response.write(Buffer.alloc(MUCH))
      await late.promise
      response.end('late')
    },
    LONG_STALL_MS,
  )
  let taken = 0
  let text = ''
  client.on('data', (chunk: Buffer) => {
    taken += chunk.length
    text = chunk.toString('latin1').slice(-20)
  })
  client.pause()
  await eventually(() => socket.timeout !== undefined && socket.timeout > 0, { every: 5, message: 'it was seen' })
  client.resume()
  await eventually(() => taken > MUCH)
  await sleep(2 * LONG_STALL_MS)
  late.resolve()
  await eventually(() => text.includes('late'))
  t.notOk(socket.destroyed)
})
