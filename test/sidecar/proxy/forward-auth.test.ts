import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { Agent, type IncomingMessage, request } from 'node:http'
import { networkInterfaces } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import fc from 'fast-check'
import { test } from 'tap'
import { DEFAULT_IDENTITY_HEADERS } from '../../../shared/identity-headers.ts'
import { createLog } from '../../../shared/log.ts'
import { PROBLEMS } from '../../../shared/problem.ts'
import { decide } from '../../../sidecar/domain/decide.ts'
import { startSidecar } from '../../../sidecar/main.ts'
import { eventually } from '../../helpers/eventually.ts'
import { startForwardAuth } from '../../helpers/forward-auth.ts'
import { newKey, tokenOf } from '../../helpers/sidecar-proxy.ts'
import { targets } from '../../helpers/targets.ts'
import { temporaryFolder } from '../../helpers/temporary-folder.ts'

const EXP = Math.floor(Date.now() / 1000) + 600
const ROUTES = [
  { name: 'open', path: '/open/**', access: 'public' as const },
  { name: 'either', path: '/either', access: 'optional' as const },
  { name: 'read', path: '/orders', methods: ['GET'] },
  { name: 'write', path: '/orders', roles: ['admin'] },
  { name: 'scoped', path: '/scoped', scopes: ['orders:read'] },
]

type Fields = Record<string, string>

const bearer = (token: string): Fields => ({ Authorization: `Bearer ${token}` })

/** How each proxy asks about a request. */
const WAYS: Record<string, (method: string, target: string) => { method: string; target: string; fields: Fields }> = {
  envoy: (method, target) => ({ method, target: `/verify${target}`, fields: {} }),
  nginx: (method, target) => ({
    method: 'GET',
    target: '/verify',
    fields: { 'X-Original-Method': method, 'X-Original-URI': target },
  }),
  caddy: (method, target) => ({
    method: 'GET',
    target: '/verify',
    fields: { 'X-Forwarded-Method': method, 'X-Forwarded-Uri': target, 'X-Forwarded-For': '203.0.113.7' },
  }),
  // Of Traefik 3.7's pkg/middlewares/auth/forward.go, with `trustForwardHeader: false`.
  traefik: (method, target) => ({
    method: 'GET',
    target: '/verify',
    fields: {
      'User-Agent': '',
      'X-Forwarded-For': '203.0.113.7',
      'X-Forwarded-Host': 'app.example',
      'X-Forwarded-Method': method,
      'X-Forwarded-Port': '80',
      'X-Forwarded-Proto': 'http',
      'X-Forwarded-Uri': target,
      'Accept-Encoding': 'gzip',
    },
  }),
}

interface Answer {
  status: number
  header(name: string): string | undefined
  body: string
}

/** Asks one question. @param more of the request: an agent, the beginning of a body that never ends */
async function ask(
  port: number,
  method: string,
  path: string,
  fields: Fields | string[],
  { agent = new Agent(), begun }: { agent?: Agent; begun?: string } = {},
): Promise<Answer> {
  const headers = Array.isArray(fields) ? fields : Object.entries(fields).flat()
  const question = request({ port, host: '127.0.0.1', method, path, agent, headers: ['Host', 'a', ...headers] })
  if (begun === undefined) question.end()
  else question.write(begun)
  const [answer] = (await once(question, 'response')) as [IncomingMessage]
  const body = await text(answer)
  question.on('error', () => {}).destroy()
  return { status: answer.statusCode ?? 0, header: (name) => answer.headers[name]?.toString(), body }
}

