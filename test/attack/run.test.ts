import { readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type Test, test } from 'tap'
import { startDemoService } from '../../bin/demo-service.ts'
import { call, register } from '../helpers/client.ts'
import { ready, startRole } from '../helpers/deployment.ts'
import { startNode } from '../helpers/process.ts'
import { startProxy } from '../helpers/sidecar-proxy.ts'
import { temporaryFolder } from '../helpers/temporary-folder.ts'
import { createAuthority } from '../servers/certificates.ts'
import { onPath } from '../servers/command.ts'
import { startRecorder } from './recorder.ts'
import { startWeakService } from './weak-service.ts'

const PROGRAM = fileURLToPath(new URL('./run.ts', import.meta.url))
const FEED_TOKEN = 'a feed token that only the tests know'

interface Report {
  counts: Record<string, number>
  rows: { class: string; sent: string; verdict: string; observed: string }[]
}

async function attack(t: Test, args: string[], env: Record<string, string> = {}) {
  const child = startNode(t, PROGRAM, { args, env })
  const { code } = await child.waitForExit(280_000)
  return { code, stdout: child.stdout(), stderr: child.stderr() }
}

/** An issuer and a sidecar before this service, each a process of its own. */
async function startBoth(t: Test, upstream: string) {
  const folder = temporaryFolder(t)
  const issuer = await startRole(t, 'issuer', {
    ISSUER_PORT: '0',
    DATA_DIR: join(folder, 'issuer'),
    FEED_TOKEN,
    RATE_LIMITS: 'off',
    LOGIN_THROTTLE: 'off',
  })
  const sidecar = await startRole(t, 'sidecar', {
    ISSUER_URL: issuer.url,
    FEED_TOKEN,
    UPSTREAM: upstream,
    SIDECAR_PORT: '0',
    SIDECAR_ADMIN_PORT: '0',
    DATA_DIR: join(folder, 'sidecar'),
  })
  await ready(sidecar.adminUrl)
  return { issuer, sidecar }
}

test('a real deployment holds: logins, logouts and WebSockets included', { timeout: 300_000 }, async (t) => {
  const recorder = await startRecorder(t)
  const { issuer, sidecar } = await startBoth(t, recorder.url)
  const { email, password } = await register(issuer.url)
  const args = [sidecar.url, '--issuer', issuer.url, '--websocket', '/socket', '--slow=1', '--within=250', '--json']
  const { code, stdout, stderr } = await attack(t, args, { EMAIL: email, PASSWORD: password })
  t.equal(code, 0, stderr)
  const { counts, rows } = JSON.parse(stdout) as Report
  t.same(
    rows.filter(({ verdict }) => verdict === 'BROKEN'),
    [],
  )
  t.ok(counts.held! > 500, `${counts.held} held`)
  const notJudged = rows.filter(({ verdict }) => verdict === 'not applicable')
  for (const { sent, observed } of notJudged) t.match(observed, /^(still open after|it lives )/, `${sent}: ${observed}`)
  for (const id of ['revocation', 'websockets'])
    t.notOk(
      notJudged.some((row) => row.class === id),
      id,
    )
})

test('with a token, against the demo service, in words', async (t) => {
  const demo = await startDemoService('127.0.0.1', 0)
  t.teardown(demo.close)
  const proxy = await startProxy(t, demo.url)
  const classes = ['identity-headers', 'connection-header', 'revocation'].flatMap((id) => ['--class', id])
  const { code, stdout } = await attack(t, [proxy.url, ...classes], { TOKEN: proxy.token({ sub: 'the-user' }) })
  t.equal(code, 0)
  t.match(stdout, /Only ever against your own deployment/)
  t.match(stdout, /the service answers with what it received/)
  t.match(stdout, /held {4}every identity header with _ for -: 200/)
  t.match(stdout, /n\/a {5}.*: needs EMAIL, PASSWORD and --issuer/)
  t.match(stdout, /25 held, 0 BROKEN, 2 not applicable/)
})

