import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { type Test, test } from 'tap'
import { WebSocket, WebSocketServer } from 'ws'
import { startIssuer } from '../../issuer/main.ts'
import { createLog } from '../../shared/log.ts'
import { SettingsError } from '../../shared/settings.ts'
import { startSidecar } from '../../sidecar/main.ts'
import { call, claimsOf, login, logout, refresh, register, statusThrough } from '../helpers/client.ts'
import { eventually } from '../helpers/eventually.ts'
import { startRecordingUpstream } from '../helpers/recording-upstream.ts'
import { temporaryFolder } from '../helpers/temporary-folder.ts'

const log = createLog('test', 'silent')
const FEED_TOKEN = randomBytes(16).toString('hex')
const PORTS = { SIDECAR_PORT: '0', SIDECAR_ADMIN_PORT: '0' }

async function issuerOf(t: Test) {
  const env = { ISSUER_PORT: '0', DATA_DIR: temporaryFolder(t), FEED_TOKEN, HASH_MEMORY_KIB: '7168', HASH_TIME: '5' }
  const issuer = await startIssuer(env, { log })
  t.teardown(issuer.close)
  return issuer
}

async function sidecarOf(t: Test, env: Record<string, string>, sidecarLog = log) {
  const all = { ...PORTS, FEED_TOKEN, DATA_DIR: temporaryFolder(t), ...env }
  const sidecar = await startSidecar(all, { log: sidecarLog })
  t.teardown(sidecar.close)
  return sidecar
}

test('log in, be served with an identity, log out, be refused', async (t) => {
  const [issuer, upstream] = await Promise.all([issuerOf(t), startRecordingUpstream(t)])
  const sidecar = await sidecarOf(t, { ISSUER_URL: issuer.url, UPSTREAM: upstream.url })
  await sidecar.ready
  t.equal((await call(`${sidecar.adminUrl}/readyz`)).status, 200)
  const { access_token: token } = await login(issuer.url, await register(issuer.url))
  t.equal(await statusThrough(sidecar.url, token, '/orders?page=2'), 200)
  const [request] = upstream.requests
  t.equal(request?.target, '/orders?page=2')
  t.equal(request?.headers['x-user-id'], claimsOf(token).sub)
  t.equal(request?.headers['x-session-id'], claimsOf(token).sid)
  t.equal(request?.headers.authorization, undefined)
  t.match(await logout(issuer.url, token), { status: 200, body: { propagated: true } })
  await eventually(async () => (await statusThrough(sidecar.url, token)) === 401)
  t.match((await call(`${sidecar.adminUrl}/revocations`)).body, { session: 1, user: 0, key: 0 })
  const metrics = String((await call(`${sidecar.adminUrl}/metrics`)).body.text)
  for (const name of ['revocation_feed_age_seconds', 'sidecar_requests_total', 'process_resident_memory_bytes']) {
    t.match(metrics, name)
  }
})

test('an issuer that is spoken to in clear over a network is warned of', async (t) => {
  const said = async (url: string) => {
    const lines: string[] = []
    const reading = createLog('test', 'warn', { write: (line: string) => void lines.push(line) })
    const env = { ...PORTS, FEED_TOKEN, ISSUER_URL: url, UPSTREAM: 'http://127.0.0.1:9', DATA_DIR: temporaryFolder(t) }
    const sidecar = await startSidecar(env, { log: reading })
    await sidecar.close()
    return lines.filter((line) => line.includes('over plain HTTP')).length
  }
  t.equal(await said('http://issuer.invalid:4000'), 1)
  t.equal(await said('http://127.0.0.1:9'), 0, 'nobody is on the way')
  t.equal(await said('https://issuer.invalid'), 0)
})