for (const [proxy, way] of Object.entries(WAYS)) {
  test(`as ${proxy} asks: the original method and target decide, and identity comes back`, async (t) => {
    const door = await startForwardAuth(t, { routes: ROUTES })
    const send = (method: string, target: string, token?: string) => {
      const question = way(method, target)
      return ask(door.port, question.method, question.target, { ...question.fields, ...(token && bearer(token)) })
    }
    const token = door.token({ sub: 'ada', sid: 's1' })
    const allowed = await send('GET', '/orders?page=2', token)
    t.equal(allowed.status, 200)
    t.equal(allowed.body, '')
    t.equal(allowed.header('cache-control'), 'no-store')
    t.equal(allowed.header('x-user-id'), 'ada')
    t.equal(allowed.header('x-session-id'), 's1')
    t.equal(allowed.header('x-user-roles'), 'reader')
    t.equal(allowed.header('x-user-scope'), '', 'what the token does not say is there, and empty')
    t.equal((await send('POST', '/orders', token)).status, 403, 'the same path, another rule')
    t.equal((await send('POST', '/orders', door.token({ roles: ['admin'] }))).status, 200)
    t.equal((await send('GET', '/orders')).status, 401)
    t.equal((await send('GET', '/open/a/b')).header('x-user-id'), '', 'nobody, and that is said')
    t.equal((await send('GET', '/open/../orders', token)).status, 400)
    t.equal((await send('GET', '//orders', token)).status, 400)
    t.equal((await send('TRACE', '/open/a')).status, 405)
    t.equal((await send('PROPFIND', '/open/a')).status, 405)
    t.equal((await send('GET', '/', token)).status, 200)
    door.revocations.add({ kind: 'session', sid: 's1', sub: 'ada', exp: EXP })
    t.equal((await send('GET', '/orders?page=2', token)).status, 401, 'found in the cache, and revoked')
  })
}

test('each refusal is the one of the proxy lane; why is in the log and the metrics alone', async (t) => {
  const door = await startForwardAuth(t, { routes: ROUTES })
  const rows: [
    target: string,
    token: string | undefined,
    status: number,
    challenge: string | undefined,
    reason: string,
  ][] = [
    ['/x', undefined, 401, 'Bearer realm="sallyport"', 'token_missing'],
    ['/x', 'nonsense', 401, 'Bearer realm="sallyport", error="invalid_token"', 'token_malformed'],
    ['/either', 'nonsense', 401, 'Bearer realm="sallyport", error="invalid_token"', 'token_malformed'],
    ['/x', tokenOf(newKey('other')), 401, 'Bearer realm="sallyport", error="invalid_token"', 'key_absent'],
    [
      '/scoped',
      door.token(),
      403,
      'Bearer realm="sallyport", error="insufficient_scope", scope="orders:read"',
      'scope_missing',
    ],
    ['/a;b', door.token(), 400, undefined, 'path_characters'],
  ]
  for (const [target, token, status, challenge, reason] of rows) {
    const answer = await ask(door.port, 'GET', `/verify${target}`, token ? bearer(token) : {})
    t.equal(answer.status, status, reason)
    t.equal(answer.header('www-authenticate'), challenge, reason)
    t.equal(answer.header('content-type'), 'application/problem+json', reason)
    t.equal(answer.header('cache-control'), 'no-store', reason)
    t.equal(answer.header('x-user-id'), undefined, reason)
    t.notMatch(answer.body, reason === 'token_missing' ? 'nothing of the kind' : reason)
    t.match(door.entries().at(-1), { msg: 'request refused', door: 'forward_auth', reason, peer: '127.0.0.1' }, reason)
  }
  t.equal((await ask(door.port, 'GET', '/verify/open/x', {})).status, 200)
  const metrics = await door.metrics.metrics()
  t.match(
    metrics,
    'sidecar_requests_total{door="forward_auth",route="scoped",outcome="denied",reason="scope_missing"} 1',
  )
  t.match(metrics, 'sidecar_requests_total{door="forward_auth",route="open",outcome="served",reason=""} 1')
})

test('what cannot be known is 503 with Retry-After; a route that says so is let in and counted', async (t) => {
  const keys = { lookUp: async () => 'unavailable' as const }
  const routes = [{ name: 'lax', path: '/lax', staleness: 'open' as const }]
  const door = await startForwardAuth(t, { keys, routes })
  const unknown = await ask(door.port, 'GET', '/verify/x', bearer(tokenOf(newKey('other'))))
  t.equal(unknown.status, 503)
  t.equal(unknown.header('retry-after'), '5')
  door.state.freshness = { ...door.state.freshness, isFresh: () => false }
  const stale = await ask(door.port, 'GET', '/verify/x', bearer(door.token()))
  t.equal(stale.status, 503)
  t.equal(stale.header('retry-after'), '5')
  t.equal((await ask(door.port, 'GET', '/verify/lax', bearer(door.token()))).status, 200)
  t.match(await door.metrics.metrics(), 'sidecar_stale_requests_total{route="lax"} 1')
})

