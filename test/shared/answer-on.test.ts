import { once } from 'node:events'
import { createServer, type ServerResponse } from 'node:http'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { test } from 'tap'
import { answerOn, isLast } from '../../shared/answer-on.ts'
import { eventually } from '../helpers/eventually.ts'

test('Node says which answer has a connection, and whether it is the last', async (t) => {
  const asked: { socket: Socket; response: ServerResponse }[] = []
  const server = createServer(({ socket }, response) => asked.push({ socket, response }))
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const client = connect((server.address() as AddressInfo).port, '127.0.0.1')
  t.teardown(() => {
    client.destroy()
    server.close()
  })
  client.resume()
  client.write('GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n')
  await eventually(() => asked.length === 2)
  const [first, second] = asked
  const { socket } = first!
  t.equal(answerOn(socket), first!.response)
  first!.response.end('1')
  await eventually(() => answerOn(socket) === second!.response)
  t.notOk(isLast(first!.response))
  second!.response.writeHead(200, { connection: 'close' }).flushHeaders()
  t.ok(isLast(second!.response))
})

test('a connection that idles has none', async (t) => {
  const server = createServer((_request, response) => response.end('x'))
  const connected = once(server, 'connection')
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const client = connect((server.address() as AddressInfo).port, '127.0.0.1')
  t.teardown(() => {
    client.destroy()
    server.close()
  })
  const [socket] = (await connected) as [Socket]
  t.equal(answerOn(socket), undefined)
  client.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
  await once(client, 'data')
  await eventually(() => answerOn(socket) === undefined)
})
