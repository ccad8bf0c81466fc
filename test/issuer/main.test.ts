import { once } from 'node:events'
import { createServer } from 'node:http'
import { connect } from 'node:net'
import { join } from 'node:path'
import { type Test, test } from 'tap'
import { startIssuer } from '../../issuer/main.ts'
import { createLog } from '../../shared/log.ts'
import { readAnswers } from '../helpers/answers.ts'
import { call, claimsOf, login, logout, refresh, register } from '../helpers/client.ts'
import { eventually } from '../helpers/eventually.ts'
import { isRefused } from '../helpers/is-refused.ts'
import { temporaryFolder } from '../helpers/temporary-folder.ts'

const HASHING = { HASH_MEMORY_KIB: '7168', HASH_TIME: '5' }

async function start(t: Test, env: Record<string, string>) {
  const lines: string[] = []
  const log = createLog('issuer', 'debug', { write: (line) => void lines.push(line) })
  const issuer = await startIssuer({ ISSUER_PORT: '0', ...HASHING, ...env }, { log })
  t.teardown(issuer.close)
  return { ...issuer, lines }
}

test('users, sessions, keys and logouts outlive a restart', async (t) => {
  const env = { DATA_DIR: join(temporaryFolder(t), 'data'), ISSUER_URL: 'http://issuer.example' }
  const first = await start(t, env)
  const credentials = await register(first.url)
  const [ended, live] = [await login(first.url, credentials), await login(first.url, credentials)]
  t.match(await logout(first.url, ended.access_token), { status: 200, body: { propagated: true } })
  // The key that stands by is made after the start.
  const keys = await eventually(async () => {
    const { body } = await call<{ keys: object[] }>(`${first.url}/.well-known/jwks.json`)
    return body.keys.length === 2 && body
  })
  await first.close()

  const second = await start(t, env)
  t.same((await call(`${second.url}/.well-known/jwks.json`)).body, keys)
  t.equal((await call(`${second.url}/users/me`, { token: live.access_token })).status, 200)
  t.equal((await call(`${second.url}/users/me`, { token: ended.access_token })).status, 401)
  t.equal((await refresh(second.url, live.refresh_token)).status, 200)
  t.equal((await refresh(second.url, ended.refresh_token)).status, 401)
  await login(second.url, credentials)
})

test('who is being answered when it closes gets the answer, and keeps it open no longer', async (t) => {
  const issuer = await start(t, { DATA_DIR: join(temporaryFolder(t), 'data') })
  const body = JSON.stringify(await register(issuer.url))
  const port = Number(new URL(issuer.url).port)
  const client = connect(port, '127.0.0.1')
  const ended = once(client, 'close')
  let text = ''
  client.setEncoding('latin1').on('data', (chunk) => {
    text += chunk
  })
  const fields = ['Host: a', 'Content-Type: application/json', `Content-Length: ${body.length}`, 'Expect: 100-continue']
  client.write(`POST /auth/login HTTP/1.1\r\n${fields.join('\r\n')}\r\n\r\n`)
  await eventually(() => text === 'HTTP/1.1 100 Continue\r\n\r\n')
  const closed = issuer.close()
  await eventually(() => isRefused(port), { message: 'it accepts nobody any more' })
  client.write(body)
  await Promise.all([ended, closed])
  t.match(readAnswers(text, true), [{ status: 200, complete: true }])
  t.notMatch(issuer.lines.join(), 'did not end cleanly')
})

test('without ISSUER_URL the issuer is named after where it listens', async (t) => {
  const { url } = await start(t, { DATA_DIR: join(temporaryFolder(t), 'data') })
  const { access_token } = await login(url, await register(url))
  t.equal(claimsOf(access_token).iss, url)
})

