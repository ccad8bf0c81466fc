import { Redis } from 'ioredis'
import { test } from 'tap'
import { withLocalFallback } from '../../../issuer/adapters/counts-fallback.ts'
import { createMemoryCounts } from '../../../issuer/adapters/memory/counts.ts'
import { systemClock } from '../../../shared/clock.ts'
import { createMetrics } from '../../../shared/metrics.ts'
import { eventually } from '../../helpers/eventually.ts'
import { placeOf } from '../../helpers/stores.ts'
import { temporaryFolder } from '../../helpers/temporary-folder.ts'
import { uniqueName } from '../../helpers/unique-name.ts'
import { startRedis } from '../../servers/redis.ts'
import { missing } from '../../servers/shared.ts'

test('a Redis in trouble keeps nobody waiting and switches no limit off', {
  skip: await missing('redis'),
  timeout: 300_000,
}, async (t) => {
  const server = await startRedis()
  t.teardown(() => server.stop())
  const settings = { MONGO_URL: undefined, REDIS_URL: server.url, REDIS_PREFIX: 'test:', DATA_DIR: temporaryFolder(t) }
  const { counts: shared } = await placeOf(t, settings).open()
  const metrics = createMetrics()
  const counts = withLocalFallback(shared!, createMemoryCounts(systemClock), metrics)
  const redis = new Redis(server.url)
  redis.on('error', () => {})
  t.teardown(() => redis.disconnect())
  const hit = async (key: string) => (await counts.hit(key, 60_000)).count
  const failures = async () => Number(/^shared_counts_failures_total (\d+)/m.exec(await metrics.metrics())?.[1])

  // Unless the machine stood still for longer than Redis is given.
  const counted = await eventually(async () => {
    const before = await failures()
    const key = uniqueName('key')
    const counts = [await hit(key), await hit(key)]
    return (await failures()) === before && counts.join() === '1,2' && key
  })
  t.equal(await redis.get(`test:limit:{${counted}}`), '2', 'in Redis')

  for (const [name, harm, heal] of [
    ['hanging', () => server.pause(), () => server.resume()],
    ['killed', () => server.kill(), () => server.start()],
  ] as const) {
    await harm()
    const before = await failures()
    const took: number[] = []
    for (const count of [1, 2, 3, 4, 5]) {
      const begin = performance.now()
      t.equal(await hit(name), count, `${name}: counted here`)
      took.push(performance.now() - begin)
    }
    // A command to Redis by itself would be given a second.
    t.ok(Math.min(...took) < 600, `${name}: within ${took.map(Math.round)} ms`)
    const guess = { account: name, network: name }
    const waits: number[] = []
    // All at one instant, so that no wait has passed when the next guess comes.
    const now = Date.now()
    for (let i = 0; i < 7; i++) waits.push(await counts.claim(guess, now))
    t.same(waits.slice(0, 5), [0, 0, 0, 0, 0], name)
    t.ok(waits[5]! > 0 && waits[6]! > 0, `${name}: throttled here`)
    await counts.settle(guess, 'wrong', now)
    t.equal(await failures(), before + 13, `${name}: and it is counted how often`)
    await heal()
    await eventually(async () => {
      const failed = await failures()
      await hit('again')
      return (await failures()) === failed
    })
    t.equal(Number(await redis.get('test:limit:{again}')) > 0, true, `${name}: in Redis again`)
  }
})
