import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Test, test } from 'tap'
import { exportUsers } from '../../issuer/export-users.ts'
import { type ImportOptions, importUsers } from '../../issuer/import-users.ts'
import { systemClock } from '../../shared/clock.ts'
import { argon2Credential, keycloakUser } from '../helpers/keycloak.ts'
import { ADAPTERS, aUser, type Place } from '../helpers/stores.ts'
import { temporaryFolder } from '../helpers/temporary-folder.ts'
import { uniqueName } from '../helpers/unique-name.ts'

const HASH = '$2b$04$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW'

async function open(t: Test, place: Place) {
  const stores = await place.open()
  const folder = temporaryFolder(t)
  const audit: object[] = []
  const ports = { ...stores, audit: { record: (event: string, facts: object) => void audit.push({ event, ...facts }) } }
  const path = (name: string) => join(folder, name)
  const put = (name: string, lines: string[]) => {
    writeFileSync(path(name), `${lines.join('\n')}\n`)
    return path(name)
  }
  const load = (file: string, more: Partial<ImportOptions> = {}) =>
    importUsers(
      { ...ports, clock: systemClock },
      {
        file,
        format: file.endsWith('.csv') ? 'csv' : 'jsonl',
        report: `${file}.refused.jsonl`,
        maxRefused: 1000,
        superusers: false,
        signal: new AbortController().signal,
        onProgress: () => {},
        ...more,
      },
    )
  return { ...ports, path, put, load, audited: audit }
}

const jsonLine = (more: object) => JSON.stringify({ password_hash: HASH, ...more })
const emails = (count: number) => Array.from({ length: count }, () => `${uniqueName('user')}@example.com`)
const reportOf = (file: string) =>
  readFileSync(`${file}.refused.jsonl`, 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))

