import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { test } from 'tap'
import { call, login, logout, refresh, register, statusThrough } from '../helpers/client.ts'
import { kidOf, runCommand } from '../helpers/command-line.ts'
import { startDeployment } from '../helpers/deployment.ts'
import { eventually } from '../helpers/eventually.ts'
import { missingProduction, productionServers } from '../helpers/production.ts'
import { startRecordingUpstream } from '../helpers/recording-upstream.ts'
import { temporaryFolder } from '../helpers/temporary-folder.ts'

function auditedIn(stderr: string) {
  const lines = stderr.split('\n').filter((line) => /"event":"everyone_/.test(line))
  return lines.map((line) => JSON.parse(line))
}

test('sallyport sessions end --all logs everybody out, everywhere', {
  skip: missingProduction,
  timeout: 300_000,
}, async (t) => {
  const upstream = await startRecordingUpstream(t)
  const { issuers, sidecars, env } = await startDeployment(t, {
    ...(await productionServers()),
    upstream: upstream.url,
    issuers: 2,
    sidecars: 2,
  })
  const [first, second] = [issuers[0]!.url, issuers[1]!.url]
  const people = await Promise.all([register(first), register(second), register(first)])
  const before = await Promise.all([...people, people[0]!].map((person, n) => login(n % 2 ? first : second, person)))
  const service = await runCommand(t, env, 'clients', 'create', 'nightly report')
  const { client_id, client_secret } = service.lines[0]
  const clientToken = async () => {
    const json = { grant_type: 'client_credentials', client_id, client_secret }
    return (await call<{ access_token: string }>(`${second}/auth/token`, { json })).body.access_token
  }
  const ofService = await clientToken()
  for (const token of [...before.map(({ access_token }) => access_token), ofService]) {
    for (const { url } of sidecars) t.equal(await statusThrough(url, token), 200, 'served before')
  }
  // A key that was rotated away has signed tokens that are valid still.
  t.match(await runCommand(t, env, 'keys', 'rotate', '--now'), { code: 0 })
  const later = await eventually(async () => {
    const answer = await login(first, people[1]!)
    return kidOf(answer.access_token) !== kidOf(before[0]!.access_token) && answer
  })
  await eventually(async () => (await statusThrough(sidecars[0]!.url, later.access_token)) === 200, { within: 60_000 })

  t.match(await runCommand(t, env, 'sessions', 'end'), { code: 1, stderr: /--all/ }, 'not by mistake')
  const ended = await runCommand(t, env, 'sessions', 'end', '--all')
  t.match(ended, { code: 0, lines: [{ users: people.length, propagated: true, complete: true }] }, ended.stderr)
  t.equal(ended.lines[0].revoked_keys.length, 2)
  t.match(auditedIn(ended.stderr), [
    { event: 'everyone_logout_begun', by: 'command line' },
    { event: 'everyone_logged_out', users: people.length, keys: 2, complete: true, by: 'command line' },
  ])

  for (const { access_token, refresh_token } of [...before, later]) {
    for (const { url } of sidecars) {
      await eventually(async () => (await statusThrough(url, access_token)) === 401, { within: 60_000 })
    }
    for (const { url } of issuers) t.equal((await refresh(url, refresh_token)).status, 401)
  }
  for (const { url } of sidecars) t.equal(await statusThrough(url, ofService), 401, 'the tokens of services as well')

  // Everything goes on with who comes again.
  const served = async (token: string) => {
    for (const { url } of sidecars) {
      await eventually(async () => (await statusThrough(url, token)) === 200, { within: 60_000 })
    }
  }
  const again = await login(second, people[0]!)
  t.notOk(ended.lines[0].revoked_keys.includes(kidOf(again.access_token)), 'no issuer signs with what was revoked')
  await served(again.access_token)
  await served(await clientToken())
  t.equal((await refresh(first, again.refresh_token)).status, 200)
  t.match(await logout(first, again.access_token, { all: true }), { status: 200, body: { propagated: true } })
})

test('a store fails midway: exit code, message and audit log say what was not finished', async (t) => {
  const folder = temporaryFolder(t)
  const env = { DATA_DIR: folder, HASH_MEMORY_KIB: '7168', HASH_TIME: '5' }
  const [file, password] = [join(folder, 'users.jsonl'), `$2b$04$${'A'.repeat(53)}`]
  writeFileSync(file, JSON.stringify({ email: 'ada@example.com', password_hash: password }))
  t.match(await runCommand(t, env, 'users', 'import', file), { code: 0 })
  t.match(await runCommand(t, env, 'keys', 'rotate', '--now'), { code: 0 })
  t.match(await runCommand(t, env, 'keys', 'rotate'), { code: 0 }, 'another stands by')
  const database = new DatabaseSync(join(folder, 'sallyport.db'))
  t.after(() => database.close())
  database.exec("CREATE TRIGGER full BEFORE INSERT ON signingKeys BEGIN SELECT RAISE(ABORT, 'no space'); END")

  const failed = await runCommand(t, env, 'sessions', 'end', '--all')
  t.match(failed, { code: 1, lines: [{ users: 1, revoked_keys: [], complete: false }] })
  t.match(failed.stderr, /^not finished; run it again\nsallyport: .*no space/m)
  t.match(auditedIn(failed.stderr), [
    { event: 'everyone_logout_begun' },
    { event: 'everyone_logged_out', users: 1, keys: 0, complete: false },
  ])

  database.exec('DROP TRIGGER full')
  const keys = (await runCommand(t, env, 'keys', 'list')).lines
  t.same(keys.map(({ state }) => state).sort(), ['current', 'next', 'retired'])
  const ended = await runCommand(t, env, 'sessions', 'end', '--all', '--all-keys')
  t.match(ended, { code: 0, lines: [{ users: 1, complete: true }] }, ended.stderr)
  t.same(ended.lines[0].revoked_keys.sort(), keys.map(({ kid }) => kid).sort())
  const left = (await runCommand(t, env, 'keys', 'list')).lines.filter(({ state }) => state !== 'gone')
  t.same(left.map(({ state }) => state).sort(), ['current', 'next'])
  const fresh = (kid: string) => !keys.some((key) => key.kid === kid)
  t.ok(
    left.every(({ kid }) => fresh(kid)),
    'nobody else has these',
  )
})
