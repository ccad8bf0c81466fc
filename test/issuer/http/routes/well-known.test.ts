import { createPublicKey } from 'node:crypto'
import { createLocalJWKSet, exportJWK, jwtVerify } from 'jose'
import { test } from 'tap'
import { buildIssuer, ISSUER } from '../../build.ts'

test('anyone can verify an access token with the published keys', async (t) => {
  const issuer = await buildIssuer(t)
  const user = await issuer.register()
  const { access_token } = await issuer.login(user)
  const { body, headers } = await issuer.call('GET', '/.well-known/jwks.json')
  t.match(headers['cache-control'], /^public, max-age=300$/)
  const { payload } = await jwtVerify(access_token, createLocalJWKSet(body), {
    issuer: ISSUER,
    audience: 'sallyport',
    typ: 'at+jwt',
    currentDate: new Date(issuer.clock.now()),
  })
  t.equal(payload.sub, user.id)

  const pem = await issuer.call('GET', '/public_key')
  t.match(pem.headers['content-type'], 'application/x-pem-file')
  t.match(await exportJWK(createPublicKey(pem.body)), { x: body.keys[0].x, y: body.keys[0].y })
  t.equal((await issuer.call('GET', `/public_key?kid=${body.keys[0].kid}`)).body, pem.body)
})

test('who has the keys already gets no body', async (t) => {
  const issuer = await buildIssuer(t)
  for (const path of ['/.well-known/jwks.json', '/public_key', '/.well-known/openid-configuration']) {
    const { headers } = await issuer.call('GET', path)
    const again = await issuer.call('GET', path, { headers: { 'if-none-match': `"x", W/${headers.etag}` } })
    t.match(again, { status: 304, body: '', headers: { etag: headers.etag, 'cache-control': /max-age/ } }, path)
    t.equal((await issuer.call('GET', path, { headers: { 'if-none-match': '"x"' } })).status, 200)
  }
})

test('the metadata name what there is, and nothing else', async (t) => {
  const issuer = await buildIssuer(t)
  const documents = []
  for (const name of ['oauth-authorization-server', 'openid-configuration']) {
    const { status, body } = await issuer.call('GET', `/.well-known/${name}`, { headers: { host: 'evil.example' } })
    t.equal(status, 200)
    for (const [key, value] of Object.entries(body)) {
      if (!/_(endpoint|uri)$/.test(key)) continue
      t.ok(String(value).startsWith(`${ISSUER}/`), `${key} is here`)
      const path = String(value).slice(ISSUER.length)
      const method = key.endsWith('endpoint') ? 'POST' : 'GET'
      t.notOk([404, 405].includes((await issuer.call(method, path)).status), `${key} is there`)
    }
    documents.push(body)
  }
  const [oauth, openId] = documents
  t.same(oauth, {
    issuer: ISSUER,
    token_endpoint: `${ISSUER}/auth/token`,
    token_endpoint_auth_methods_supported: ['client_secret_basic', 'client_secret_post', 'none'],
    grant_types_supported: ['password', 'refresh_token', 'client_credentials'],
    response_types_supported: [],
    introspection_endpoint: `${ISSUER}/oauth/introspect`,
    introspection_endpoint_auth_methods_supported: ['client_secret_basic', 'client_secret_post', 'Bearer'],
    revocation_endpoint: `${ISSUER}/oauth/revoke`,
    revocation_endpoint_auth_methods_supported: ['client_secret_basic', 'client_secret_post', 'none'],
    jwks_uri: `${ISSUER}/.well-known/jwks.json`,
    service_documentation: `${ISSUER}/docs`,
  })
  t.same(openId, { ...oauth, subject_types_supported: ['public'], id_token_signing_alg_values_supported: [] })
})

test('the OpenAPI document has every public route, and the page beside it works under its own policy', async (t) => {
  const issuer = await buildIssuer(t)
  const { body } = await issuer.call('GET', '/openapi.json')
  t.match(body.openapi, /^3\.1/)
  const paths = Object.keys(body.paths)
  for (const path of [
    '/.well-known/jwks.json',
    '/.well-known/oauth-authorization-server',
    '/.well-known/openid-configuration',
    '/admin/clients',
    '/admin/clients/{clientId}',
    '/admin/clients/{clientId}/secret',
    '/auth/login',
    '/auth/logout',
    '/auth/refresh',
    '/auth/register',
    '/auth/sessions',
    '/auth/sessions/{sid}',
    '/auth/token',
    '/oauth/introspect',
    '/oauth/revoke',
    '/public_key',
    '/users/me',
  ]) {
    t.ok(paths.includes(path), path)
  }
  t.notOk(paths.includes('/auth/access-token'), 'aliases are not listed')
  const schemes = Object.keys(body.components.securitySchemes)
  for (const [path, methods] of Object.entries<Record<string, { security?: object[] }>>(body.paths)) {
    for (const { security = [] } of Object.values(methods)) {
      for (const name of security.flatMap(Object.keys)) t.ok(schemes.includes(name), `${path}: ${name} is defined`)
    }
  }
  t.match(body.components.securitySchemes.oauth2.flows.password, { tokenUrl: `${ISSUER}/auth/token`, scopes: {} })
  t.match(body.paths['/auth/token'].post.requestBody.content, { 'application/x-www-form-urlencoded': {} })
  t.match(body.paths['/public_key'].get.responses['200'].content, { 'application/x-pem-file': {} })
  const page = await issuer.call('GET', '/docs')
  t.match(page.headers['content-security-policy'], /script-src|default-src 'self'/)
  const scripts = [...String(page.body).matchAll(/(?:src|href)="([^"]+)"/g)].map((match) => match[1]!)
  t.ok(scripts.length > 3)
  for (const path of scripts) t.equal((await issuer.call('GET', path)).status, 200, path)
  t.notMatch(page.body, /<script(?! src)/, 'no inline script, which the policy would refuse')
})

test('operations', async (t) => {
  const issuer = await buildIssuer(t)
  await issuer.login(await issuer.register())
  t.match(await issuer.call('GET', '/livez'), { status: 200, body: { status: 'ok' } })
  for (const path of ['/readyz', '/health']) {
    t.match(await issuer.call('GET', path), { status: 200, body: { checks: [{ name: 'SQLite', ok: true }] } })
  }
  const { body } = await issuer.call('GET', '/metrics')
  t.match(body, /http_request_duration_seconds_count\{method="POST",route="\/auth\/login",status="200"\} 1/)
  t.match(body, /logins_total\{outcome="ok"\} 1/)
})