for (const { name, skip, place } of ADAPTERS) {
  test(`import and export in ${name}`, { skip }, async (t) => {
    const here = await place(t)

    t.test('a realm export that was interrupted goes on where it was', async (t) => {
      const { users, path, load } = await open(t, here)
      const file = path('shop-realm.json')
      const credentials = [argon2Credential('x', { memory: 64, passes: 1 })]
      const exported = Array.from({ length: 1200 }, () => keycloakUser({ credentials }))
      writeFileSync(file, JSON.stringify({ users: [null, ...exported] }))
      const stop = new AbortController()
      const first = await load(file, { format: 'keycloak', signal: stop.signal, onProgress: () => stop.abort() })
      t.match(first, { complete: false, lines: 500, imported: 499, refused: 1 })
      const rest = await load(file, { format: 'keycloak' })
      t.match(rest, { complete: true, resumed: true, lines: 1201, imported: 1200, refused: 1 })
      t.same(rest.leftOut, { firstName: 1200, lastName: 1200 }, 'counted over both runs')
      t.same(reportOf(file), [{ line: 1, reason: 'not an object' }])
      for (const { id, username } of [exported[0]!, exported.at(-1)!]) t.match(await users.byId(id), { username })
    })

    t.test('read another way it begins anew: places are counted in bytes there, and in users here', async (t) => {
      const { users, path, load } = await open(t, here)
      const file = path('shop-realm.json')
      const credentials = [argon2Credential('x', { memory: 64, passes: 1 })]
      const exported = Array.from({ length: 12 }, () => keycloakUser({ credentials }))
      writeFileSync(file, JSON.stringify({ users: exported }))
      await t.rejects(load(file, { format: 'jsonl', maxRefused: 0 }), /more than 0 lines/)
      t.match(await load(file, { format: 'keycloak' }), { complete: true, resumed: false, imported: 12, refused: 0 })
      for (const { email } of exported) t.ok(await users.byEmailKey(email), email)
    })

    t.test('CSV and JSON lines; what is refused is reported by its line, without saying what it held', async (t) => {
      const { users, put, load, audited } = await open(t, here)
      const [one, two, three] = emails(3) as [string, string, string]
      const taken = emails(1)[0]!
      await users.insert(aUser({ email: taken, emailKey: taken }))
      const csv = put('users.csv', [
        '\ufeffemail,username,password_hash,roles,is_verified',
        `${one},,${HASH},"subscriber,viewer",true`,
        `${two},"",${HASH},,`,
        'not an address,,x,,',
        '',
        'too,few',
        `${taken},,${HASH},,`,
        `${'x'.repeat(20_000)},,,,`,
        `${three},,,,`,
      ])
      t.match(await load(csv), { lines: 9, imported: 2, present: 0, refused: 5, complete: true, resumed: false })
      t.match(await users.byEmailKey(one), { passwordHash: HASH, roles: ['subscriber', 'viewer'], isVerified: true })
      t.match(await users.byEmailKey(two), { username: null, roles: ['subscriber'], isVerified: false })
      t.match(reportOf(csv), [
        { line: 4, reason: /^email: not an e-mail address/ },
        { line: 6, reason: 'cannot be read' },
        { line: 7, reason: 'email: another user has it' },
        { line: 8, reason: /longer than/ },
        { line: 9, reason: 'password_hash: is needed' },
      ])
      const report = readFileSync(`${csv}.refused.jsonl`, 'utf8')
      for (const text of [taken, three, HASH, 'not an address']) t.notOk(report.includes(text))
      t.equal(statSync(`${csv}.refused.jsonl`).mode & 0o777, 0o600)
      t.match(audited, [{ event: 'users_imported', imported: 2, refused: 5 }])
      t.notMatch(JSON.stringify(audited), '@')
    })

    t.test('again is nothing new: nobody is imported twice, and nobody is changed', async (t) => {
      const { users, put, load } = await open(t, here)
      const some = emails(1200)
      const file = put(
        'users.jsonl',
        some.map((email) => jsonLine({ email })),
      )
      t.match(await load(file), { imported: 1200, present: 0, refused: 0, complete: true })
      t.notOk(existsSync(`${file}.refused.jsonl`), 'no report about nothing')
      t.notOk(existsSync(`${file}.import-state.json`))
      const before = await users.byEmailKey(some[700]!)
      t.match(await load(file), { imported: 0, present: 1200, refused: 0 })
      t.same(await users.byEmailKey(some[700]!), before)
    })

    t.test('interrupted, it goes on where it was; after a crash as well', async (t) => {
      const { users, put, load } = await open(t, here)
      const some = emails(2200)
      const lines = some.map((email, n) => (n % 500 === 3 ? 'not a record' : jsonLine({ email })))
      const file = put('users.jsonl', lines)
      const stop = new AbortController()
      const seen: number[] = []
      const first = await load(file, {
        signal: stop.signal,
        onProgress({ lines }) {
          seen.push(lines)
          if (lines === 1000) stop.abort()
        },
      })
      t.match(first, { lines: 1000, imported: 998, refused: 2, complete: false })
      t.same(seen, [500, 1000])

      // As if the process had died between writing the third batch and noting that.
      const boom = new Error('crash')
      const crashing = load(file, {
        onProgress() {
          throw boom
        },
      })
      await t.rejects(crashing, boom)
      const state = `${file}.import-state.json`
      const kept = JSON.parse(readFileSync(state, 'utf8'))
      t.equal(kept.progress.lines, 1500)
      t.equal(statSync(state).mode & 0o777, 0o600)
      const { size } = statSync(file)
      const offset = Buffer.byteLength(`${lines.slice(0, 1000).join('\n')}\n`)
      const back = { ...kept.progress, offset, lines: 1000, imported: 998, refused: 2 }
      const reportBytes = readFileSync(`${file}.refused.jsonl`, 'utf8').split('\n').slice(0, 2).join('\n').length + 1
      writeFileSync(state, JSON.stringify({ ...kept, size, progress: back, reportBytes }))

      const last = await load(file)
      t.match(last, { lines: 2200, imported: 998 + 698, present: 499, refused: 5, complete: true, resumed: true })
      t.same(
        reportOf(file).map(({ line }: { line: number }) => line),
        [4, 504, 1004, 1504, 2004],
      )
      for (const n of [0, 999, 1000, 1499, 2199]) t.ok(await users.byEmailKey(some[n]!), `line ${n + 1}`)
      t.notOk(existsSync(state))
    })

    t.test('a file that has changed since begins anew; too many refused lines end it', async (t) => {
      const { put, load } = await open(t, here)
      const stop = AbortSignal.abort()
      const file = put(
        'users.jsonl',
        emails(600).map((email) => jsonLine({ email })),
      )
      t.match(await load(file, { signal: stop }), { lines: 500, complete: false })
      put(
        'users.jsonl',
        emails(10).map((email) => jsonLine({ email })),
      )
      t.match(await load(file), { lines: 10, imported: 10, complete: true, resumed: false })

      const wrong = put('wrong.jsonl', Array(600).fill('what is this'))
      await t.rejects(load(wrong, { maxRefused: 100 }), /more than 100 lines were refused/)
      const noHeader = put('wrong.csv', ['a@example.com,x'])
      await t.rejects(load(noHeader), /first line has to name the fields/)
      await t.rejects(load('/nonexistent/users.csv'), { code: 'ENOENT' })
    })

    t.test('what is exported can be imported elsewhere; hashes only when asked for', async (t) => {
      const { users, path, load, audited } = await open(t, await place(t))
      const there = Array.from({ length: 1100 }, (_, n) =>
        aUser({ passwordHash: HASH, roles: ['viewer'], createdAt: 1_700_000_000_000 + (n % 7) }),
      )
      // Few at a time: a server that is slow on a busy machine has 5 s for a call.
      for (let from = 0; from < there.length; from += 100) await users.insertMany(there.slice(from, from + 100))
      const options = { signal: new AbortController().signal, onProgress: () => {} }
      const [bare, full] = [path('bare.jsonl'), path('full.jsonl')]
      t.equal(
        await exportUsers({ users, audit: { record: () => {} } }, { file: bare, withHashes: false, ...options }),
        1100,
      )
      t.notMatch(readFileSync(bare, 'utf8'), /\$2b|password/)
      const audit = { record: (event: string, facts: object) => void audited.push({ event, ...facts }) }
      t.equal(await exportUsers({ users, audit }, { file: full, withHashes: true, ...options }), 1100)
      t.equal(statSync(full).mode & 0o777, 0o600)
      t.match(audited.at(-1), { event: 'users_exported', users: 1100, with_hashes: true })

      const elsewhere = await open(t, await place(t))
      t.match(await elsewhere.load(full), { imported: 1100, refused: 0 })
      for (const user of there.slice(0, 3)) t.same(await elsewhere.users.byId(user.id), user)
      t.match(
        await load(bare, { maxRefused: 2000 }),
        { imported: 0, refused: 1100 },
        'without hashes nobody could log in',
      )

      const stopped = exportUsers(
        { users, audit },
        { file: path('no.jsonl'), withHashes: false, ...options, signal: AbortSignal.abort() },
      )
      await t.rejects(stopped, { name: 'AbortError' })
      t.notOk(existsSync(path('no.jsonl')) || existsSync(path('no.jsonl.partial')))
    })
  })
}
