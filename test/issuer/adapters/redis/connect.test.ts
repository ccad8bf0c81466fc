import { once } from 'node:events'
import { type AddressInfo, connect, createServer } from 'node:net'
import { type Test, test } from 'tap'
import { connectRedis } from '../../../../issuer/adapters/redis/connect.ts'
import { createLog } from '../../../../shared/log.ts'
import { uniqueName } from '../../../helpers/unique-name.ts'
import { missingShared, sharedUrl } from '../../../servers/shared.ts'

/** A relay in front of the shared Redis that counts the pieces in which it is sent something. */
async function startRelay(t: Test) {
  const url = new URL(await sharedUrl('redis'))
  const { hostname, port } = url
  let pieces = 0
  const server = createServer((client) => {
    const upstream = connect(Number(port), hostname)
    client.on('data', () => pieces++)
    client.pipe(upstream).pipe(client)
    client.on('close', () => upstream.destroy())
    client.on('error', () => upstream.destroy())
    upstream.on('error', () => client.destroy())
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  t.teardown(() => server.close())
  url.host = `127.0.0.1:${(server.address() as AddressInfo).port}`
  return { url: url.href, pieces: () => pieces }
}

test('what is sent in one turn of the event loop leaves at once', { skip: await missingShared('redis') }, async (t) => {
  const relay = await startRelay(t)
  const { client, attempt, ready, close } = connectRedis(relay.url, createLog('test', 'silent'))
  t.teardown(close)
  await ready()
  const key = uniqueName('gathered')
  const before = relay.pieces()
  // Each of them follows an answer of its own, as in the middle of requests.
  const counts = await Promise.all(
    Array.from({ length: 50 }, async () => {
      await Promise.resolve()
      return attempt(() => client.incr(key))
    }),
  )
  t.equal(relay.pieces() - before, 1)
  t.same(
    counts,
    Array.from({ length: 50 }, (_, i) => i + 1),
    'in their order, each with its own answer',
  )
  t.equal(await attempt(() => client.incr(key)), 51, 'one alone waits for nobody')
  await attempt(() => client.del(key))
})
