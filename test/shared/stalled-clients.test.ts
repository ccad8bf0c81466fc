import { once } from 'node:events'
import { createServer } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { type Test, test } from 'tap'
import { giveUpStalledClients } from '../../shared/stalled-clients.ts'

const STALL_MS = 600

async function start(t: Test) {
  const server = createServer((_request, response) => {
    setTimeout(() => response.end('late'), 5 * STALL_MS)
  })
  server.keepAliveTimeout = STALL_MS
  giveUpStalledClients(server, STALL_MS)
  await once(server.listen(0, '127.0.0.1'), 'listening')
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  const client = connect((server.address() as AddressInfo).port, '127.0.0.1')
  t.teardown(() => client.destroy())
  let text = ''
  client.setEncoding('latin1').on('data', (chunk) => {
    text += chunk
  })
  return { client, closed: once(client, 'close'), text: () => text }
}

test('a client that waits for its answer gets it, however long that takes; when it has it, it may not idle for ever', async (t) => {
  const { client, closed, text } = await start(t)
  client.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
  await closed
  t.match(text(), /^HTTP\/1\.1 200 .*late$/s)
})

test('a client that sends nothing is ended', async (t) => {
  const { closed, text } = await start(t)
  await closed
  t.equal(text(), '')
})
