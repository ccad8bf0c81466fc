import { type Test, test } from 'tap'
import { DEFAULT_RATE_LIMITS, type RateLimits } from '../../../issuer/domain/rate-limits.ts'
import { buildIssuer, type CallOptions, PASSWORD } from '../build.ts'

/** An issuer behind a proxy, so that a test can say where a request comes from. */
async function limited(t: Test, rateLimits: RateLimits = DEFAULT_RATE_LIMITS) {
  const issuer = await buildIssuer(t, { rules: { rateLimits, trustedProxies: ['127.0.0.1'] } })
  return {
    ...issuer,
    from: (address: string, method: string, path: string, options: CallOptions = {}) =>
      issuer.call(method, path, { ...options, headers: { 'x-forwarded-for': address, ...options.headers } }),
  }
}

let users = 0

/** Makes users from networks that nobody else comes from, and logs them in. */
async function users_(issuer: Awaited<ReturnType<typeof limited>>, count: number) {
  const tokens: { access_token: string; refresh_token: string }[] = []
  for (let i = 0; i < count; i++) {
    const json = { email: `limited${++users}@example.com`, password: PASSWORD, login: true, transport: 'body' }
    const { status, body } = await issuer.from(`2001:db8:${users.toString(16)}::1`, 'POST', '/auth/register', { json })
    if (status !== 201) throw new Error(`register: ${status}`)
    tokens.push(body)
  }
  return tokens
}

test('five logins a minute from one address, by whichever name of the route', async (t) => {
  const issuer = await limited(t)
  const json = { email: 'nobody@example.com', password: PASSWORD }
  for (let i = 1; i <= 5; i++) {
    const { status, headers } = await issuer.from('192.0.2.1', 'POST', i % 2 ? '/auth/login' : '/login', { json })
    t.equal(status, 401)
    t.match(headers, { 'ratelimit-policy': '"login";q=5;w=60', ratelimit: `"login";r=${5 - i};t=60` })
    issuer.clock.advance(1)
  }
  issuer.clock.advance(19_995)
  const hashed = issuer.calls.length
  const { status, headers, body } = await issuer.from('192.0.2.1', 'POST', '/auth/login', { json })
  t.match({ status, code: body.code }, { status: 429, code: 'too_many_requests' })
  t.match(headers, { 'retry-after': '40', ratelimit: '"login";r=0;t=40', 'content-type': /problem\+json/ })
  t.equal(issuer.calls.length, hashed, 'nothing was looked up')
  t.match(await issuer.parts.metrics.metrics(), /rate_limited_total\{limit="login"\} 1/)

  t.equal((await issuer.from('192.0.2.2', 'POST', '/auth/login', { json })).status, 401, 'not its neighbour')
  issuer.clock.advance(40_000)
  t.equal((await issuer.from('192.0.2.1', 'POST', '/auth/login', { json })).status, 401, 'and in the next minute')
})

test('an IPv6 network is one client', async (t) => {
  const issuer = await limited(t, { login: { requests: 2, windowMs: 60_000 } })
  const login = async (address: string) =>
    (await issuer.from(address, 'POST', '/auth/login', { json: { email: 'a@example.com', password: PASSWORD } })).status
  t.same([await login('2001:db8::1'), await login('2001:db8::2'), await login('2001:db8::ffff:3')], [401, 401, 429])
  t.equal(await login('2001:db8:0:1::1'), 401)
  t.same(
    [await login('::ffff:192.0.2.1'), await login('192.0.2.1'), await login('::ffff:192.0.2.1')],
    [401, 401, 429],
    'IPv4 however it is written',
  )
  t.equal(await login('::ffff:192.0.2.2'), 401)
})

test('refreshes are counted for each session, not for the address they share', async (t) => {
  const issuer = await limited(t)
  const [first, second] = await users_(issuer, 2)
  const refresh = async (token: string) => {
    const { status, body } = await issuer.from('192.0.2.1', 'POST', '/auth/refresh', { json: { refresh_token: token } })
    return { status, next: body.refresh_token as string }
  }
  let token = first!.refresh_token
  for (let i = 0; i < 10; i++) {
    const { status, next } = await refresh(token)
    t.equal(status, 200)
    token = next
  }
  t.equal((await refresh(token)).status, 429)
  t.equal((await refresh(second!.refresh_token)).status, 200, 'another session at the same address')
  issuer.clock.advance(60_000)
  t.equal((await refresh(token)).status, 200, 'a refusal uses no token up')

  for (let i = 0; i < 10; i++) t.equal((await refresh('x'.repeat(96))).status, 401)
  t.equal((await refresh('y'.repeat(96))).status, 429, 'garbage is counted by address')
  for (let i = 0; i < 20; i++) {
    const { status, headers } = await issuer.from('192.0.2.1', 'POST', '/auth/refresh')
    t.equal(status, 401, 'asking without a token is not counted')
    t.notOk('ratelimit' in headers)
  }
})

test('reads are counted by user, wherever they come from', async (t) => {
  const issuer = await limited(t)
  const [first, second] = await users_(issuer, 2)
  const read = async (address: string, token: string) =>
    (await issuer.from(address, 'GET', '/users/me', { token })).status
  for (let i = 0; i < 20; i++) t.equal(await read(`192.0.2.${i}`, first!.access_token), 200)
  t.equal(await read('203.0.113.1', first!.access_token), 429)
  t.equal(await read('203.0.113.1', second!.access_token), 200)
  for (let i = 0; i < 20; i++) t.equal(await read('198.51.100.1', 'no.token'), 401)
  t.equal(await read('198.51.100.1', 'no.token'), 429, 'without a valid token it is the address')
  t.equal(await read('198.51.100.1', second!.access_token), 200, 'which keeps out nobody who has one')
})

