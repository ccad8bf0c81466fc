import { randomBytes, randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { createServer, type IncomingMessage, request } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { type Test, test } from 'tap'
import { WebSocket, WebSocketServer } from 'ws'
import { startIssuer } from '../../../issuer/main.ts'
import { createLog } from '../../../shared/log.ts'
import { startSidecar } from '../../../sidecar/main.ts'
import { claimsOf, login, logout, register } from '../../helpers/client.ts'
import { eventually } from '../../helpers/eventually.ts'
import { valuesOf } from '../../helpers/raw-http.ts'
import { newKey, tokenOf } from '../../helpers/sidecar-proxy.ts'
import { temporaryFolder } from '../../helpers/temporary-folder.ts'
import { caddy } from '../../servers/caddy.ts'
import { envoy } from '../../servers/envoy.ts'
import { nginx } from '../../servers/nginx.ts'
import { missingReverseProxy, type ReverseProxy, startReverseProxy } from '../../servers/reverse-proxy.ts'

// The configurations of docs/forward-auth.md as they stand there, but for the addresses.

const PAGE = readFileSync(new URL('../../../docs/forward-auth.md', import.meta.url), 'utf8')
type Setup = [proxy: ReverseProxy, language: string, listens: RegExp, here: (port: number) => string]
const PROXIES: Setup[] = [
  [nginx, 'nginx', /listen 8088;/, (port) => `listen 127.0.0.1:${port};`],
  [caddy, 'caddyfile', /^:8088 \{/m, (port) => `http://:${port} {\n\tbind 127.0.0.1`],
  [envoy, 'yaml', /address: 0\.0\.0\.0, port_value: 8088/, (port) => `address: 127.0.0.1, port_value: ${port}`],
]
const ROUTES = `routes:
  - { path: /open/**, access: public }
  - { path: /orders, methods: [GET] }
  - { path: /orders, roles: [admin] }
  - { path: /scoped, scopes: [orders:read] }
`
const FORGED = 'forged-by-the-client'
const log = createLog('test', 'silent')

/** The example of the page in this language. Throws if it is not there. */
function example(language: string): string {
  const [, block] = new RegExp(`^\`\`\`${language}\\n([\\s\\S]*?)^\`\`\`$`, 'm').exec(PAGE) ?? []
  if (block === undefined) throw new Error(`no example in ${language}`)
  return block
}

function replaced(configuration: string, changes: [what: RegExp, by: string][]): string {
  return changes.reduce((whole, [what, by]) => {
    if (!what.test(whole)) throw new Error(`the example has no ${what}`)
    return whole.replace(what, by)
  }, configuration)
}

interface Seen {
  method: string
  target: string
  rawHeaders: string[]
  body: string
}

/** The service: remembers what it gets, answers 200, and takes WebSockets. */
async function startService(t: Test) {
  const seen: Seen[] = []
  const record = (message: IncomingMessage, body: string) =>
    seen.push({ method: message.method ?? '', target: message.url ?? '', rawHeaders: message.rawHeaders, body })
  const server = createServer(async (message, response) => {
    record(message, await text(message))
    response.end('served')
  })
  const sockets = new WebSocketServer({ server })
  sockets.on('connection', (socket, message) => {
    record(message, '')
    socket.on('message', (data) => socket.send(String(data)))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    for (const socket of sockets.clients) socket.terminate()
    server.closeAllConnections()
    server.close()
  })
  return { port: (server.address() as AddressInfo).port, seen }
}

interface Answer {
  status: number
  headers: IncomingMessage['headers']
  body: string
}

interface Sending {
  method?: string
  token?: string
  /** Names and values in turn, as they are sent. */
  fields?: string[]
  body?: string
}

/** Sends one request through the proxy, its target byte for byte. */
async function send(url: string, path: string, { method = 'GET', token, fields = [], body }: Sending): Promise<Answer> {
  const { hostname: host, port } = new URL(url)
  const credential = token === undefined ? [] : ['Authorization', `Bearer ${token}`]
  const length = body === undefined ? [] : ['Content-Length', String(Buffer.byteLength(body))]
  const headers = ['Host', 'app.example', ...credential, ...length, ...fields]
  const sent = request({ host, port, method, path, headers, agent: false })
  sent.end(body)
  const [answer] = (await once(sent, 'response')) as [IncomingMessage]
  return { status: answer.statusCode ?? 0, headers: answer.headers, body: await text(answer) }
}

async function openWebSocket(t: Test, url: string, token?: string): Promise<WebSocket | number> {
  const headers = token === undefined ? {} : { authorization: `Bearer ${token}` }
  const socket = new WebSocket(`${url.replace('http', 'ws')}/live`, { headers })
  t.teardown(() => socket.terminate())
  return new Promise((resolve, reject) => {
    socket.on('open', () => resolve(socket))
    socket.on('unexpected-response', (_request, response) => resolve(response.statusCode ?? 0))
    socket.on('error', reject)
  })
}

/** Issuer, sidecar, service, and the proxy before it with the configuration of the page. */
async function deploy(t: Test, [proxy, language, listens, here]: Setup, changes: [what: RegExp, by: string][] = []) {
  const folder = temporaryFolder(t)
  const FEED_TOKEN = randomBytes(16).toString('hex')
  const routes = join(folder, 'routes.yaml')
  writeFileSync(routes, ROUTES)
  const service = await startService(t)
  const issuer = await startIssuer(
    { ISSUER_PORT: '0', DATA_DIR: join(folder, 'issuer'), FEED_TOKEN, HASH_MEMORY_KIB: '7168', HASH_TIME: '5' },
    { log },
  )
  t.teardown(issuer.close)
  const sidecar = await startSidecar(
    {
      SIDECAR_PORT: '0',
      SIDECAR_ADMIN_PORT: '0',
      FEED_TOKEN,
      DATA_DIR: join(folder, 'sidecar'),
      ISSUER_URL: issuer.url,
      ROUTES_FILE: routes,
      // Nothing is to get to the service but through the proxy.
      UPSTREAM: 'http://127.0.0.1:1',
      JWKS_COOLDOWN: '100ms',
    },
    { log },
  )
  t.teardown(sidecar.close)
  await sidecar.ready
  const admin = new URL(sidecar.adminUrl).port
  const addresses: [RegExp, string][] =
    proxy.kind === 'envoy'
      ? [
          [/port_value: 8081/, `port_value: ${admin}`],
          [/port_value: 3000/, `port_value: ${service.port}`],
        ]
      : [
          [/127\.0\.0\.1:8081/, `127.0.0.1:${admin}`],
          [/127\.0\.0\.1:3000/, `127.0.0.1:${service.port}`],
        ]
  const running = await startReverseProxy(proxy, (port) =>
    replaced(example(language), [[listens, here(port)], ...addresses, ...changes]),
  )
  t.teardown(() => running.stop())
  return { issuer, sidecar, seen: service.seen, url: running.url }
}

for (const setup of PROXIES) {
  const [proxy] = setup
  test(`${proxy.name} with the configuration of the page`, { skip: await missingReverseProxy(proxy) }, async (t) => {
    const { issuer, sidecar, seen, url } = await deploy(t, setup)
    const { access_token: token } = await login(issuer.url, await register(issuer.url))
    const { sub, sid } = claimsOf(token)

    await t.test('lets in with identity headers, the target as it came, and no token', async (t) => {
      const target = '/orders?page=2&q=%2F..%2f&r=a+b'
      t.equal((await send(url, target, { token })).status, 200)
      t.match(seen.at(-1), { method: 'GET', target })
      const { rawHeaders } = seen.at(-1)!
      t.same(valuesOf(rawHeaders, 'x-user-id'), [sub])
      t.same(valuesOf(rawHeaders, 'x-session-id'), [sid])
      t.same(valuesOf(rawHeaders, 'x-user-roles'), ['subscriber'])
      t.same(valuesOf(rawHeaders, 'x-user-scope').join(''), '', 'empty, or not there')
      t.same(valuesOf(rawHeaders, 'authorization'), [])
      t.equal((await send(url, '/files/a%20b~c', { method: 'PUT', token, body: 'x'.repeat(100_000) })).status, 200)
      t.match(seen.at(-1), { method: 'PUT', target: '/files/a%20b~c' })
      t.equal(seen.at(-1)?.body.length, 100_000, 'the body goes to the service')
      t.equal((await send(url, '/open/x', {})).status, 200)
      t.same(valuesOf(seen.at(-1)!.rawHeaders, 'x-user-id').join(''), '')
    })

    await t.test('refuses as the sidecar says, by the original method and target', async (t) => {
      const before = seen.length
      const missing = await send(url, '/orders', {})
      t.equal(missing.status, 401)
      t.equal(missing.headers['www-authenticate'], 'Bearer realm="sallyport"')
      t.equal((await send(url, '/orders', { token: `${token}x` })).status, 401)
      t.equal((await send(url, '/orders', { token, fields: ['Authorization', `Bearer ${token}`] })).status >= 400, true)
      t.equal((await send(url, '/orders', { method: 'POST', token, body: 'a' })).status, 403, 'GET would be right')
      t.equal((await send(url, '/orders', { method: 'HEAD' })).status, 401)
      const scope = await send(url, '/scoped', { token })
      t.equal(scope.status, 403)
      t.match(scope.headers['www-authenticate'], 'scope="orders:read"')
      for (const target of ['/open/../orders', '/open/%2e%2e/orders', '/open;/../orders', '/open//x', '/open/%2Fx']) {
        t.equal((await send(url, target, { token })).status, 400, target)
      }
      t.equal(seen.length, before, 'nothing of it got to the service')
    })

    await t.test('takes no word of the client on which request it is', async (t) => {
      const before = seen.length
      const claims = [
        ['X-Original-Method', 'GET', 'X-Original-URI', '/open/x'],
        ['X-Forwarded-Method', 'GET', 'X-Forwarded-Uri', '/open/x'],
        [
          'X-Forwarded-Method',
          'GET',
          'X-Forwarded-Uri',
          '/open/x',
          'X-Original-Method',
          'GET',
          'X-Original-URI',
          '/open/x',
        ],
        ['X_Forwarded_Uri', '/open/x', 'X_Original_URI', '/open/x'],
        ['X-Original-URL', '/open/x', 'X-Rewrite-URL', '/open/x'],
      ]
      for (const fields of claims) t.ok((await send(url, '/orders', { fields })).status >= 400, fields.join(' '))
      const override = ['X-HTTP-Method-Override', 'POST']
      t.equal((await send(url, '/orders', { token, fields: override })).status, 400)
      t.equal(seen.length, before)
    })

    await t.test('lets no forged identity header through, whatever its spelling', async (t) => {
      const names = [
        'X-User-Id',
        'x-user-roles',
        'X-USER-CLAIMS',
        'X_User_Id',
        'x.user.id',
        'X-User_Roles',
        'X_SESSION_ID',
      ]
      for (const name of names) {
        for (const [target, credential] of [
          ['/orders', token],
          ['/open/x', undefined],
        ] as const) {
          const before = seen.length
          const { status } = await send(url, target, { token: credential, fields: [name, FORGED] })
          // nginx itself takes out names with `_` and `.`.
          const isDropped = proxy.kind === 'nginx' && /[_.]/.test(name)
          t.equal(status, isDropped ? 200 : 400, `${name} ${target}`)
          t.equal(seen.length - before, isDropped ? 1 : 0)
        }
      }
      t.notOk(seen.some(({ rawHeaders }) => rawHeaders.includes(FORGED)))
      // A field that the client has taken out on the way to the sidecar must not get to the service either.
      for (const name of ['X_User_Id', 'x.user.id', 'X-User-Tier']) {
        await send(url, '/orders', { token, fields: ['Connection', `keep-alive, ${name}`, name, FORGED] })
      }
      t.notOk(seen.some(({ rawHeaders }) => rawHeaders.includes(FORGED)))
    })

    await t.test('has no identity header taken out by Connection (CVE-2024-45410)', async (t) => {
      const before = seen.length
      const fields = ['Connection', 'close, X-User-Id, x-user-roles']
      const { status } = await send(url, '/orders', { token, fields })
      t.equal(status, proxy.kind === 'caddy' ? 400 : 200)
      for (const { rawHeaders } of seen.slice(before)) t.same(valuesOf(rawHeaders, 'x-user-id'), [sub])
    })

    await t.test('opens WebSockets with a token only', async (t) => {
      t.equal(await openWebSocket(t, url), 401)
      const socket = await openWebSocket(t, url, token)
      if (typeof socket === 'number') throw new Error(`the WebSocket was refused with ${socket}`)
      socket.send('hello')
      t.equal(String((await once(socket, 'message'))[0]), 'hello')
      t.same(valuesOf(seen.at(-1)!.rawHeaders, 'x-user-id'), [sub])
    })

    await t.test('refuses a token that was logged out', async (t) => {
      t.match(await logout(issuer.url, token), { status: 200 })
      await eventually(async () => (await send(url, '/orders', { token })).status === 401, { within: 60_000 })
    })

    await t.test('fails closed: a key that cannot be had, then a sidecar that is gone', async (t) => {
      const before = seen.length
      await issuer.close()
      const unknown = tokenOf(newKey(randomUUID()), { iss: issuer.url })
      const answer = await send(url, '/orders', { token: unknown })
      t.equal(answer.status, 503)
      if (proxy.kind !== 'envoy') t.equal(answer.headers['retry-after'], '5')
      await sidecar.close()
      t.ok((await send(url, '/open/x', {})).status >= 500)
      t.equal(seen.length, before)
    })
  })
}

// With these the sidecar is not shown what the client sent. (A Caddy from 2.10 on overwrites only since the mending of
// CVE-2026-30851, so it is not among them.)
const HIDDEN: Record<string, [what: RegExp, by: string]> = {
  nginx: [/proxy_set_header X-Original-Method/, 'proxy_set_header X-User-Scope ""; proxy_set_header X-Original-Method'],
  envoy: [/allowed_headers: .*/, ''],
}

for (const setup of PROXIES) {
  const [proxy] = setup
  const change = HIDDEN[proxy.kind]
  if (change === undefined) continue
  const name = `${proxy.name} overwrites with what is empty a forged header that the sidecar was not shown (CVE-2026-30851)`
  test(name, { skip: await missingReverseProxy(proxy) }, async (t) => {
    const { seen, url } = await deploy(t, setup, [change])
    t.equal((await send(url, '/open/x', { fields: ['X-User-Scope', FORGED] })).status, 200)
    t.equal(seen.length, 1)
    t.equal(valuesOf(seen[0]!.rawHeaders, 'x-user-scope').join(''), '')
  })
}
