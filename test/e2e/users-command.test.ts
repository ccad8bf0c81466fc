import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type Test, test } from 'tap'
import { call, claimsOf, login, PASSWORD, refresh, register, statusThrough } from '../helpers/client.ts'
import { ready, startDeployment, startRole } from '../helpers/deployment.ts'
import { eventually } from '../helpers/eventually.ts'
import { startNode } from '../helpers/process.ts'
import { missingProduction, productionServers } from '../helpers/production.ts'
import { startRecordingUpstream } from '../helpers/recording-upstream.ts'
import { uniqueName } from '../helpers/unique-name.ts'

const PROGRAM = fileURLToPath(new URL('../../bin/sallyport.ts', import.meta.url))
const HASHING = { HASH_MEMORY_KIB: '7168', HASH_TIME: '5' }

type Env = Record<string, string>

function temporaryFolder(t: Test): string {
  const folder = mkdtempSync(join(tmpdir(), 'sallyport-users-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

/** Runs `sallyport users …`. @returns its exit code, the lines of JSON it printed, and what it said on stderr */
async function users(t: Test, env: Env, ...args: string[]) {
  const child = startNode(t, PROGRAM, { args: ['users', ...args], env })
  const { code } = await child.waitForExit(90_000)
  const lines = child.stdout().trim().split('\n').filter(Boolean)
  // biome-ignore lint/suspicious/noExplicitAny: what was printed is looked into freely
  return { code, output: lines.map((line) => JSON.parse(line) as any), stderr: child.stderr() }
}

/** A file with the password that everyone has here. */
function passwordFile(t: Test): string {
  const file = join(temporaryFolder(t), 'password')
  writeFileSync(file, `${PASSWORD}\n`)
  return file
}

/** What holds in every composition. @param env of a running issuer */
async function administer(t: Test, env: Env, issuerUrl: string, sidecarUrl: string) {
  const email = `${uniqueName('root')}@example.com`
  const file = passwordFile(t)
  const created = await users(t, env, 'create', '--email', email, '--superuser', '--password-file', file)
  t.match(created, { code: 0, output: [{ email, roles: ['subscriber', 'superuser'], is_admin: true }] })
  t.match(created.stderr, /"event":"user_created"/, 'in the audit log')
  t.notMatch(created.stderr + JSON.stringify(created.output), PASSWORD)
  const root = await login(issuerUrl, { email, password: PASSWORD })
  t.equal((await call(`${issuerUrl}/admin/users`, { token: root.access_token })).status, 200, 'may do everything')

  const someone = await register(issuerUrl)
  const given = await users(t, env, 'set-roles', someone.email, 'subscriber', 'viewer')
  t.match(given, { code: 0, output: [{ roles: ['subscriber', 'viewer'] }] })
  t.notOk('propagated' in given.output[0], 'nothing ended')

  const refusedSoon = async (token: string, what: string) =>
    eventually(async () => (await statusThrough(sidecarUrl, token)) === 401, { within: 60_000, message: what })
  for (const [args, more] of [
    [['set-roles', someone.email, 'subscriber'], { roles: ['subscriber'] }],
    [['logout', someone.email], {}],
    [['deactivate', someone.email], { is_active: false }],
  ] as const) {
    const tokens = await login(issuerUrl, someone)
    t.equal(await statusThrough(sidecarUrl, tokens.access_token), 200)
    const ended = await users(t, env, ...args)
    t.match(ended, { code: 0, output: [{ ...more, invalidated_tokens: 1, propagated: true }] }, args[0])
    await refusedSoon(tokens.access_token, `${args[0]} reaches the sidecar`)
    t.equal((await refresh(issuerUrl, tokens.refresh_token)).status, 401, `${args[0]} ends the session`)
  }
  t.equal(await statusThrough(sidecarUrl, root.access_token), 200, 'nobody else is hurt')

  const { sub } = claimsOf(root.access_token)
  for (const name of [sub, email, email.toUpperCase()]) {
    t.match(await users(t, env, 'show', name), { code: 0, output: [{ id: sub, email, sessions: 1 }] }, name)
  }
  const inactive = await users(t, env, 'list', '--inactive')
  t.same(
    inactive.output.map((user) => user.email),
    [someone.email],
  )
  t.match(await users(t, env, 'list', '--email', email.slice(0, -6)), { output: [{ id: sub }] })
  const last = await users(t, env, 'deactivate', email)
  t.match(last, { code: 1, output: [] })
  t.match(last.stderr, /last superuser/)
  return { email, tokens: root }
}

test('users are administered from the command line, beside a running issuer: embedded', async (t) => {
  const upstream = await startRecordingUpstream(t)
  const env = {
    DATA_DIR: join(temporaryFolder(t), 'data'),
    ISSUER_URL: 'http://issuer.example',
    FEED_TOKEN: 'a feed token that only the tests know',
    RATE_LIMITS: 'off',
    ...HASHING,
  }
  const issuer = await startRole(t, 'issuer', { ...env, ISSUER_PORT: '0' })
  const sidecar = await startRole(t, 'sidecar', {
    ...env,
    UPSTREAM: upstream.url,
    ISSUER_INTERNAL_URL: issuer.url,
    SIDECAR_PORT: '0',
    SIDECAR_ADMIN_PORT: '0',
  })
  await ready(sidecar.adminUrl)
  await administer(t, env, issuer.url, sidecar.url)
})

test('users are administered from the command line, beside a running issuer: production', {
  skip: missingProduction,
  timeout: 300_000,
}, async (t) => {
  const upstream = await startRecordingUpstream(t)
  const deployment = await startDeployment(t, {
    ...(await productionServers()),
    upstream: upstream.url,
    env: { RATE_LIMITS: 'off' },
  })
  const { issuers, sidecars, env } = deployment
  const [issuer, sidecar] = [issuers[0]!, sidecars[0]!]
  const root = await administer(t, env, issuer.url, sidecar.url)

  await issuer.stop()
  const unheard = await users(t, env, 'logout', root.email)
  t.match(unheard, { code: 0, output: [{ invalidated_tokens: 1, propagated: false }] }, 'while no issuer runs')
  await deployment.startIssuer()
  await eventually(async () => (await statusThrough(sidecar.url, root.tokens.access_token)) === 401, {
    within: 60_000,
    message: 'the next issuer tells the sidecars',
  })
})

test('the first superuser is made before any issuer runs, with the password from standard input', async (t) => {
  const env = { DATA_DIR: join(temporaryFolder(t), 'data'), ...HASHING }
  const { spawn } = await import('node:child_process')
  const email = 'Root@Example.com'
  const child = spawn(process.execPath, [PROGRAM, 'users', 'create', '--email', email, '--superuser'], {
    env: { PATH: process.env.PATH, ...env },
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  child.stdin.end(`${PASSWORD}\r\n`)
  const chunks: Buffer[] = []
  for await (const chunk of child.stdout) chunks.push(chunk as Buffer)
  t.match(JSON.parse(Buffer.concat(chunks).toString()), { email, is_verified: true })
  const issuer = await startRole(t, 'issuer', { ...env, ISSUER_PORT: '0' })
  const { access_token } = await login(issuer.url, { email, password: PASSWORD })
  t.match((await call(`${issuer.url}/users/me`, { token: access_token })).body, { is_admin: true })
})

test('what is wrong is said in a line, with exit code 1 and nothing stored', async (t) => {
  const env = { DATA_DIR: join(temporaryFolder(t), 'data'), ...HASHING }
  const file = passwordFile(t)
  const short = join(temporaryFolder(t), 'short')
  writeFileSync(short, 'short')
  const long = join(temporaryFolder(t), 'long')
  writeFileSync(long, 'x'.repeat(5000))
  const good = ['--password-file', file]
  t.equal((await users(t, env, 'create', '--email', 'a@example.com', '--username', 'ann', ...good)).code, 0)
  const rows: [args: string[], says: RegExp, env?: Env][] = [
    [['create', '--email', 'none', ...good], /^sallyport: email: not an e-mail address$/m],
    [['create', '--email', 'A@example.com', ...good], /^sallyport: email: it is taken$/m],
    [['create', '--email', 'b@example.com', '--username', 'ANN', ...good], /username: it is taken/],
    [['create', '--email', 'b@example.com', '--role', 'nope', ...good], /there is no role nope/],
    [['create', '--email', 'b@example.com', '--password-file', short], /at least 8 characters/],
    [['create', '--email', 'b@example.com', '--password-file', long], /too long/],
    [['create', '--email', 'b@example.com', '--password-file', join(file, 'x')], /password\/x/],
    [['create', ...good], /--email/],
    [['show', 'nobody@example.com'], /no such user/],
    [['logout', 'nobody'], /no such user/],
    [['set-roles', 'a@example.com', 'nope'], /there is no role "nope"/],
    [['list', '--email', 'a', '--username', 'a'], /only one of them/],
    [['list'], /^sallyport: HASH_TIME:/m, { ...env, HASH_TIME: 'x' }],
    [['list'], /MASTER_KEY: is needed/, { ...env, REDIS_URL: 'redis://127.0.0.1:1' }],
  ]
  for (const [args, says, other] of rows) {
    const { code, output, stderr } = await users(t, other ?? env, ...args)
    t.match({ code, output }, { code: 1, output: [] }, args.join(' '))
    t.match(stderr, says)
    t.notMatch(stderr, /\n\s+at /, 'no stack trace')
  }
  t.equal((await users(t, env, 'list')).output.length, 1)
})