test('a key that the issuer has is fetched, once more decided, and let in', async (t) => {
  const other = newKey('other')
  const door = await startForwardAuth(t, {
    keys: {
      lookUp: async () => {
        door.ring.replace([other], Date.now())
        return 'known'
      },
    },
  })
  t.equal((await ask(door.port, 'GET', '/verify/x', bearer(tokenOf(other)))).status, 200)
})

test('an identity header or an alias of one refuses the question, whatever the route (CVE-2025-64484, CVE-2026-88011)', async (t) => {
  const door = await startForwardAuth(t, {
    routes: ROUTES,
    identityHeaders: { ...DEFAULT_IDENTITY_HEADERS, userId: 'X-Account' },
  })
  const names = ['X-User-Id', 'x-account', 'X_Account', 'X-User_Roles', 'x.user.id', 'X-USER-CLAIMS', 'x!session~id']
  for (const name of names) {
    for (const target of ['/verify/open/x', '/verify/x']) {
      const answer = await ask(door.port, 'GET', target, { [name]: 'admin', ...bearer(door.token()) })
      t.equal(answer.status, 400, name)
      t.match(door.entries().at(-1), { reason: 'identity_header' }, name)
    }
  }
  for (const [name, reason] of [
    ['X_Forwarded_For', 'field_alias'],
    ['X_Original_URI', 'field_alias'],
    ['Author_ization', undefined],
    ['X-HTTP-Method-Override', 'target_override'],
    ['X_Http_Method', 'field_alias'],
    ['x-rewrite-url', 'target_override'],
    ['SCRIPT_NAME', 'field_alias'],
    ['Script-Name', 'target_override'],
    ['PATH_INFO', 'field_alias'],
  ] as const) {
    t.equal((await ask(door.port, 'GET', '/verify/open/x', { [name]: 'DELETE' })).status, reason ? 400 : 200, name)
    if (reason) t.match(door.entries().at(-1), { reason }, name)
  }
})

test('the last of thousands of fields counts like the first (CVE-2026-58044)', async (t) => {
  const door = await startForwardAuth(t, { routes: ROUTES })
  const many = Array.from({ length: 2500 }, () => ['a', '']).flat()
  t.equal((await ask(door.port, 'GET', '/verify/open/x', many)).status, 200)
  t.equal((await ask(door.port, 'GET', '/verify/open/x', [...many, 'X_User_Id', 'admin'])).status, 400)
})

test('ambiguous questions are refused, as are several tokens', async (t) => {
  const door = await startForwardAuth(t, { routes: ROUTES })
  const token = ['Authorization', `Bearer ${door.token()}`]
  const rows: [target: string, fields: string[], status: number, reason: string][] = [
    ['/verify', [], 400, 'original_missing'],
    ['/verify?/open/x', [], 400, 'original_missing'],
    ['/verify', ['X-Original-URI', '/open/x'], 400, 'original_incomplete'],
    ['/verify/orders', [...token, 'X-Forwarded-Uri', '/open/x'], 400, 'original_ambiguous'],
    ['/verify/open/x', ['X-Original-Method', 'GET', 'X-Original-URI', '/orders'], 400, 'original_ambiguous'],
    ['/verify/', [...token, ...token], 401, 'authorization_repeated'],
  ]
  for (const [target, fields, status, reason] of rows) {
    t.equal((await ask(door.port, 'GET', target, fields)).status, status, reason)
    t.match(door.entries().at(-1), { reason })
  }
  t.equal(
    (await ask(door.port, 'GET', '/verify?a=b', ['X-Original-Method', 'GET', 'X-Original-URI', '/open/x'])).status,
    200,
  )
})