test('without a token what can be judged is judged, and the rest says what it needs', async (t) => {
  const demo = await startDemoService('127.0.0.1', 0)
  t.teardown(demo.close)
  const proxy = await startProxy(t, demo.url)
  const classes = ['token-algorithms', 'identity-headers', 'fields'].flatMap((id) => ['--class', id])
  const { code, stdout } = await attack(t, [proxy.url, ...classes])
  t.equal(code, 0)
  t.match(stdout, /held {4}alg "none" without a signature: 401/)
  t.match(stdout, /held {4}NUL in a value: 400/)
  t.match(stdout, /n\/a {5}every identity header as they are: needs a service that answers/)
})

test('HTTPS', { skip: onPath('openssl') ? false : 'there is no openssl' }, async (t) => {
  const demo = await startDemoService('127.0.0.1', 0)
  t.teardown(demo.close)
  const authority = await createAuthority(temporaryFolder(t))
  const { certFile, keyFile } = await authority.issue('sidecar')
  const proxy = await startProxy(t, demo.url, { tls: { cert: readFileSync(certFile), key: readFileSync(keyFile) } })
  const url = `https://127.0.0.1:${proxy.port}`
  const caFile = join(temporaryFolder(t), 'ca.pem')
  writeFileSync(caFile, authority.ca)
  const classes = ['content-length', 'identity-headers', 'fields'].flatMap((id) => ['--class', id])
  const { code, stdout } = await attack(t, [url, '--ca', caFile, ...classes], { TOKEN: proxy.token() })
  t.equal(code, 0, stdout)
  t.match(stdout, /\b7\d held, 0 BROKEN, 0 not applicable/)
  const stranger = await attack(t, [url], { TOKEN: proxy.token() })
  t.equal(stranger.code, 2, 'the token goes to nobody whose certificate nobody vouches for')
})

test('what is broken is said, with exit code 1', async (t) => {
  const weak = await startWeakService(t)
  const { code, stdout } = await attack(t, [`${weak.url}/open`, '--class', 'identity-headers', '--json'])
  t.equal(code, 1)
  t.ok((JSON.parse(stdout) as Report).counts.BROKEN! > 10)
  const words = await attack(t, [`${weak.url}/open`, '--class', 'identity-headers'])
  t.equal(words.code, 1)
  t.match(words.stdout, /BROKEN {2}every identity header as they are: 200.*\[expected: one request/)
})

test('what can’t be run says why, with exit code 2', async (t) => {
  const server = createServer((_request, response) => response.writeHead(502).end())
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => server.close())
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const demo = await startDemoService('127.0.0.1', 0)
  t.teardown(demo.close)
  const proxy = await startProxy(t, demo.url)
  t.equal((await call(url)).status, 502)
  for (const [args, env, message] of [
    [['http://127.0.0.1:1'], {}, /127\.0\.0\.1:1: ECONNREFUSED/],
    [[url], {}, /answers with 502/],
    [[], {}, /one URL is needed/],
    [['ftp://a'], {}, /neither http: nor https:/],
    [[proxy.url], { TOKEN: 'x.e30.x' }, /the token is refused there \(401\)/],
    [[proxy.url], { TOKEN: 'x' }, /TOKEN is no JWT|refused there/],
    [[proxy.url, '--class', 'evil'], {}, /there is none of this name/],
    [[proxy.url, '--slow', 'x'], {}, /--slow x: seconds/],
    [[proxy.url, '--evil'], {}, /evil/],
  ] as const) {
    const { code, stderr } = await attack(t, [...args], env)
    t.equal(code, 2, `${args}`)
    t.match(stderr, message)
    t.notMatch(stderr, /\n\s+at /, 'no stack trace')
  }
  t.equal((await attack(t, ['--help'])).code, 0)
})
