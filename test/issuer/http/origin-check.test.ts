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
  const preflight = (origin: string) =>
    issuer.call('OPTIONS', '/auth/refresh', {
      headers: { origin, 'access-control-request-method': 'POST', 'access-control-request-headers': 'content-type' },
    })
  const allowed = await preflight('https://app.example')
  t.match(allowed, {
    status: 204,
    headers: { 'access-control-allow-origin': 'https://app.example', 'access-control-allow-credentials': 'true' },
  })
  t.equal((await preflight('https://evil.example')).headers['access-control-allow-origin'], undefined)

  const none = await buildIssuer(t, { rules: { corsOrigins: [] } })
  const answer = await none.call('GET', '/.well-known/jwks.json', { headers: { origin: 'https://app.example' } })
  t.equal(answer.headers['access-control-allow-origin'], undefined)
})

test('answers carry the security headers', async (t) => {
  const issuer = await buildIssuer(t)
  for (const path of ['/livez', '/nowhere', '/users/me']) {
    t.match((await issuer.call('GET', path)).headers, {
      'content-security-policy': /default-src 'none'/,
      'x-content-type-options': 'nosniff',
      'strict-transport-security': /max-age/,
      'referrer-policy': 'no-referrer',
    })
  }
})
