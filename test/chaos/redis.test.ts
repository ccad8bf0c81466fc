import { Redis } from 'ioredis'
import { test } from 'tap'
import { login, logout, refresh, register, statusThrough } from '../helpers/client.ts'
import { startDeployment } from '../helpers/deployment.ts'
import { eventually } from '../helpers/eventually.ts'
import { missingProduction, productionServers } from '../helpers/production.ts'
import { startRecordingUpstream } from '../helpers/recording-upstream.ts'
import { startRedis } from '../servers/redis.ts'

test('Redis that loses what it knew, and Redis that is away', { skip: missingProduction }, async (t) => {
  const servers = await productionServers()
  const redis = await startRedis()
  t.teardown(() => redis.stop())
  const upstream = await startRecordingUpstream(t)
  const deployment = await startDeployment(t, { ...servers, redis: redis.url, upstream: upstream.url, issuers: 2 })
  const [first, second] = [deployment.issuers[0]!.url, deployment.issuers[1]!.url]
  const credentials = await register(first)
  const direct = new Redis(redis.url)
  direct.on('error', () => {})
  t.teardown(() => direct.disconnect())

  const dump = async () => {
    const keys = await direct.keys('*')
    return Promise.all(keys.map(async (key) => [key, (await direct.dumpBuffer(key))!] as const))
  }
  const restore = async (copy: Awaited<ReturnType<typeof dump>>) => {
    await direct.flushall()
    for (const [key, value] of copy) await direct.restore(key, 0, value)
  }

  await t.test('an old copy brings no ended session back', async (t) => {
    const [ended, all, kept] = [
      await login(first, credentials),
      await login(first, await register(first)),
      await login(first, credentials),
    ]
    const copy = await dump()
    await logout(first, ended.access_token)
    await logout(first, all.access_token, { all: true })
    await restore(copy)
    for (const url of [first, second]) {
      t.equal((await refresh(url, ended.refresh_token)).status, 401, 'one session ended')
      t.equal((await refresh(url, all.refresh_token)).status, 401, 'all sessions ended')
    }
    t.equal((await refresh(second, kept.refresh_token)).status, 200, 'a live one goes on')
  })

  await t.test('a copy without the last rotation: the client goes on', async (t) => {
    const { refresh_token: original } = await login(first, credentials)
    const copy = await dump()
    const rotated = await refresh(first, original)
    t.equal(rotated.status, 200)
    await restore(copy)
    const next = await refresh(second, rotated.body.refresh_token)
    t.equal(next.status, 200, 'the successor that the store has forgotten is accepted')
    t.equal((await refresh(first, next.body.refresh_token)).status, 200, 'and rotation goes on')
  })

  await t.test('wiped: nobody gets in without a login, and logging in works at once', async (t) => {
    const lost = await login(first, credentials)
    await logout(first, lost.access_token)
    await direct.flushall()
    t.equal((await refresh(first, lost.refresh_token)).status, 401)
    const again = await login(second, credentials)
    t.equal((await refresh(first, again.refresh_token)).status, 200)
  })

  await t.test('away: 503 and the cookie kept, never 401; back: everything goes on', async (t) => {
    const live = await login(first, credentials)
    await redis.kill()
    for (let i = 0; i < 5; i++) {
      const answer = await refresh(i % 2 ? first : second, live.refresh_token)
      t.equal(answer.status, 503)
      t.equal(answer.headers['set-cookie'], undefined, 'the cookie is not touched')
      t.ok(Number(answer.headers['retry-after']) > 0)
    }
    t.equal(await statusThrough(deployment.sidecars[0]!.url, live.access_token), 200, 'services notice nothing')
    await redis.start()
    await eventually(async () => (await refresh(first, live.refresh_token)).status === 200, { within: 60_000 })
  })
})
