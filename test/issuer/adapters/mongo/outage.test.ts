import { test } from 'tap'
import { allAvailable, allUnavailable, durableCalls, placeOf } from '../../../helpers/stores.ts'
import { temporaryFolder } from '../../../helpers/temporary-folder.ts'
import { startMongo } from '../../../servers/mongo.ts'
import { missing } from '../../../servers/shared.ts'

test('MongoDB that is gone or hangs is unavailable within a bound, and used again when it is back', {
  skip: await missing('mongo'),
  timeout: 300_000,
}, async (t) => {
  const server = await startMongo()
  t.teardown(() => server.stop())
  const settings = { MONGO_URL: server.url, REDIS_URL: undefined, REDIS_PREFIX: '', DATA_DIR: temporaryFolder(t) }
  const stores = await placeOf(t, settings).open()
  const calls = durableCalls(stores)
  const checks = async () => (await stores.check()).map(({ name, ok }) => `${name} ${ok}`).sort()
  t.same(await checks(), ['MongoDB true', 'SQLite true'])

  await server.kill()
  await allUnavailable(t, calls, 8000, 'killed')
  t.same(await checks(), ['MongoDB false', 'SQLite true'])
  await server.start()
  await allAvailable(calls)
  t.same(await checks(), ['MongoDB true', 'SQLite true'])

  server.pause()
  await allUnavailable(t, calls, 8000, 'hanging')
  const begin = performance.now()
  t.same(await checks(), ['MongoDB false', 'SQLite true'])
  t.ok(performance.now() - begin < 3000, 'the health check has a shorter deadline')
  server.resume()
  await allAvailable(calls)

  t.equal(await stores.ledger.isSessionRevoked('sid'), true, 'what was recorded is still there')
})
