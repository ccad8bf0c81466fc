import fc from 'fast-check'
import { test } from 'tap'
import { canonicalHeaderName, DEFAULT_IDENTITY_HEADERS } from '../../shared/identity-headers.ts'
import { sendRaw, startRawUpstream, valuesOf } from '../helpers/raw-http.ts'
import { startProxy } from '../helpers/sidecar-proxy.ts'

const ROUTES = [
  { name: 'open', path: '/open', access: 'public' as const },
  { name: 'either', path: '/either', access: 'optional' as const },
]
const NAMES = [...Object.values(DEFAULT_IDENTITY_HEADERS), 'X-User-Claims', 'X-Uid']

/** Every way of writing a name that some server reads as the name itself. */
const aliases = fc.constantFrom(...NAMES).chain((name) =>
  fc
    .array(fc.tuple(fc.constantFrom('-', '_', '.'), fc.boolean()), { minLength: name.length, maxLength: name.length })
    .map((choices) =>
      [...name]
        .map((character, i) => {
          const [separator, upper] = choices[i]!
          if (character === '-') return separator
          return upper ? character.toUpperCase() : character.toLowerCase()
        })
        .join(''),
    ),
)

test('no alias of an identity header passes, on any route (CVE-2025-64484, CVE-2026-88011, CVE-2026-30851)', async (t) => {
  const upstream = await startRawUpstream(t)
  const proxy = await startProxy(t, upstream.url, {
    routes: ROUTES,
    identityHeaders: { userId: 'X-Uid', roles: 'X-User-Roles' },
  })
  const token = proxy.token({ sub: 'the-user' })
  await fc.assert(
    fc.asyncProperty(
      fc.array(aliases, { minLength: 1, maxLength: 12 }),
      fc.constantFrom('/open', '/either', '/closed'),
      async (names, path) => {
        upstream.requests.length = 0
        const fields = names.map((name) => `${name}: evil`)
        if (path === '/closed') fields.push(`Authorization: Bearer ${token}`)
        await sendRaw(proxy.port, `GET ${path} HTTP/1.1\r\nHost: a\r\n${fields.join('\r\n')}\r\n\r\n`, { quietMs: 1 })
        const { rawHeaders } = upstream.requests[0]!
        if (rawHeaders.includes('evil')) return false
        const found = rawHeaders.filter((_, i) => i % 2 === 0).map(canonicalHeaderName)
        const ours = found.filter((name) => NAMES.map(canonicalHeaderName).includes(name))
        return ours.sort().join() === (path === '/closed' ? 'x-uid,x-user-roles' : '')
      },
    ),
    { numRuns: 150 },
  )
})

test('a client can not have a header removed that the sidecar sets (CVE-2026-33805, CVE-2024-45410, CVE-2022-31813)', async (t) => {
  const upstream = await startRawUpstream(t)
  const proxy = await startProxy(t, upstream.url, { routes: ROUTES })
  const token = proxy.token({ sub: 'the-user', sid: 'the-session' })
  const all = [...Object.values(DEFAULT_IDENTITY_HEADERS), 'X-Forwarded-For', 'X-Forwarded-Host', 'Host'].join(', ')
  for (const fields of [
    [`Connection: ${all}`],
    [`Connection: ${all}`, 'X-User-Id: evil', 'X-Forwarded-For: 6.6.6.6'],
  ]) {
    upstream.requests.length = 0
    const head = ['GET /closed HTTP/1.1', 'Host: a.example', `Authorization: Bearer ${token}`, ...fields].join('\r\n')
    t.same((await sendRaw(proxy.port, `${head}\r\n\r\n`)).statuses, [200])
    const { rawHeaders } = upstream.requests[0]!
    t.same(valuesOf(rawHeaders, 'x-user-id'), ['the-user'], fields.join())
    t.same(valuesOf(rawHeaders, 'x-session-id'), ['the-session'])
    t.same(valuesOf(rawHeaders, 'x-forwarded-for'), ['127.0.0.1'])
    t.same(valuesOf(rawHeaders, 'x-forwarded-host'), ['a.example'])
    t.same(valuesOf(rawHeaders, 'host'), ['a.example'])
    t.same(valuesOf(rawHeaders, 'authorization'), [], 'the token stays here')
  }
})

test('what Connection names goes no further', async (t) => {
  const upstream = await startRawUpstream(t)
  const proxy = await startProxy(t, upstream.url, { routes: ROUTES })
  const head =
    'GET /open HTTP/1.1\r\nHost: a\r\nConnection: X-Once\r\nX-Once: 1\r\nX-Kept: 2\r\nKeep-Alive: timeout=1\r\n'
  await sendRaw(proxy.port, `${head}Trailer: X-T\r\nTE: gzip, trailers\r\nHTTP2-Settings: AA\r\n\r\n`)
  const { rawHeaders } = upstream.requests[0]!
  for (const name of ['x-once', 'keep-alive', 'trailer', 'http2-settings']) t.same(valuesOf(rawHeaders, name), [], name)
  t.same(valuesOf(rawHeaders, 'x-kept'), ['2'])
  t.same(valuesOf(rawHeaders, 'te'), ['trailers'])
})

test('several Authorization headers are refused where a token is optional too (CVE-2025-64527)', async (t) => {
  const upstream = await startRawUpstream(t)
  const proxy = await startProxy(t, upstream.url, { routes: ROUTES })
  const token = proxy.token()
  for (const fields of [
    `Authorization: Bearer ${token}\r\nAuthorization: Bearer ${token}`,
    `Authorization: Bearer ${token}\r\nauthorization: Basic eDp5`,
    `Authorization: \r\nAuthorization: Bearer ${token}`,
  ]) {
    const answer = await sendRaw(proxy.port, `GET /either HTTP/1.1\r\nHost: a\r\n${fields}\r\n\r\n`)
    t.same(answer.statuses, [401], fields.slice(0, 20))
    t.match(answer.text, /error="invalid_token"/)
  }
  t.equal(upstream.requests.length, 0)
  t.notMatch(proxy.lines.join(), token.slice(0, 30), 'no token in the log')
})

test('fields that name another target or method than the one decided on go nowhere', async (t) => {
  const upstream = await startRawUpstream(t)
  const proxy = await startProxy(t, upstream.url, { routes: ROUTES, trustProxy: ['127.0.0.0/8'] })
  const names = ['X-Original-URL', 'X-Rewrite-URL', 'X_Original_Url', 'X-HTTP-Method-Override', 'X-Forwarded-Uri']
  await sendRaw(
    proxy.port,
    `GET /open HTTP/1.1\r\nHost: a\r\n${names.map((name) => `${name}: /closed`).join('\r\n')}\r\n\r\n`,
  )
  t.notOk(upstream.requests[0]!.rawHeaders.includes('/closed'))
})
