import { Redis } from 'ioredis'
import { test } from 'tap'
import { eventually } from '../../../helpers/eventually.ts'
import { aSession, placeOf } from '../../../helpers/stores.ts'
import { temporaryFolder } from '../../../helpers/temporary-folder.ts'
import { uniqueName } from '../../../helpers/unique-name.ts'
import { missingShared, sharedUrl } from '../../../servers/shared.ts'

test("a session's keys in Redis", { skip: await missingShared('redis') }, async (t) => {
  const url = await sharedUrl('redis')
  const prefix = `${uniqueName('sessions')}:`
  const redis = new Redis(url)
  t.teardown(() => redis.disconnect())
  const settings = { MONGO_URL: undefined, REDIS_URL: url, REDIS_PREFIX: prefix, DATA_DIR: temporaryFolder(t) }
  const { sessions } = await placeOf(t, settings).open()
  const sessionKey = (sid: string) => `${prefix}session:{${sid}}`
  const indexKey = (sub: string) => `${prefix}user:{${sub}}:sessions`

  t.test('end with the session, and move with its idle end', async (t) => {
    const session = aSession()
    await sessions.create(session)
    t.equal(await redis.pexpiretime(sessionKey(session.sid)), session.idleExpiresAt)
    t.equal(await redis.pexpiretime(indexKey(session.sub)), session.expiresAt)
    const nowMs = Date.now() + 5
    await sessions.rotate({ ...session, nowMs, idleMs: 7_200_000 })
    t.equal(await redis.pexpiretime(sessionKey(session.sid)), nowMs + 7_200_000)
    const longer = aSession({ sub: session.sub, expiresAt: session.expiresAt + 1000 })
    const shorter = aSession({ sub: session.sub, expiresAt: session.expiresAt - 1000 })
    await sessions.create(longer)
    await sessions.create(shorter)
    t.equal(await redis.pexpiretime(indexKey(session.sub)), longer.expiresAt, 'the index lives as long as the last')

    const brief = aSession({ idleExpiresAt: Date.now() + 100 })
    await sessions.create(brief)
    await eventually(async () => (await sessions.byId(brief.sid)) === undefined)
    t.equal(await sessions.end(brief.sid), false)
  })

  t.test('the fields of the session are stored and nothing else', async (t) => {
    const session = aSession({ scope: 'a:1' })
    await sessions.create(session)
    const stored = await redis.hgetall(sessionKey(session.sid))
    t.same(Object.keys(stored).sort(), Object.keys(session).sort())
  })

  t.test('the index forgets what is gone', async (t) => {
    const sub = uniqueName('user')
    const [gone, ended, kept] = [aSession({ sub }), aSession({ sub }), aSession({ sub })]
    for (const session of [gone, ended, kept]) await sessions.create(session)
    await redis.del(sessionKey(gone.sid))
    await sessions.end(ended.sid)
    t.same((await redis.zrange(indexKey(sub), '0', '-1')).sort(), [gone.sid, kept.sid].sort())
    t.same(await sessions.list(sub, Date.now()), [kept])
    t.same(await redis.zrange(indexKey(sub), '0', '-1'), [kept.sid])
    await redis.del(sessionKey(kept.sid))
    t.equal(await sessions.endAll(sub, 1, Date.now()), 0, 'stale ones are not counted')
    t.equal(await redis.exists(indexKey(sub)), 0)

    await redis.zadd(indexKey(sub), kept.createdAt, 'a session past its absolute end')
    await sessions.create(kept)
    t.same(await redis.zrange(indexKey(sub), '0', '-1'), [kept.sid], 'a login drops the ids of ended ones')
  })

  t.test("another user's session in the index is neither listed nor ended", async (t) => {
    const sub = uniqueName('user')
    const other = aSession()
    await sessions.create(other)
    await redis.zadd(indexKey(sub), other.expiresAt, other.sid)
    t.same(await sessions.list(sub, Date.now()), [])
    t.equal(await sessions.endAll(sub, 9, Date.now()), 0)
    t.same(await sessions.byId(other.sid), other)
  })
})