test('what is open when a session is logged out is ended, and nothing else', async (t) => {
  const issuer = await issuerOf(t)
  const wss = new WebSocketServer({ port: 0, host: '127.0.0.1' })
  await once(wss, 'listening')
  t.teardown(() => wss.close())
  const upstream = `http://127.0.0.1:${(wss.address() as { port: number }).port}`
  const sidecar = await sidecarOf(t, { ISSUER_URL: issuer.url, UPSTREAM: upstream })
  await sidecar.ready
  const credentials = await register(issuer.url)
  const open = async () => {
    const tokens = await login(issuer.url, credentials)
    const socket = new WebSocket(sidecar.url.replace('http', 'ws'), {
      headers: { authorization: `Bearer ${tokens.access_token}` },
    })
    t.teardown(() => socket.terminate())
    await once(socket, 'open')
    return { socket, tokens }
  }
  const [gone, kept] = [await open(), await open()]
  t.equal((await refresh(issuer.url, kept.tokens.refresh_token)).status, 200)
  const closed = once(gone.socket, 'close')
  await logout(issuer.url, gone.tokens.access_token)
  t.equal((await closed)[0], 4401)
  t.equal(kept.socket.readyState, WebSocket.OPEN, 'a refresh does not touch it')
})

test('until keys and revocations are known it listens, and refuses with 503 what needs them', async (t) => {
  const upstream = await startRecordingUpstream(t)
  const routes = join(temporaryFolder(t), 'routes.yaml')
  await writeFile(routes, 'routes:\n  - path: /open/**\n    access: public\n')
  const sidecar = await sidecarOf(t, { ISSUER_URL: 'http://127.0.0.1:1', UPSTREAM: upstream.url, ROUTES_FILE: routes })
  const token = `${['{"alg":"ES256","kid":"k","typ":"at+jwt"}', '{}'].map((part) => Buffer.from(part).toString('base64url')).join('.')}.${Buffer.alloc(64).toString('base64url')}`
  t.equal(await statusThrough(sidecar.url, token), 503)
  t.equal(await statusThrough(sidecar.url, token, '/open/a'), 200)
  const ready = await call<{ checks: { name: string; ok: boolean }[] }>(`${sidecar.adminUrl}/readyz`)
  t.equal(ready.status, 503)
  t.same(
    ready.body.checks.filter(({ ok }) => !ok).map(({ name }) => name),
    ['keys', 'revocations'],
  )
  t.equal((await call(`${sidecar.adminUrl}/livez`)).status, 200)
  await sidecar.close()
  await sidecar.ready
})

test('keys that the issuer has not confirmed for too long are given up, and the log says so once', async (t) => {
  const issuer = await issuerOf(t)
  const upstream = await startRecordingUpstream(t)
  const lines: string[] = []
  const reading = createLog('test', 'error', { write: (line: string) => void lines.push(line) })
  // By its clock, so that a machine that stands still makes no keys too old before the issuer has gone.
  let aheadMs = 0
  const clock = { now: () => Date.now() + aheadMs }
  const times = { JWKS_REFRESH: '2s', JWKS_MAX_STALE: '1m', MAX_STALENESS: '1h' }
  const env = { ...PORTS, FEED_TOKEN, DATA_DIR: temporaryFolder(t), ISSUER_URL: issuer.url, UPSTREAM: upstream.url }
  const sidecar = await startSidecar({ ...env, ...times }, { log: reading, clock })
  t.teardown(sidecar.close)
  await sidecar.ready
  const { access_token: token } = await login(issuer.url, await register(issuer.url))
  t.equal(await statusThrough(sidecar.url, token), 200)
  await issuer.close()
  aheadMs = 61_000
  await eventually(async () => (await statusThrough(sidecar.url, token)) === 503, { within: 20_000 })
  await eventually(() => lines.some((line) => line.includes('the keys are too old')), { within: 20_000 })
  t.equal(lines.filter((line) => line.includes('the keys are too old')).length, 1)
})

test('while it drains it is not ready, still serves, and hears of revocations', async (t) => {
  const [issuer, upstream] = await Promise.all([issuerOf(t), startRecordingUpstream(t)])
  const sidecar = await sidecarOf(t, { ISSUER_URL: issuer.url, UPSTREAM: upstream.url, DRAIN_DELAY: '5s' })
  await sidecar.ready
  const credentials = await register(issuer.url)
  const [gone, kept] = [await login(issuer.url, credentials), await login(issuer.url, credentials)]
  const closed = sidecar.close()
  t.equal((await call(`${sidecar.adminUrl}/readyz`)).status, 503)
  t.equal(await statusThrough(sidecar.url, gone.access_token), 200)
  await logout(issuer.url, gone.access_token)
  await eventually(async () => (await statusThrough(sidecar.url, gone.access_token)) === 401, { within: 4000 })
  t.equal(await statusThrough(sidecar.url, kept.access_token), 200)
  await closed
  await t.rejects(statusThrough(sidecar.url, kept.access_token), { code: 'ECONNREFUSED' })
})