test('only a trusted network may ask; to anybody else the answer is one and the same', async (t) => {
  const door = await startForwardAuth(t, { routes: ROUTES, trusted: ['10.1.0.0/16'] })
  const questions: Fields[] = [
    {},
    bearer(door.token()),
    { 'X-Forwarded-Method': 'GET', 'X-Forwarded-Uri': '/open/x' },
    { 'X-Forwarded-Method': 'GET', 'X-Forwarded-Uri': '/open/x', 'X-Forwarded-For': '10.1.0.1' },
  ]
  const answers = await Promise.all(questions.map((fields) => ask(door.port, 'GET', '/verify/open/x', fields)))
  t.same(new Set(answers.map(({ status, body }) => `${status} ${body}`)).size, 1)
  t.equal(answers[0]?.status, 403)
  t.match(door.entries().at(-1), { reason: 'caller_untrusted', peer: '127.0.0.1' })
  t.equal((await ask(door.port, 'GET', '/livez', {})).status, 200, 'health is not its business')
})

test('loopback is trusted by default, another address of this machine is not', async (t) => {
  const outer = Object.values(networkInterfaces())
    .flat()
    .find((address) => address?.family === 'IPv4' && !address.internal)?.address
  if (outer === undefined) {
    t.comment('this machine has no address but loopback')
    return
  }
  const door = await startForwardAuth(t, { routes: ROUTES, host: '0.0.0.0' })
  const question = { 'X-Forwarded-Method': 'GET', 'X-Forwarded-Uri': '/open/x' }
  t.equal((await fetch(`http://${outer}:${door.port}/verify`, { headers: question })).status, 403)
  t.equal((await fetch(`http://127.0.0.1:${door.port}/verify`, { headers: question })).status, 200)
})

test('HEAD, any other method of the question, and a body make no difference; the connection goes on', async (t) => {
  const door = await startForwardAuth(t, { routes: ROUTES })
  const fields = { 'X-Original-Method': 'GET', 'X-Original-URI': '/orders', ...bearer(door.token({ sub: 'ada' })) }
  for (const method of ['HEAD', 'GET', 'POST', 'DELETE', 'PROPFIND', 'TRACE']) {
    t.equal((await ask(door.port, method, '/verify', fields)).header('x-user-id'), 'ada', method)
  }
  const refused = await ask(door.port, 'HEAD', '/verify', { ...fields, Authorization: 'Bearer x' })
  t.equal(refused.status, 401)
  t.equal(refused.body, '')
  const lengths: Fields[] = [
    { 'Content-Length': '99999999', 'Content-Type': 'application/json' },
    { 'Transfer-Encoding': 'chunked' },
  ]
  for (const length of lengths) {
    t.equal((await ask(door.port, 'POST', '/verify', { ...fields, ...length }, { begun: '{"' })).status, 200)
    const bad = { ...fields, ...length, Authorization: 'Bearer x' }
    t.equal((await ask(door.port, 'POST', '/verify', bad, { begun: '{"' })).status, 401)
  }
  const before = door.connections.taken
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  t.teardown(() => agent.destroy())
  for (const token of ['x', door.token(), 'x', door.token()]) {
    const { status } = await ask(door.port, 'GET', '/verify', { ...fields, ...bearer(token) }, { agent })
    t.equal(status, token === 'x' ? 401 : 200)
  }
  t.equal(door.connections.taken - before, 1, 'one connection for all of them')
  const upgrade = { ...fields, Connection: 'Upgrade', Upgrade: 'websocket' }
  t.equal(
    (await ask(door.port, 'GET', '/verify', upgrade)).status,
    200,
    'what the service is asked for is not done here',
  )
})

test('what only looks like the door is 404 of the admin port', async (t) => {
  const door = await startForwardAuth(t, { routes: ROUTES })
  for (const target of [
    '/verifyx',
    '/Verify',
    '/verify%2Fopen/x',
    '/a/verify',
    '//verify',
    '/',
    'http://a/verify/open/x',
  ]) {
    t.equal((await ask(door.port, 'GET', target, {})).status, 404, target)
  }
  t.equal((await ask(door.port, 'GET', '/verify/../metrics', {})).status, 400)
  t.equal((await ask(door.port, 'GET', '/livez', {})).status, 200)
})

