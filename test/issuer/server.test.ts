import { connect, type Socket } from 'node:net'
import { test } from 'tap'
import { eventually } from '../helpers/eventually.ts'
import { buildIssuer } from './build.ts'

test('a client that takes nothing of an answer is given up', async (t) => {
  const { app } = await buildIssuer(t, { rules: { stallMs: 3000 } })
  await app.listen({ host: '127.0.0.1', port: 0 })
  const { server } = app
  const accepted: Socket[] = []
  server.on('connection', (socket: Socket) => accepted.push(socket))
  let asked = 0
  server.on('request', () => asked++)
  const client = connect((server.address() as { port: number }).port, '127.0.0.1')
  client.on('error', () => {})
  t.teardown(() => client.destroy())
  client.pause()
  await eventually(() => accepted.length === 1)
  const [end] = accepted
  for (let sent = 1; end!.writableLength === 0 && sent < 10_000; sent++) {
    client.write('GET /openapi.json HTTP/1.1\r\nHost: a\r\n\r\n')
    await eventually(() => asked === sent, { every: 1 })
  }
  await eventually(() => end!.destroyed, { within: 60_000 })
})