test('logging out is not kept back by what others at the address do', async (t) => {
  const issuer = await limited(t)
  for (let i = 0; i < 40; i++) await issuer.from('192.0.2.1', 'POST', '/auth/logout', { json: {} })
  const [user] = await users_(issuer, 1)
  const { status } = await issuer.from('192.0.2.1', 'POST', '/auth/logout', { token: user!.access_token })
  t.equal(status, 200)
})

test('only a configured proxy says where a request comes from', async (t) => {
  const attempt = async (rules: { trustedProxies: string[] }, headers: (i: number) => Record<string, string>) => {
    const limits = { login: { requests: 3, windowMs: 60_000 } }
    const issuer = await buildIssuer(t, { rules: { rateLimits: limits, ...rules } })
    const json = { email: 'a@example.com', password: PASSWORD }
    let refused = 0
    for (let i = 0; i < 9; i++) {
      const { status } = await issuer.call('POST', '/auth/login', { json, headers: headers(i) })
      if (status === 429) refused++
    }
    return { refused, addresses: new Set(issuer.audit.map(({ facts }) => facts.address)) }
  }
  const rows: [name: string, trusted: string[], headers: (i: number) => Record<string, string>, refused: number][] = [
    ['no proxy is configured', [], (i) => ({ 'x-forwarded-for': `192.0.2.${i}` }), 6],
    ['the peer is not the proxy', ['10.0.0.1'], (i) => ({ 'x-forwarded-for': `192.0.2.${i}` }), 6],
    ['the proxy says so', ['127.0.0.1'], (i) => ({ 'x-forwarded-for': `192.0.2.${i}` }), 0],
    [
      'the client said something first',
      ['127.0.0.0/8'],
      (i) => ({ 'x-forwarded-for': `192.0.2.${i}, 203.0.113.9` }),
      6,
    ],
    ['another field', ['127.0.0.1'], (i) => ({ forwarded: `for=192.0.2.${i}`, 'x-real-ip': `192.0.2.${i}` }), 6],
    [
      'host and protocol (CVE-2026-3635)',
      ['10.0.0.1'],
      (i) => ({ 'x-forwarded-host': `h${i}.example`, 'x-forwarded-proto': 'https', 'x-forwarded-for': `192.0.2.${i}` }),
      6,
    ],
  ]
  for (const [name, trustedProxies, headers, refused] of rows) {
    const result = await attempt({ trustedProxies }, headers)
    t.equal(result.refused, refused, name)
    t.equal(result.addresses.size, refused === 0 ? 9 : 1, `${name}: the audit log agrees`)
  }
})

test('the issuer is named by its settings, whatever a request says', async (t) => {
  const issuer = await limited(t)
  const headers = { 'x-forwarded-host': 'evil.example', 'x-forwarded-proto': 'http', host: 'evil.example' }
  const { body } = await issuer.call('GET', '/.well-known/oauth-authorization-server', { headers })
  t.notMatch(JSON.stringify(body), /evil/)
})

test('limits can be off', async (t) => {
  const issuer = await limited(t, {})
  const json = { email: 'nobody@example.com', password: PASSWORD }
  for (let i = 0; i < 30; i++) {
    const { status, headers } = await issuer.from('192.0.2.1', 'POST', '/auth/login', { json })
    t.equal(status, 401)
    t.notOk('ratelimit' in headers || 'ratelimit-policy' in headers)
  }
})

test('every route that is not public is limited', async (t) => {
  const one = { requests: 1, windowMs: 60_000 }
  const all = Object.fromEntries(Object.keys(DEFAULT_RATE_LIMITS).map((name) => [name, one]))
  const issuer = await limited(t, all)
  const paths: Record<string, { post?: unknown; get?: unknown }> = (await issuer.call('GET', '/openapi.json')).body
    .paths
  t.ok(Object.keys(paths).length > 8)
  let at = 0
  for (const [path, methods] of Object.entries(paths)) {
    if (path.startsWith('/.well-known/') || path === '/public_key') continue
    for (const method of Object.keys(methods)) {
      const [user] = await users_(issuer, 1)
      const address = `198.51.${100 + (++at >> 8)}.${at & 255}`
      const url = path.replaceAll(/\{\w+\}/g, '00000000-0000-4000-8000-000000000000')
      const call = () =>
        issuer.from(address, method.toUpperCase(), url, {
          token: user!.access_token,
          ...(method !== 'get' && { json: minimal[`${method} ${path}`] ?? {} }),
        })
      const [first, second] = [await call(), await call()]
      // A body that is refused by its schema never gets so far, and does no work.
      t.ok(second.status === 429 || first.status === 400, `${method} ${path}: ${first.status} ${second.status}`)
    }
  }
  for (const path of ['/livez', '/readyz', '/metrics', '/openapi.json', '/docs', '/.well-known/jwks.json']) {
    for (let i = 0; i < 3; i++) {
      t.not((await issuer.from('198.51.100.200', 'GET', path)).status, 429, path)
    }
  }
})

/** Bodies that the schema takes. */
const minimal: Record<string, object> = {
  'post /auth/login': { email: 'a@example.com', password: PASSWORD },
  'post /auth/register': { email: 'a@example.com', password: PASSWORD },
  'post /auth/refresh': { refresh_token: 'x' },
}
