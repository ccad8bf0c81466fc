import { test } from 'tap'
import { buildIssuer, cookieOf } from '../build.ts'

test('pages of other origins may not use the cookie', async (t) => {
  const issuer = await buildIssuer(t)
  const { email, password } = await issuer.register()
  let cookie = `__Host-refresh_token=${cookieOf(await issuer.call('POST', '/auth/login', { json: { email, password } }))}`
  const rows: [name: string, headers: Record<string, string>, allowed: boolean][] = [
    ['no browser', {}, true],
    ['own page', { origin: 'https://issuer.example', 'sec-fetch-site': 'same-origin' }, true],
    ['own page by another name', { origin: 'http://localhost:4000', 'sec-fetch-site': 'same-origin' }, true],
    ['typed in', { 'sec-fetch-site': 'none' }, true],
    ['an origin of the list', { origin: 'https://app.example', 'sec-fetch-site': 'cross-site' }, true],
    ['an old browser, own page', { origin: 'https://issuer.example' }, true],
    ['another site', { origin: 'https://evil.example', 'sec-fetch-site': 'cross-site' }, false],
    ['a neighbour', { origin: 'https://evil.issuer.example', 'sec-fetch-site': 'same-site' }, false],
    ['an old browser, another site', { origin: 'https://evil.example' }, false],
    ['a sandbox', { origin: 'null' }, false],
    ['no origin, another site', { 'sec-fetch-site': 'cross-site' }, false],
    ['a name that begins alike', { origin: 'https://app.example.evil.example' }, false],
    ['a name that ends alike', { origin: 'https://evilapp.example' }, false],
    ['a name below', { origin: 'https://evil.app.example', 'sec-fetch-site': 'cross-site' }, false],
    ['a user in front', { origin: 'https://app.example@evil.example' }, false],
    ['the same name in clear', { origin: 'http://app.example' }, false],
    ['another port', { origin: 'https://app.example:8443' }, false],
    ['a port that no browser writes', { origin: 'https://app.example:443' }, false],
    ['capitals that no browser writes', { origin: 'https://APP.example' }, false],
    ['a final slash', { origin: 'https://app.example/' }, false],
    ['two', { origin: 'https://app.example, https://evil.example' }, false],
    ['nothing', { origin: '' }, false],
    ['a sandbox with its site', { origin: 'null', 'sec-fetch-site': 'cross-site' }, false],
    ['a word that no browser says', { 'sec-fetch-site': 'same-origin, cross-site' }, false],
  ]
  for (const [name, headers, allowed] of rows) {
    for (const path of ['/auth/refresh', '/auth/logout']) {
      if (allowed && path === '/auth/logout') continue
      const answer = await issuer.call('POST', path, { cookie, headers })
      if (allowed) cookie = `__Host-refresh_token=${cookieOf(answer)}`
      t.match(
        { status: answer.status, code: answer.body.code },
        allowed ? { status: 200 } : { status: 403, code: 'origin_forbidden' },
        `${name}: ${path}`,
      )
    }
    const login = await issuer.call('POST', '/auth/login', { json: { email, password }, headers })
    t.equal(login.status, allowed ? 200 : 403, `${name}: login`)
  }
})

test('only listed origins hear that they may send credentials', async (t) => {
  const issuer = await buildIssuer(t)
  const preflight = (origin: string, method = 'POST') =>
    issuer.call('OPTIONS', '/auth/refresh', {
      headers: { origin, 'access-control-request-method': method, 'access-control-request-headers': 'content-type' },
    })
  const allowed = await preflight('https://app.example')
  t.match(allowed, {
    status: 204,
    headers: {
      'access-control-allow-origin': 'https://app.example',
      'access-control-allow-credentials': 'true',
      'access-control-allow-headers': 'content-type',
      vary: /Origin/,
    },
  })
  for (const origin of ['https://evil.example', 'null', 'https://APP.example', 'https://app.example:443']) {
    const { status, headers, body } = await preflight(origin)
    t.match({ status, code: body.code }, { status: 403, code: 'origin_forbidden' }, origin)
    t.same(
      Object.keys(headers).filter((name) => name.startsWith('access-control-')),
      [],
      origin,
    )
  }
  const plain = await issuer.call('OPTIONS', '/auth/refresh')
  t.equal(plain.status, 204)
  t.notOk('access-control-allow-origin' in plain.headers)

  const none = await buildIssuer(t, { rules: { corsOrigins: [] } })
  const answer = await none.call('GET', '/.well-known/jwks.json', { headers: { origin: 'https://app.example' } })
  t.equal(answer.headers['access-control-allow-origin'], undefined)
})

test('a cache never gives one origin the answer for another', async (t) => {
  const issuer = await buildIssuer(t)
  for (const path of ['/.well-known/jwks.json', '/users/me', '/nowhere']) {
    for (const origin of ['https://app.example', 'https://evil.example', undefined]) {
      const { headers } = await issuer.call('GET', path, { headers: { ...(origin && { origin }) } })
      t.match(headers.vary, /\bOrigin\b/i, `${path} ${origin}`)
      t.equal(headers['access-control-allow-origin'], origin === 'https://app.example' ? origin : undefined)
    }
  }
})

test('a page may read what the answer says of limits', async (t) => {
  const limits = { login: { requests: 1, windowMs: 60_000 } }
  const issuer = await buildIssuer(t, { rules: { rateLimits: limits } })
  const json = { email: 'a@example.com', password: 'x' }
  const login = () => issuer.call('POST', '/auth/login', { json, headers: { origin: 'https://app.example' } })
  await login()
  const { status, headers } = await login()
  t.equal(status, 429)
  t.equal(headers['access-control-allow-origin'], 'https://app.example')
  for (const name of ['ratelimit', 'ratelimit-policy', 'retry-after']) {
    t.ok(name in headers && String(headers['access-control-expose-headers']).includes(name), name)
  }
})

test('answers carry the security headers', async (t) => {
  const issuer = await buildIssuer(t)
  for (const path of ['/livez', '/nowhere', '/users/me']) {
    t.match((await issuer.call('GET', path)).headers, {
      'content-security-policy': /default-src 'none'/,
      'x-content-type-options': 'nosniff',
      'strict-transport-security': /max-age/,
      'referrer-policy': 'no-referrer',
      'cross-origin-resource-policy': 'same-origin',
      'cross-origin-opener-policy': 'same-origin',
      'x-frame-options': /DENY|SAMEORIGIN/,
    })
  }
})