test('two issuers on one data folder have one set of keys and sessions', async (t) => {
  const env = { DATA_DIR: join(temporaryFolder(t), 'data'), ISSUER_URL: 'http://issuer.example' }
  const [one, two] = await Promise.all([start(t, env), start(t, env)])
  const credentials = await register(one.url)
  const tokens = await login(one.url, credentials)
  t.equal((await call(`${two.url}/users/me`, { token: tokens.access_token })).status, 200)
  const next = await refresh(two.url, tokens.refresh_token)
  t.equal(next.status, 200)
  t.equal((await logout(one.url, next.body.access_token)).status, 200)
  t.equal((await refresh(two.url, next.body.refresh_token)).status, 401)
})

test('the log never carries a password, a token or an address', async (t) => {
  const issuer = await start(t, { DATA_DIR: join(temporaryFolder(t), 'data') })
  const credentials = await register(issuer.url)
  const tokens = await login(issuer.url, credentials)
  await call(`${issuer.url}/auth/login`, { json: { ...credentials, password: 'not the password' } })
  await call(`${issuer.url}/users/me?access_token=${tokens.access_token}`, { token: `${tokens.access_token}x` })
  await call(`${issuer.url}/nowhere/${credentials.email}`)
  await refresh(issuer.url, `${tokens.refresh_token}x`)
  await refresh(issuer.url, tokens.refresh_token)
  await logout(issuer.url, tokens.access_token)
  const text = issuer.lines.join('')
  t.match(text, /"event":"login_failed"/)
  for (const secret of [
    credentials.password,
    'not the password',
    credentials.email,
    tokens.access_token.slice(-20),
    tokens.refresh_token.slice(-20),
  ]) {
    t.notOk(text.includes(secret), `${secret.slice(0, 4)}…`)
  }
})

test('a trace is named in the log, if it is one', async (t) => {
  const issuer = await start(t, { DATA_DIR: join(temporaryFolder(t), 'data') })
  const traceparent = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'
  await call(`${issuer.url}/users/me`, { headers: { traceparent } })
  await call(`${issuer.url}/users/me`, { headers: { traceparent: 'x"injected' } })
  const requests = issuer.lines.map((line) => JSON.parse(line)).filter(({ route }) => route === '/users/me')
  t.same(
    requests.map((line) => line.traceparent),
    [traceparent, undefined],
  )
})

test('the feed is for those who have the credential', async (t) => {
  const token = 'a feed token that is long enough'
  const { url } = await start(t, { DATA_DIR: join(temporaryFolder(t), 'data'), FEED_TOKEN: token })
  t.equal((await call(`${url}/revocations`)).status, 401)
  t.equal((await call(`${url}/revocations`, { token: 'another' })).status, 401)
  const abort = new AbortController()
  const response = await fetch(`${url}/revocations`, {
    headers: { authorization: `Bearer ${token}` },
    signal: abort.signal,
  })
  t.equal(response.status, 200)
  t.match(response.headers.get('content-type'), 'text/event-stream')
  abort.abort()
})

test('a start that fails says why and leaves nothing behind', async (t) => {
  const taken = createServer()
  await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve))
  t.teardown(() => taken.close())
  const { port } = taken.address() as { port: number }
  await t.rejects(start(t, { DATA_DIR: join(temporaryFolder(t), 'data'), ISSUER_PORT: String(port) }), {
    code: 'EADDRINUSE',
    port,
  })
  const folder = join(t.testdir({ file: '' }), 'file')
  await t.rejects(start(t, { DATA_DIR: join(folder, 'data') }), { path: String, code: 'ENOTDIR' })
  await t.rejects(start(t, { HASH_TIME: 'x' }), /^HASH_TIME/)
})

test('another master key is refused rather than used beside the stored keys', async (t) => {
  const env = { DATA_DIR: join(temporaryFolder(t), 'data') }
  const first = await start(t, { ...env, MASTER_KEY: 'the first master key which is 32 long' })
  await first.close()
  await t.rejects(start(t, { ...env, MASTER_KEY: 'another master key which is 32 long too' }), /MASTER_KEY/)
})
