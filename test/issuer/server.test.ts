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
  // Again and again: what waited may have found a place in the kernel after all.
  const askUntilAnAnswerWaits = async () => {
    for (let n = 0; !end!.destroyed && end!.writableLength === 0 && n < 10_000; n++) {
      const before = asked
      client.write('GET /openapi.json HTTP/1.1\r\nHost: a\r\n\r\n')
      await eventually(() => asked > before || end!.writableLength > 0, { every: 1 })
    }
    return end!.destroyed
  }
  await eventually(askUntilAnAnswerWaits, { within: 60_000 })
})