test('a route’s service changes with the routes file, without a restart', async (t) => {
  const [main, first, second] = await Promise.all([0, 1, 2].map(() => startRecordingUpstream(t)))
  const routes = join(t.testdir(), 'routes.yaml')
  const rule = (upstream: string) => `routes:\n  - path: /a/**\n    access: public\n    upstream: ${upstream}\n`
  await writeFile(routes, rule(first!.url))
  const sidecar = await sidecarOf(t, { ISSUER_URL: 'http://127.0.0.1:1', UPSTREAM: main!.url, ROUTES_FILE: routes })
  t.equal(await statusThrough(sidecar.url, 'x', '/a/1'), 200)
  t.same(
    first!.requests.map(({ target }) => target),
    ['/a/1'],
  )
  await writeFile(routes, rule(second!.url))
  await eventually(
    async () => {
      t.equal(await statusThrough(sidecar.url, 'x', '/a/2'), 200)
      return second!.requests.length > 0
    },
    { within: 60_000, every: 100 },
  )
  await writeFile(routes, rule('http://a/base'))
  await eventually(
    async () => String((await call(`${sidecar.adminUrl}/metrics`)).body.text).includes('routes_file_right 0'),
    {
      within: 60_000,
    },
  )
  const before = second!.requests.length
  t.equal(await statusThrough(sidecar.url, 'x', '/a/3'), 200)
  t.equal(second!.requests.length, before + 1, 'what is not an address leaves the service as it was')
  t.equal(main!.requests.length, 0)
})

test('what is wrong is said before anything listens', async (t) => {
  const start = (env: Record<string, string>) =>
    startSidecar({ ...PORTS, UPSTREAM: 'http://127.0.0.1:1', ...env }, { log })
  await t.rejects(start({}), SettingsError, 'no feed')
  await t.rejects(start({ FEED_TOKEN, ROUTES_FILE: '/nowhere.yaml' }), SettingsError)
  const taken = createServer().listen(0, '127.0.0.1')
  await once(taken, 'listening')
  t.teardown(() => taken.close())
  const { port } = taken.address() as { port: number }
  await t.rejects(start({ FEED_TOKEN, SIDECAR_PORT: String(port), DATA_DIR: temporaryFolder(t) }), {
    code: 'EADDRINUSE',
  })
})

test('a clock that was wrong for a while brings no revoked token back', async (t) => {
  const [issuer, upstream] = await Promise.all([issuerOf(t), startRecordingUpstream(t)])
  let aheadMs = 0
  const clock = { now: () => Date.now() + aheadMs }
  const env = { ...PORTS, FEED_TOKEN, DATA_DIR: temporaryFolder(t), ISSUER_URL: issuer.url, UPSTREAM: upstream.url }
  const sidecar = await startSidecar(env, { log, clock })
  t.teardown(sidecar.close)
  await sidecar.ready
  const credentials = await register(issuer.url)
  const tokens = await Promise.all(Array.from({ length: 5 }, () => login(issuer.url, credentials)))
  for (const { access_token: token } of tokens) await logout(issuer.url, token)
  const held = async () => (await call(`${sidecar.adminUrl}/revocations`)).body.session
  await eventually(async () => (await held()) === 5)
  aheadMs = 3_600_000
  // The whole list has been looked through once after 16 sweeps, two a second.
  await new Promise((resolve) => setTimeout(resolve, 9000))
  t.equal(await statusThrough(sidecar.url, tokens[0]!.access_token), 401, 'it seems to have expired')
  aheadMs = 0
  t.equal(await held(), 5)
  for (const { access_token: token } of tokens) t.not(await statusThrough(sidecar.url, token), 200)
})
