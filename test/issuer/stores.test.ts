import { join } from 'node:path'
import { Writable } from 'node:stream'
import { test } from 'tap'
import { StoreUnavailable } from '../../issuer/domain/ports.ts'
import { openStores } from '../../issuer/stores.ts'
import { systemClock } from '../../shared/clock.ts'
import { createLifecycle } from '../../shared/lifecycle.ts'
import { createLog } from '../../shared/log.ts'
import { SettingsError } from '../../shared/settings.ts'
import { eventually } from '../helpers/eventually.ts'
import { aSession, aUser } from '../helpers/stores.ts'
import { temporaryFolder } from '../helpers/temporary-folder.ts'
import { startMongo } from '../servers/mongo.ts'
import { startRedis } from '../servers/redis.ts'
import { missing, missingShared, sharedUrl } from '../servers/shared.ts'

const NOBODY = '127.0.0.1:1'

/** What opening is given beside the settings, with what it logged. */
function surroundings() {
  let output = ''
  const destination = new Writable({
    write(chunk, _encoding, done) {
      output += chunk
      done()
    },
  })
  const log = createLog('test', 'info', destination)
  return { log, lifecycle: createLifecycle(log), output: () => output }
}

const none = { MONGO_URL: undefined, REDIS_URL: undefined, REDIS_PREFIX: 'test:', DATA_DIR: '/nonexistent' }

test('a URL that cannot be parsed is refused at once, without being repeated', async (t) => {
  const { log, lifecycle } = surroundings()
  t.teardown(() => lifecycle.close())
  for (const settings of [
    { ...none, MONGO_URL: 'mongodb://user:secret@', DATA_DIR: temporaryFolder(t) },
    { ...none, MONGO_URL: 'mongodb://user:secret@a,b/?directConnection=true', DATA_DIR: temporaryFolder(t) },
    { ...none, REDIS_URL: 'redis://user:secret@host:port', DATA_DIR: temporaryFolder(t) },
  ]) {
    const error: SettingsError = await openStores(settings, systemClock, log, lifecycle).then(
      () => t.fail('it was opened'),
      (reason) => reason,
    )
    t.type(error, SettingsError)
    t.match(error.message, settings.MONGO_URL ? /^MONGO_URL: / : /^REDIS_URL: /)
    t.notMatch(error.message, /secret/)
  }
})

test('a data folder that cannot be used is an error with its path', async (t) => {
  const { log, lifecycle } = surroundings()
  t.teardown(() => lifecycle.close())
  await t.rejects(openStores({ ...none, DATA_DIR: '/dev/null/data' }, systemClock, log, lifecycle), {
    code: 'ENOTDIR',
    path: '/dev/null/data',
  })
})

test('servers that are away are waited for, with a line in the log, until the end', async (t) => {
  const { log, lifecycle, output } = surroundings()
  const settings = {
    ...none,
    MONGO_URL: `mongodb://user:secret@${NOBODY}/`,
    REDIS_URL: `redis://user:secret@${NOBODY}`,
  }
  const opening = openStores(settings, systemClock, log, lifecycle).then(
    () => 'opened',
    (error) => error,
  )
  const waits = (name: string) => output().split(`${name} is not available yet; trying again in`).length - 1
  await eventually(() => waits('MongoDB') >= 1 && waits('Redis') >= 3, { within: 60_000 })
  t.match(output(), /ECONNREFUSED/)
  t.notMatch(output(), /secret/)
  const begin = performance.now()
  await lifecycle.close()
  t.type(await opening, StoreUnavailable)
  t.ok(performance.now() - begin < 5500, 'the end does not wait for them')
})

test('servers that come later are used', { skip: await missing('mongo', 'redis'), timeout: 300_000 }, async (t) => {
  const [mongo, redis] = await Promise.all([startMongo(), startRedis()])
  t.teardown(() => Promise.all([mongo.stop(), redis.stop()]))
  await Promise.all([mongo.kill(), redis.kill()])
  const { log, lifecycle, output } = surroundings()
  t.teardown(() => lifecycle.close())
  const settings = { ...none, MONGO_URL: mongo.url, REDIS_URL: redis.url }
  const opening = openStores(settings, systemClock, log, lifecycle)
  await eventually(() => /MongoDB is not available yet/.test(output()) && /Redis is not available/.test(output()), {
    within: 60_000,
  })
  await Promise.all([mongo.start(), redis.start()])
  const stores = await opening
  t.same(await stores.users.insert(aUser()), { ok: true })
  t.same(await stores.check(), [
    { name: 'MongoDB', ok: true },
    { name: 'Redis', ok: true },
  ])
})

test('a server that is there is opened without a warning', { skip: await missingShared('redis') }, async (t) => {
  const { log, lifecycle, output } = surroundings()
  t.teardown(() => lifecycle.close())
  const DATA_DIR = temporaryFolder(t)
  const stores = await openStores(
    { ...none, REDIS_URL: await sharedUrl('redis'), DATA_DIR },
    systemClock,
    log,
    lifecycle,
  )
  t.equal(output(), '')
  t.same(await stores.check(), [
    { name: 'SQLite', ok: true },
    { name: 'Redis', ok: true },
  ])
  const session = aSession()
  await stores.sessions.create(session)
  const file = await openStores({ ...none, DATA_DIR }, systemClock, log, lifecycle)
  t.equal(await file.sessions.byId(session.sid), undefined, 'sessions are in Redis, not in the file')
  t.equal(await stores.sessions.end(session.sid), true)
})

test('everything ends with the lifecycle', async (t) => {
  const { log, lifecycle } = surroundings()
  const DATA_DIR = join(temporaryFolder(t), 'data')
  const stores = await openStores({ ...none, DATA_DIR }, systemClock, log, lifecycle)
  t.same(await stores.check(), [{ name: 'SQLite', ok: true }])
  await lifecycle.close()
  await t.rejects(stores.users.byId('id'), StoreUnavailable)
})
