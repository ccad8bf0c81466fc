import { chmodSync, mkdirSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { fileURLToPath } from 'node:url'
import { type Test, test } from 'tap'
import { openSqliteStore } from '../../../../issuer/adapters/sqlite/store.ts'
import { StoreUnavailable } from '../../../../issuer/domain/ports.ts'
import { RETRY_WINDOW_MS } from '../../../../issuer/domain/session.ts'
import { type Clock, systemClock } from '../../../../shared/clock.ts'
import { eventually } from '../../../helpers/eventually.ts'
import { startNode } from '../../../helpers/process.ts'
import { allUnavailable, aSession, aUser, durableCalls, embeddedPlace, sessionCalls } from '../../../helpers/stores.ts'
import { temporaryFolder } from '../../../helpers/temporary-folder.ts'

const WRITER = fileURLToPath(new URL('../../../helpers/ledger-writer.ts', import.meta.url))
const ROTATOR = fileURLToPath(new URL('../../../helpers/session-rotator.ts', import.meta.url))

const unexpected = (error: unknown) => {
  throw error
}

function open(t: Test, folder: string, clock: Clock = systemClock) {
  const store = openSqliteStore(folder, clock, unexpected)
  t.teardown(store.close)
  return store
}

function recorded(output: string): string[] {
  return [...output.matchAll(/^recorded (\S+)$/gm)].map((match) => match[1]!)
}

test('kill -9 loses nothing that record returned for', async (t) => {
  const folder = temporaryFolder(t)
  const writer = startNode(t, WRITER, { args: [folder, 'killed', '1000000'] })
  await eventually(() => recorded(writer.stdout()).length > 200, { within: 60_000 })
  await writer.kill('SIGKILL')
  const acknowledged = recorded(writer.stdout())
  const store = open(t, folder)
  const { entries } = await store.ports.ledger.since('reader', undefined, 0)
  const found = new Set(entries.map(({ id }) => id))
  t.ok(acknowledged.length > 200)
  t.same(
    acknowledged.filter((id) => !found.has(id)),
    [],
  )
  await t.resolves(store.ports.users.insert(aUser()), 'and it can be written')
})

test('several processes create, migrate and write one file at once', async (t) => {
  const folder = temporaryFolder(t)
  const names = ['one', 'two', 'three', 'four']
  const writers = names.map((name) => startNode(t, WRITER, { args: [folder, name, '25'] }))
  const { ledger } = open(t, folder).ports
  const seen = new Set<string>()
  let cursor: unknown
  let running = true
  const exits = Promise.all(writers.map((writer) => writer.waitForExit(90_000))).finally(() => {
    running = false
  })
  while (running) {
    const before = writers.flatMap((writer) => recorded(writer.stdout()))
    const answer = await ledger.since('reader', cursor, 0)
    cursor = answer.cursor
    for (const { id } of answer.entries) {
      if (seen.has(id)) t.fail(`${id} came twice`)
      seen.add(id)
    }
    const missing = before.filter((id) => !seen.has(id))
    if (missing.length > 0) t.same(missing, [], 'what was recorded before is there')
    await new Promise((resolve) => setTimeout(resolve, 2))
  }
  for (const [n, { code }] of (await exits).entries()) t.equal(code, 0, writers[n]!.stderr())
  for (const { id } of (await ledger.since('reader', cursor, 0)).entries) seen.add(id)
  t.equal(seen.size, 100)
})

test('of two processes that refresh with one token, one rotates', async (t) => {
  const folder = temporaryFolder(t)
  const { sessions } = open(t, folder).ports
  const sub = 'user'
  // Not many more: one that waits for the others' commits gives up after 2 s, and a disk may take 30 ms for each.
  const made = Array.from({ length: 60 }, () => aSession({ sub }))
  for (const session of made) await sessions.create(session)
  const began = performance.now()
  const rotators = [1, 2, 3].map(() => startNode(t, ROTATOR, { args: [folder, sub] }))
  await Promise.all(rotators.map((rotator) => rotator.waitForExit(90_000)))
  const lines = rotators.flatMap((rotator) => rotator.stdout().trim().split('\n'))
  t.equal(lines.length, 180)
  const rotated = lines.filter((line) => line.startsWith('rotated '))
  t.equal(rotated.length, 60)
  t.equal(new Set(rotated).size, 60)
  // One that comes so late that it could be a thief is taken for one.
  const others = performance.now() - began < RETRY_WINDOW_MS ? /^retry / : /^(retry|reused) /
  t.equal(lines.filter((line) => others.test(line)).length, 120)
})

test('only the owner can read the folder and the file', { skip: process.platform === 'win32' }, async (t) => {
  const folder = join(temporaryFolder(t), 'new', 'data')
  const before = process.umask(0)
  t.teardown(() => process.umask(before))
  const store = open(t, folder)
  await store.ports.users.insert(aUser())
  t.equal(statSync(folder).mode & 0o777, 0o700)
  for (const name of ['sallyport.db', 'sallyport.db-wal', 'sallyport.db-shm']) {
    t.equal(statSync(join(folder, name)).mode & 0o777, 0o600, name)
  }
})

test('a folder that cannot be used is named with what is wrong', async (t) => {
  const folder = temporaryFolder(t)
  const file = join(folder, 'file')
  writeFileSync(file, '')
  t.throws(() => openSqliteStore(file, systemClock, unexpected), { code: 'EEXIST', path: file })
  t.throws(() => openSqliteStore(join(file, 'data'), systemClock, unexpected), {
    code: 'ENOTDIR',
    path: join(file, 'data'),
  })
  writeFileSync(join(folder, 'sallyport.db'), 'this is no database, whatever its name says')
  t.throws(() => openSqliteStore(folder, systemClock, unexpected), /not a database/)
})

test('a folder without write permission is named', {
  skip: process.getuid?.() !== 0 && 'root alone can change the user',
}, async (t) => {
  const folder = join(temporaryFolder(t), 'read-only')
  mkdirSync(folder)
  chmodSync(join(folder, '..'), 0o755)
  chmodSync(folder, 0o555)
  const writer = startNode(t, WRITER, { args: [folder, 'x', '1'], uid: 65534, env: { NODE_COMPILE_CACHE: undefined } })
  t.not((await writer.waitForExit()).code, 0)
  t.match(writer.stderr(), /EACCES.*read-only/)
})

test('a file written by a newer version is refused', async (t) => {
  const folder = temporaryFolder(t)
  openSqliteStore(folder, systemClock, unexpected).close()
  const db = new DatabaseSync(join(folder, 'sallyport.db'))
  db.exec('PRAGMA user_version = 99')
  db.close()
  t.throws(() => openSqliteStore(folder, systemClock, unexpected), /version 99/)
})

test('data survive closing and opening again', async (t) => {
  const place = embeddedPlace(t)
  const first = await place.open()
  const [user, session] = [aUser(), aSession()]
  await first.users.insert(user)
  await first.sessions.create(session)
  await first.lifecycle.close()
  const second = await place.open()
  t.same(await second.users.byId(user.id), user)
  t.same(await second.sessions.byId(session.sid), session)
})

test('expired sessions and entries nobody needs are deleted', async (t) => {
  const folder = temporaryFolder(t)
  let nowMs = 1_000_000
  const clock: Clock = { now: () => nowMs }
  const store = openSqliteStore(folder, clock, unexpected)
  const { sessions, ledger } = store.ports
  const ended = Array.from({ length: 1200 }, () => aSession({ idleExpiresAt: nowMs + 1000 }))
  for (const session of ended) await sessions.create(session)
  const live = aSession({ idleExpiresAt: nowMs + 1001 })
  await sessions.create(live)
  const entry = (sid: string, keepUntilMs: number) => ({
    id: `session:${sid}`,
    revocation: { kind: 'session', sid, sub: 'sub', exp: 4_102_444_800 } as const,
    keepUntilMs,
  })
  await ledger.record([entry('old', nowMs + 1000), entry('kept', nowMs + 1001)])
  const { cursor } = await ledger.since('reader', undefined, 0)
  await ledger.record([entry('last', nowMs + 1000)])
  store.close()

  nowMs += 1000
  const again = open(t, folder, clock)
  await eventually(async () => (await again.ports.sessions.byId(ended[1199]!.sid)) === undefined)
  t.equal(await again.ports.sessions.byId(ended[0]!.sid), undefined)
  t.same(await again.ports.sessions.byId(live.sid), live)
  t.equal(await again.ports.ledger.isSessionRevoked('old'), false)
  t.equal(await again.ports.ledger.isSessionRevoked('kept'), true)

  // The deleted entry's number is not given again: a reader's place stays right.
  await again.ports.ledger.record([entry('new', nowMs + 1000)])
  const { entries } = await again.ports.ledger.since('reader', (cursor as number) + 1, 0)
  t.same(
    entries.map(({ id }) => id),
    ['session:new'],
  )
})

test('locked by another process for too long, and closed: unavailable', async (t) => {
  const place = embeddedPlace(t)
  const stores = await place.open()
  const other = new DatabaseSync(join(place.settings.DATA_DIR, 'sallyport.db'))
  t.teardown(() => other.close())
  other.exec('BEGIN IMMEDIATE')
  await t.rejects(stores.users.insert(aUser()), StoreUnavailable)
  t.equal(await stores.users.byId('id'), undefined, 'reading goes on')
  other.exec('ROLLBACK')
  t.same(await stores.users.insert(aUser()), { ok: true })

  await stores.lifecycle.close()
  await allUnavailable(t, { ...durableCalls(stores), ...sessionCalls(stores) }, 500, 'closed')
  t.same(await stores.check(), [{ name: 'SQLite', ok: false, detail: 'does not answer' }])
})
