import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { hash as bcrypt } from '@node-rs/bcrypt'
import { type Test, test } from 'tap'
import { createProgressBar } from '../../bin/progress-bar.ts'
import { startIssuer } from '../../issuer/main.ts'
import { createLog } from '../../shared/log.ts'
import { call, PASSWORD } from '../helpers/client.ts'
import { eventually } from '../helpers/eventually.ts'
import { argon2Credential, keycloakUser, pbkdf2Credential } from '../helpers/keycloak.ts'
import { startNode } from '../helpers/process.ts'
import { temporaryFolder } from '../helpers/temporary-folder.ts'

const PROGRAM = fileURLToPath(new URL('../../bin/sallyport.ts', import.meta.url))
const HASHING = { HASH_MEMORY_KIB: '7168', HASH_TIME: '5' }

const sallyport = (t: Test, folder: string, ...args: string[]) =>
  startNode(t, PROGRAM, { args, env: { DATA_DIR: join(folder, 'data'), ...HASHING } })

async function run(t: Test, folder: string, ...args: string[]) {
  const child = sallyport(t, folder, ...args)
  // A disk may take a second for each batch.
  const { code } = await child.waitForExit(250_000)
  return { code, stdout: child.stdout(), stderr: child.stderr() }
}

test('imported users log in with their old password, and have a new hash from then on', async (t) => {
  const folder = temporaryFolder(t)
  const file = join(folder, 'users.csv')
  const django = 'pbkdf2_sha256$1000$seasalt$mQnueSakb748zqBAC1tmWVZsZbi2zPGZarEzTGdfmso='
  const lines = [
    'email,password_hash',
    `bcrypt@example.com,${await bcrypt(PASSWORD, 4)}`,
    `django@example.com,${django}`,
    'nobody,x',
  ]
  writeFileSync(file, lines.join('\n'))
  const { code, stdout, stderr } = await run(t, folder, 'users', 'import', file)
  t.equal(code, 2, 'lines were refused')
  t.match(JSON.parse(stdout), { lines: 4, imported: 2, present: 0, refused: 1, complete: true })
  t.match(stderr, /^100% 4 lines, 2 imported, 1 refused/m)
  t.notMatch(stderr, /@example|\$2b/)

  const log = createLog('issuer', 'silent')
  const issuer = await startIssuer({ ISSUER_PORT: '0', DATA_DIR: join(folder, 'data'), ...HASHING }, { log })
  const login = (email: string, password: string) =>
    call(`${issuer.url}/auth/login`, { json: { email, password, transport: 'body' } })
  t.equal((await login('bcrypt@example.com', 'wrong')).status, 401)
  t.equal((await login('bcrypt@example.com', PASSWORD)).status, 200)
  t.equal((await login('django@example.com', 'correct horse')).status, 200)
  await issuer.close()

  const out = join(folder, 'out.jsonl')
  t.equal((await run(t, folder, 'users', 'export', out, '--with-password-hashes')).code, 0)
  const exported = readFileSync(out, 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
  t.equal(exported.length, 2)
  for (const { password_hash } of exported) t.match(password_hash, /^\$argon2id\$v=19\$m=7168,t=5,p=1\$/)
  t.equal(statSync(out).mode & 0o777, 0o600)

  t.match(await run(t, folder, 'users', 'export', out), { code: 1, stderr: /is there already; --force/ })
  t.equal((await run(t, folder, 'users', 'export', out, '--force')).code, 0)
  t.notMatch(readFileSync(out, 'utf8'), 'password_hash')
})

test('killed in the middle, it goes on where it was', async (t) => {
  const folder = temporaryFolder(t)
  const file = join(folder, 'users.jsonl')
  const count = 30_000
  const hash = await bcrypt(PASSWORD, 4)
  const line = (n: number) => JSON.stringify({ email: `user${n}@example.com`, password_hash: hash })
  writeFileSync(file, Array.from({ length: count }, (_, n) => line(n)).join('\n'))
  const state = `${file}.import-state.json`
  for (const signal of ['SIGKILL', 'SIGINT'] as const) {
    const child = sallyport(t, folder, 'users', 'import', file)
    const before = existsSync(state) ? statSync(state).mtimeMs : 0
    await eventually(() => existsSync(state) && statSync(state).mtimeMs > before, { within: 60_000, every: 2 })
    await child.kill(signal)
    const { code } = await child.exited
    t.equal(code, signal === 'SIGKILL' ? null : 130)
    if (signal === 'SIGINT') t.match(JSON.parse(child.stdout()), { complete: false, resumed: true })
  }
  const { code, stdout } = await run(t, folder, 'users', 'import', file)
  t.equal(code, 0)
  const result = JSON.parse(stdout)
  t.match(result, { lines: count, refused: 0, complete: true, resumed: true })
  t.equal(result.imported + result.present, count)
  t.ok(result.present <= 500, 'at most what one batch had not noted')
})

test('a realm export of Keycloak: users keep their ids and log in with their passwords', async (t) => {
  const folder = temporaryFolder(t)
  const file = join(folder, 'shop-realm.json')
  const credentials = [
    argon2Credential(PASSWORD),
    pbkdf2Credential(PASSWORD, 'sha512'),
    pbkdf2Credential(PASSWORD, 'sha256'),
  ]
  const users = credentials.map((credential) => keycloakUser({ credentials: [credential] }))
  const disabled = keycloakUser({ enabled: false, credentials: [argon2Credential(PASSWORD)] })
  const nobody = keycloakUser({ serviceAccountClientId: 'reports' })
  const invited = keycloakUser({ requiredActions: ['UPDATE_PASSWORD'], credentials: [argon2Credential(PASSWORD)] })
  writeFileSync(
    file,
    JSON.stringify({ realm: 'shop', enabled: true, roles: {}, users: [...users, nobody, disabled, invited] }),
  )
  const { code, stdout, stderr } = await run(t, folder, 'users', 'import', file)
  t.equal(code, 2, stderr)
  const leftOut = { firstName: 4, lastName: 4 }
  t.match(JSON.parse(stdout), { lines: 6, imported: 4, present: 0, refused: 2, left_out: leftOut, complete: true })
  const refused = readFileSync(`${file}.refused.jsonl`, 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
  t.match(refused, [
    { line: 4, reason: /service account/ },
    { line: 6, reason: /UPDATE_PASSWORD/ },
  ])
  t.match(JSON.parse((await run(t, folder, 'users', 'import', file)).stdout), { imported: 0, present: 4, refused: 2 })

  const log = createLog('issuer', 'silent')
  const issuer = await startIssuer({ ISSUER_PORT: '0', DATA_DIR: join(folder, 'data'), ...HASHING }, { log })
  t.after(() => issuer.close())
  const login = (email: string) =>
    call<{ user: { id: string } }>(`${issuer.url}/auth/login`, {
      json: { email, password: PASSWORD, transport: 'body' },
    })
  for (const { id, email } of users) t.match(await login(email), { status: 200, body: { user: { id } } })
  t.equal((await login(disabled.email)).status, 401, 'who was disabled is inactive')

  writeFileSync(file, '{"realm":"shop"}')
  t.match(await run(t, folder, 'users', 'import', file), {
    code: 1,
    stderr: /not a realm export of Keycloak with users/,
  })
})

test('what is wrong with the command is said', async (t) => {
  const folder = temporaryFolder(t)
  const file = join(folder, 'users.txt')
  writeFileSync(file, '')
  t.match(await run(t, folder, 'users', 'import', file), {
    code: 1,
    stderr: /--format: is needed, .*: csv, jsonl or keycloak/,
  })
  t.match(await run(t, folder, 'users', 'import', file, '--format', 'jsonl'), { code: 0 })
  t.match(await run(t, folder, 'users', 'import', file, '--max-refused', 'x'), { code: 1, stderr: /--max-refused/ })
})

test('progress: one line that changes on a terminal, a line now and then elsewhere', async (t) => {
  const written: string[] = []
  const out = (isTTY: boolean) =>
    ({ isTTY, columns: 80, write: (text: string) => written.push(text) }) as unknown as NodeJS.WriteStream
  let now = 0
  const bar = createProgressBar(out(true), () => now)
  bar.update(0, '0 lines')
  bar.update(0.2, 'too soon')
  now = 200
  bar.update(0.5, '5 lines')
  bar.update(1, '10 lines')
  bar.end()
  t.same(written, [
    `\r[${'.'.repeat(30)}]  0% 0 lines\x1b[K`,
    `\r[${'#'.repeat(15)}${'.'.repeat(15)}] 50% 5 lines\x1b[K`,
    `\r[${'#'.repeat(30)}]100% 10 lines\x1b[K`,
    '\n',
  ])
  written.length = 0
  now = 0
  const lines = createProgressBar(out(false), () => now)
  lines.update(0.1, 'a')
  now = 4999
  lines.update(0.2, 'b')
  now = 5000
  lines.update(0.3, 'c')
  lines.update(1, 'd')
  lines.end()
  t.same(written, ['10% a\n', '30% c\n', '100% d\n'])
})

test('a file that is not there is named, and nothing is said of another folder', async (t) => {
  const folder = temporaryFolder(t)
  const missing = join(folder, 'people.csv')
  const { code, stderr } = await run(t, folder, 'users', 'import', missing)
  t.equal(code, 1)
  t.equal(stderr, `sallyport: ${missing} cannot be used (ENOENT)\n`)
})