test('a caller that goes while the key is looked up is forgotten', async (t) => {
  const look = Promise.withResolvers<'absent'>()
  let asked = 0
  const door = await startForwardAuth(t, {
    keys: {
      lookUp: () => {
        asked++
        return look.promise
      },
    },
  })
  const gone = new AbortController()
  const call = fetch(`${door.url}/verify/x`, { headers: bearer(tokenOf(newKey('other'))), signal: gone.signal })
  await eventually(() => asked === 1)
  gone.abort()
  await t.rejects(call)
  await eventually(() => door.connections.open === 0)
  look.resolve('absent')
  t.equal((await ask(door.port, 'GET', '/verify/x', bearer(door.token()))).status, 200)
  t.notMatch(await door.metrics.metrics(), 'outcome="denied"')
})

test('a decision that fails lets nobody in, and ends nothing but its own connection', async (t) => {
  const { promise, resolve } = Promise.withResolvers<'known'>()
  const door = await startForwardAuth(t, { keys: { lookUp: () => promise } })
  const { routes } = door.state
  const later = ask(door.port, 'GET', '/verify/x', bearer(tokenOf(newKey('other'))))
  later.catch(() => {})
  await eventually(() => door.connections.taken === 1)
  door.state.routes = {
    ...routes,
    match() {
      throw new Error('a fault')
    },
  }
  await t.rejects(ask(door.port, 'GET', '/verify/x', bearer(door.token())), { code: 'ECONNRESET' })
  resolve('known')
  await t.rejects(later, { code: 'ECONNRESET' })
  t.match(door.entries().slice(-2), Array(2).fill({ msg: 'a request failed here' }))
  door.state.routes = routes
  t.equal((await ask(door.port, 'GET', '/verify/x', bearer(door.token()))).status, 200)
})

test('however the question is put, the answer is what was decided about the very target', async (t) => {
  const routes = [
    { path: '/public/**', access: 'public' as const },
    { path: '/admin/**', roles: ['admin'] },
  ]
  const door = await startForwardAuth(t, { routes })
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  t.teardown(() => agent.destroy())
  const fields = bearer(door.token())
  const methods = fc.constantFrom('GET', 'HEAD', 'POST', 'PROPFIND')
  // Others can't be put into a request line by a client in its senses.
  const printable = targets.filter((target) => /^[!-~]+$/.test(target))
  await fc.assert(
    fc.asyncProperty(methods, printable, async (method, target) => {
      const rawHeaders = Object.entries(fields).flat()
      const decision = decide({ method, target, rawHeaders }, door.state, Date.now())
      const status = decision.allow ? 200 : PROBLEMS[decision.code][0]
      for (const way of [WAYS.envoy!, WAYS.nginx!, WAYS.caddy!]) {
        const question = way(method, target)
        const said = { ...question.fields, ...fields }
        t.equal((await ask(door.port, question.method, question.target, said, { agent })).status, status)
      }
    }),
    { numRuns: 60 },
  )
})

test('the settings say who may ask and how the headers are called', async (t) => {
  const folder = temporaryFolder(t)
  const routes = join(folder, 'routes.yaml')
  writeFileSync(routes, 'routes: [{ path: /open/**, access: public }]')
  const statusWith = async (more: Record<string, string>) => {
    const sidecar = await startSidecar(
      {
        SIDECAR_PORT: '0',
        SIDECAR_ADMIN_PORT: '0',
        ISSUER_URL: 'http://127.0.0.1:1',
        UPSTREAM: 'http://127.0.0.1:1',
        FEED_TOKEN: 'a feed token of this test',
        DATA_DIR: folder,
        ROUTES_FILE: routes,
        IDENTITY_HEADERS: 'userId=X-Account',
        ...more,
      },
      { log: createLog('test', 'silent') },
    )
    t.teardown(sidecar.close)
    const { port } = new URL(sidecar.adminUrl)
    return ask(Number(port), 'GET', '/verify/open/x', {})
  }
  const allowed = await statusWith({})
  t.equal(allowed.status, 200)
  t.equal(allowed.header('x-account'), '')
  t.equal(allowed.header('x-user-id'), undefined)
  t.equal((await statusWith({ FORWARD_AUTH_TRUSTED: '10.0.0.0/8,::1' })).status, 403)
})
