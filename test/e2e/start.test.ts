import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { type Test, test } from 'tap'
import { call, login, logout, refresh, register, statusThrough } from '../helpers/client.ts'
import { canListen, freePort } from '../helpers/port.ts'
import { type NodeProcess, startNode } from '../helpers/process.ts'

const PROGRAM = fileURLToPath(new URL('../../bin/sallyport.ts', import.meta.url))

function temporaryFolder(t: Test): string {
  const folder = mkdtempSync(join(tmpdir(), 'sallyport-start-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

interface Started {
  process: NodeProcess
  issuer: string
  sidecar: string
  admin: string
  env: Record<string, string>
}

async function start(t: Test, more: Record<string, string> = {}): Promise<Started> {
  const ports = [await freePort(), await freePort(), await freePort()]
  const env = {
    DATA_DIR: join(temporaryFolder(t), 'data'),
    ISSUER_PORT: String(ports[0]),
    ISSUER_URL: `http://127.0.0.1:${ports[0]}`,
    SIDECAR_PORT: String(ports[1]),
    SIDECAR_ADMIN_PORT: String(ports[2]),
    ...more,
  }
  return startAgain(t, env)
}

async function startAgain(t: Test, env: Record<string, string>): Promise<Started> {
  const process = startNode(t, PROGRAM, { args: ['start'], env })
  await process.waitForLine(/Ctrl-C ends everything/, 90_000)
  const address = (port: string | undefined) => `http://127.0.0.1:${port}`
  return {
    process,
    env,
    issuer: address(env.ISSUER_PORT),
    sidecar: address(env.SIDECAR_PORT),
    admin: address(env.SIDECAR_ADMIN_PORT),
  }
}

test('npm start prints a sequence of commands that does what it says', async (t) => {
  const started = await start(t)
  const commands = started.process
    .stdout()
    .split('\n')
    .filter((line) => /^ {2}(curl|TOKEN=)/.test(line))
    .map((line) => line.trim())
  t.equal(commands.length, 5, 'register, log in, call, log out, call again')
  // The sidecar hears of the logout a moment later: who types is slower than that, and bash need not be.
  const last = commands.pop()!
  commands.push(`for i in {1..200}; do refused=$(${last}); [[ $refused == *" 401"* ]] && break; sleep 0.1; done`)
  const script = `${commands.join('\necho; echo ---\n')}\necho "$refused"\n`
  const { stdout } = await promisify(execFile)('bash', ['-c', script], { cwd: temporaryFolder(t) })
  const [registered, loggedIn, served, loggedOut, refused] = stdout.split('---\n')
  t.match(JSON.parse(registered!), { email: 'ada@example.com' })
  t.equal(loggedIn!.trim(), '')
  t.match(JSON.parse(served!), { identity: { 'x-user-email': 'ada@example.com', 'x-user-roles': 'subscriber' } })
  t.match(JSON.parse(loggedOut!), { invalidated_tokens: 1, propagated: true })
  t.match(refused, /^HTTP\/1\.1 401/)
  t.match(refused, /www-authenticate: Bearer/i)
})

test('data survive a restart and a kill -9', async (t) => {
  let started = await start(t)
  const credentials = await register(started.issuer)
  const [ended, kept] = [await login(started.issuer, credentials), await login(started.issuer, credentials)]
  t.match(await logout(started.issuer, ended.access_token), { body: { propagated: true } })
  let refreshToken = kept.refresh_token
  for (const signal of ['SIGTERM', 'SIGKILL', 'SIGKILL'] as const) {
    await started.process.kill(signal)
    started = await startAgain(t, started.env)
    t.equal(await statusThrough(started.sidecar, kept.access_token), 200, `the token still holds after ${signal}`)
    t.equal(await statusThrough(started.sidecar, ended.access_token), 401, 'the one logged out stays out')
    t.equal((await refresh(started.issuer, ended.refresh_token)).status, 401)
    const answer = await refresh(started.issuer, refreshToken)
    t.equal(answer.status, 200, 'the session goes on')
    refreshToken = answer.body.refresh_token
    // Killed at once after an answer: what was answered is kept.
    const another = await login(started.issuer, credentials)
    await logout(started.issuer, another.access_token)
    await started.process.kill('SIGKILL')
    started = await startAgain(t, started.env)
    t.equal(await statusThrough(started.sidecar, another.access_token), 401)
  }
})

test('UPSTREAM: the sidecar guards that address, and no demo service runs', async (t) => {
  const server = createServer((request, response) => response.end(`mine: ${request.headers['x-user-email']}`))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  const FEED_TOKEN_FILE = join(temporaryFolder(t), 'feed-token')
  writeFileSync(FEED_TOKEN_FILE, 'a feed token that only the tests know')
  const UPSTREAM = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const started = await start(t, { UPSTREAM, FEED_TOKEN_FILE })
  const credentials = await register(started.issuer)
  const { access_token: token } = await login(started.issuer, credentials)
  const answer = await call(`${started.sidecar}/`, { token })
  t.same(answer.body, { text: `mine: ${credentials.email}` })
  t.notMatch(started.process.stdout(), /the demo service/)
})

test('Ctrl-C ends everything it started', async (t) => {
  const started = await start(t)
  await started.process.kill('SIGINT')
  t.same(await started.process.exited, { code: 0, signal: null })
  for (const name of ['ISSUER_PORT', 'SIDECAR_PORT', 'SIDECAR_ADMIN_PORT']) {
    t.ok(await canListen(Number(started.env[name])), `${name} is free again`)
  }
})

test('Ctrl-C ends an issuer that still waits for its stores', async (t) => {
  const child = startNode(t, PROGRAM, {
    args: ['issuer'],
    env: {
      DATA_DIR: temporaryFolder(t),
      ISSUER_PORT: '0',
      REDIS_URL: `redis://127.0.0.1:${await freePort()}`,
      MASTER_KEY: 'a master key that only the tests know and no one else',
    },
  })
  await child.waitForLine(/Redis.*not available|not available.*Redis/)
  await child.kill('SIGINT')
  t.same(await child.exited, { code: 0, signal: null })
})

test('what keeps it from starting is one clear line each, and the exit code is not 0', async (t) => {
  const busy = createServer().listen(0, '127.0.0.1')
  await once(busy, 'listening')
  t.teardown(() => busy.close())
  const busyPort = String((busy.address() as AddressInfo).port)
  const free = async () => ({
    ISSUER_PORT: String(await freePort()),
    SIDECAR_PORT: String(await freePort()),
    SIDECAR_ADMIN_PORT: String(await freePort()),
  })
  const readOnly = temporaryFolder(t)
  chmodSync(readOnly, 0o555)
  const nowhere = join(temporaryFolder(t), 'nowhere')
  symlinkSync(`${nowhere}-else`, nowhere)
  const rows: [name: string, env: Record<string, string>, lines: RegExp[]][] = [
    [
      'a busy issuer port',
      { ISSUER_PORT: busyPort },
      [new RegExp(`port ${busyPort} on 127.0.0.1 is in use.*ISSUER_PORT`)],
    ],
    [
      'a busy sidecar port',
      { SIDECAR_PORT: busyPort },
      [new RegExp(`port ${busyPort} on 127.0.0.1 is in use.*SIDECAR_PORT`)],
    ],
    ['a busy admin port', { SIDECAR_ADMIN_PORT: busyPort }, [new RegExp(`port ${busyPort} .*SIDECAR_ADMIN_PORT`)]],
    ['a data folder under a file', { DATA_DIR: '/dev/null/data' }, [/\/dev\/null.*DATA_DIR/]],
    ['a data folder at a link to nowhere', { DATA_DIR: join(nowhere, 'data') }, [/nowhere.*DATA_DIR/]],
    [
      'the same with compiled code to be kept there',
      { DATA_DIR: join(nowhere, 'data'), NODE_COMPILE_CACHE: '' },
      [/nowhere.*DATA_DIR/],
    ],
    [
      'a port for two servers',
      { ISSUER_PORT: '4001', SIDECAR_PORT: '4001' },
      [/SIDECAR_PORT: 4001 is the port of ISSUER_PORT as well/],
    ],
    ['a bad value', { MAX_STALENESS: 'soon' }, [/MAX_STALENESS: "soon" is not a duration/]],
    [
      'an unknown setting',
      { SIDECAR_PROT: '1' },
      [/SIDECAR_PROT: there is no such setting; did you mean SIDECAR_PORT\?/],
    ],
    [
      'several problems at once',
      { ISSUER_PORT: 'x', LOG_LEVEL: 'loud', JWKS_COOLDOWN: '-1s' },
      [/ISSUER_PORT: /, /LOG_LEVEL: /, /JWKS_COOLDOWN: /],
    ],
  ]
  if (process.getuid?.() !== 0) {
    rows.push(['a data folder without write permission', { DATA_DIR: join(readOnly, 'data') }, [/DATA_DIR/]])
  }
  for (const [name, env, expected] of rows) {
    const child = startNode(t, PROGRAM, {
      args: ['start'],
      env: { DATA_DIR: temporaryFolder(t), ...(await free()), ...env },
    })
    const { code } = await child.waitForExit(90_000)
    t.equal(code, 1, `${name}: exit code`)
    const lines = child.stderr().trim().split('\n')
    t.equal(lines.length, expected.length, `${name}: as many lines as problems: ${child.stderr()}`)
    for (const line of expected) t.match(child.stderr(), line, name)
    t.notMatch(child.stderr(), /\n\s+at /, 'no stack trace')
  }
})

test('root too is told about a folder it cannot write to', {
  skip: process.getuid?.() !== 0 && 'only as root',
}, async (t) => {
  // Root may write everywhere, so this runs the program as nobody.
  const readOnly = temporaryFolder(t)
  chmodSync(readOnly, 0o755)
  const child = startNode(t, PROGRAM, {
    args: ['start'],
    env: { DATA_DIR: join(readOnly, 'data'), ISSUER_PORT: '0', SIDECAR_PORT: '0', SIDECAR_ADMIN_PORT: '0' },
    uid: 65534,
  })
  t.equal((await child.waitForExit(90_000)).code, 1)
  t.match(child.stderr(), /^sallyport: .*data cannot be used \(EACCES\): DATA_DIR has to name a folder/)
})
