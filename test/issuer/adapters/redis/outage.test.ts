import { Redis } from 'ioredis'
import { test } from 'tap'
import { eventually } from '../../../helpers/eventually.ts'
import { allAvailable, allUnavailable, aSession, placeOf, sessionCalls } from '../../../helpers/stores.ts'
import { temporaryFolder } from '../../../helpers/temporary-folder.ts'
import { startRedis } from '../../../servers/redis.ts'
import { missing } from '../../../servers/shared.ts'

test('Redis in trouble', { skip: await missing('redis'), timeout: 300_000 }, async (t) => {
  const server = await startRedis()
  t.teardown(() => server.stop())
  const settings = { MONGO_URL: undefined, REDIS_URL: server.url, REDIS_PREFIX: 'test:', DATA_DIR: temporaryFolder(t) }
  const stores = await placeOf(t, settings).open()
  const { sessions } = stores
  const calls = sessionCalls(stores)
  const checks = async () => (await stores.check()).map(({ name, ok }) => `${name} ${ok}`).sort()
  const control = () => {
    const redis = new Redis(server.url)
    t.teardown(() => redis.disconnect())
    return redis
  }

  t.test('killed: unavailable at once; back with its data', async (t) => {
    t.same(await checks(), ['Redis true', 'SQLite true'])
    const session = aSession()
    await sessions.create(session)
    await server.kill()
    // The first to notice may wait for the broken connection, no one after it.
    await allUnavailable(t, calls, 2500, 'just killed')
    await allUnavailable(t, calls, 500, 'gone')
    t.same(await checks(), ['Redis false', 'SQLite true'])
    await server.start()
    await allAvailable(calls)
    t.same(await checks(), ['Redis true', 'SQLite true'])
    t.same(await sessions.byId(session.sid), session)
  })

  t.test('hanging: unavailable within the time-out of a command; used again when it goes on', async (t) => {
    server.pause()
    await allUnavailable(t, calls, 2500, 'hanging')
    t.same(await checks(), ['Redis false', 'SQLite true'])
    server.resume()
    await allAvailable(calls)
  })

  t.test('hanging for so long that the connection is given up: a new one is made', async (t) => {
    server.pause()
    t.teardown(() => server.resume())
    const reason = async () => {
      const error: Error = await sessions.byId('sid').catch((error) => error)
      return (error.cause as Error).message
    }
    await eventually(async () => (await reason()).startsWith('Socket timeout'), { within: 60_000 })
    server.resume()
    await allAvailable(calls)
  })

  t.test('a replica after a failover: writing is unavailable, and works when it leads again', async (t) => {
    const redis = control()
    await redis.replicaof('127.0.0.1', '1')
    await allUnavailable(t, { 'sessions.create': calls['sessions.create']! }, 2500, 'read-only')
    await redis.replicaof('NO', 'ONE')
    await allAvailable(calls)
  })

  t.test('the scripts are forgotten: they are sent again', async (t) => {
    const made = await Promise.all(
      Array.from({ length: 20 }, async () => {
        const session = aSession()
        await sessions.create(session)
        return session
      }),
    )
    await sessions.rotate({ ...made[0]!, nowMs: Date.now(), idleMs: 60_000 })
    await control().script('FLUSH')
    const answers = await Promise.all(
      made.slice(1).map((session) => sessions.rotate({ ...session, nowMs: Date.now(), idleMs: 60_000 })),
    )
    t.ok(answers.every(({ outcome }) => outcome === 'rotated'))
    await allAvailable(calls)
  })

  t.test('wiped: no session is there, and new ones can be made', async (t) => {
    const session = aSession()
    await sessions.create(session)
    await control().flushall()
    t.same(await sessions.rotate({ ...session, nowMs: Date.now(), idleMs: 60_000 }), { outcome: 'unknown' })
    t.same(await sessions.list(session.sub, Date.now()), [])
    t.equal(await sessions.endAll(session.sub, 1, Date.now()), 0)
    const next = aSession({ sub: session.sub })
    await sessions.create(next)
    t.same(await sessions.list(session.sub, Date.now()), [next])
  })

  t.test('full: a login is unavailable, not lost', async (t) => {
    const redis = control()
    await redis.config('SET', 'maxmemory', '1')
    await allUnavailable(t, { 'sessions.create': calls['sessions.create']! }, 1000, 'out of memory')
    await redis.config('SET', 'maxmemory', '0')
    await allAvailable(calls)
  })
})
