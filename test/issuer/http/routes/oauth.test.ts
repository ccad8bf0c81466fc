import { test } from 'tap'
import { StoreUnavailable } from '../../../../issuer/domain/ports.ts'
import { signJws } from '../../../../shared/jws.ts'
import { type BuiltIssuer, buildIssuer, claimsOf, ISSUER } from '../../build.ts'
import { basic, clientToken, createClient, postForm, type ServiceClient, tokenWithRoles } from '../../service-client.ts'

async function introspect(issuer: BuiltIssuer, client: ServiceClient, token: string, more: object = {}) {
  return postForm(issuer, '/oauth/introspect', { token, ...more }, basic(client))
}

test('what is told of an active token', async (t) => {
  const issuer = await buildIssuer(t)
  const client = await createClient(issuer)
  const user = await issuer.register()
  await issuer.parts.users.update(user.id, { roles: ['superuser'] })
  const { access_token, refresh_token } = await issuer.login(user)
  const { iat, exp, jti, sid, scope } = claimsOf(access_token)
  const access = await introspect(issuer, client, access_token, { token_type_hint: 'refresh_token' })
  t.equal(access.status, 200)
  t.equal(access.headers['cache-control'], 'no-store')
  t.same(access.body, {
    active: true,
    token_type: 'Bearer',
    scope,
    client_id: 'sallyport',
    sub: user.id,
    aud: 'sallyport',
    iss: ISSUER,
    iat,
    exp,
    jti,
    sid,
  })
  const own = await clientToken(issuer, client)
  t.match((await introspect(issuer, client, own)).body, {
    active: true,
    sub: client.client_id,
    client_id: client.client_id,
    scope: 'orders:read orders:write',
  })

  const refresh = await introspect(issuer, client, refresh_token)
  const now = Math.floor(issuer.clock.now() / 1000)
  t.same(refresh.body, {
    active: true,
    token_type: 'refresh_token',
    client_id: 'sallyport',
    sub: user.id,
    sid,
    iat: now,
    exp: now + 14 * 86_400,
  })
  const used = await postForm(issuer, '/auth/token', { grant_type: 'refresh_token', refresh_token })
  t.equal(used.status, 200, 'it was not used up')
})

test('of a token that is not active nothing is told but that', async (t) => {
  const issuer = await buildIssuer(t)
  const client = await createClient(issuer)
  const user = await issuer.register()
  const key = issuer.keySet.current()
  const live = claimsOf((await issuer.login(user)).access_token)
  const sign = (changes: object, type = 'at+jwt') => signJws(key, type, { ...live, ...changes })

  const rotated = await issuer.login(user)
  await postForm(issuer, '/auth/token', { grant_type: 'refresh_token', refresh_token: rotated.refresh_token })
  issuer.clock.advance(11_000)
  const loggedOut = await issuer.login(user)
  await issuer.call('POST', '/auth/logout', { token: loggedOut.access_token, json: {} })
  const lost = await issuer.login(user)
  // The session store forgot it; the ledger did not.
  const session = (await issuer.parts.sessions.byId(claimsOf(lost.access_token).sid))!
  await issuer.call('POST', '/auth/logout', { token: lost.access_token, json: {} })
  await issuer.parts.sessions.create(session)
  const inactive = await issuer.register()
  const ofInactive = await issuer.login(inactive)
  await issuer.parts.users.update(inactive.id, { isActive: false })
  const outdated = await issuer.register()
  const ofOutdated = await issuer.login(outdated)
  await issuer.parts.users.raiseEpoch(outdated.id)
  const deleted = await createClient(issuer)
  const ofDeleted = await clientToken(issuer, deleted)
  await issuer.parts.clients.delete(deleted.client_id)

  const rows: [name: string, token: string][] = [
    ['nonsense', 'nonsense'],
    ['a refresh token that nobody made', 'A'.repeat(96)],
    ['an expired one', sign({ iat: live.iat - 1000, exp: live.iat - 700 })],
    ["another issuer's", sign({ iss: 'https://other.example' })],
    ["another audience's", sign({ aud: 'other' })],
    ['a security event', sign({}, 'secevent+jwt')],
    ['one of a key nobody knows', signJws({ ...key, kid: 'other' }, 'at+jwt', live)],
    ['a refresh token that is used up', rotated.refresh_token],
    ['access after the logout', loggedOut.access_token],
    ['refresh after the logout', loggedOut.refresh_token],
    ['refresh of a session that came back', lost.refresh_token],
    ['access of an inactive user', ofInactive.access_token],
    ['refresh of an inactive user', ofInactive.refresh_token],
    ['access of an epoch that passed', ofOutdated.access_token],
    ['refresh of an epoch that passed', ofOutdated.refresh_token],
    ['one of a client that is deleted', ofDeleted],
  ]
  for (const [name, token] of rows) {
    const { status, body } = await introspect(issuer, client, token)
    t.same({ status, body }, { status: 200, body: { active: false } }, name)
  }
  const late = await issuer.login(user)
  issuer.clock.advance(15 * 86_400_000)
  t.same((await introspect(issuer, client, late.refresh_token)).body, { active: false }, 'unused for too long')
})

test('who may introspect: a service by its secret, or who has tokens:introspect', async (t) => {
  const issuer = await buildIssuer(t)
  const client = await createClient(issuer, ['tokens:introspect', 'orders:read'])
  const token = await tokenWithRoles(issuer, [])
  const ask = (form: Record<string, string>, headers = {}) => postForm(issuer, '/oauth/introspect', form, headers)
  const bearer = (value: string) => ({ authorization: `Bearer ${value}` })

  t.match(await ask({ token, ...client }), { status: 200, body: { active: true } }, 'the secret in the body')
  const permitted = await clientToken(issuer, client)
  t.match(await ask({ token }, bearer(permitted)), { status: 200, body: { active: true } }, 'the permission')
  const superuser = await tokenWithRoles(issuer, ['superuser'])
  t.match(await ask({ token }, bearer(superuser)), { status: 200, body: { active: true } }, 'a superuser')

  type Row = [name: string, status: number, error: string, challenge: RegExp, form: object, headers?: object]
  const narrowed = await clientToken(issuer, client, 'orders:read')
  const rows: Row[] = [
    ['nobody', 401, 'invalid_client', /^Basic /, { token }],
    ['the first-party client', 401, 'invalid_client', /^Basic /, { token, client_id: 'sallyport' }],
    ['a wrong secret', 401, 'invalid_client', /^Basic /, { token }, basic({ ...client, client_secret: 'x' })],
    ['a token without the permission', 403, 'insufficient_scope', /insufficient_scope/, { token }, bearer(token)],
    ['a token narrowed', 403, 'insufficient_scope', /insufficient_scope/, { token }, bearer(narrowed)],
    ['no token at all', 401, 'invalid_token', /invalid_token/, { token }, bearer('x')],
  ]
  for (const [name, status, error, challenge, form, headers] of rows) {
    const answer = await ask(form as Record<string, string>, headers)
    t.match(answer, { status, body: { error }, headers: { 'www-authenticate': challenge } }, name)
  }
  t.match(await ask({}, basic(client)), { status: 400, body: { error: 'invalid_request' } }, 'no token to ask about')
  t.match(await ask({ token: 'x'.repeat(9000) }, basic(client)), { status: 400, body: { error: 'invalid_request' } })
})

test('revoking either token of a user ends the session, through the ledger', async (t) => {
  const issuer = await buildIssuer(t)
  const user = await issuer.register()
  for (const kind of ['access_token', 'refresh_token'] as const) {
    const tokens = await issuer.login(user)
    const { sid } = claimsOf(tokens.access_token)
    const answer = await postForm(issuer, '/oauth/revoke', { token: tokens[kind], token_type_hint: 'nonsense' })
    t.same({ status: answer.status, body: answer.body }, { status: 200, body: '' }, kind)
    t.equal(await issuer.parts.ledger.isSessionRevoked(sid), true)
    t.match(issuer.events.at(-1), { type: 'revocation', revocation: { kind: 'session', sid } })
    t.equal((await issuer.call('GET', '/users/me', { token: tokens.access_token })).status, 401)
    const { refresh_token } = tokens
    t.equal((await postForm(issuer, '/auth/token', { grant_type: 'refresh_token', refresh_token })).status, 400)
    const published = issuer.events.length
    t.equal((await postForm(issuer, '/oauth/revoke', { token: tokens[kind] })).status, 200, 'again')
    t.equal(issuer.events.length, published, 'a repetition is nothing new')
  }
})

test('a service revokes one token of its own, and no other', async (t) => {
  const issuer = await buildIssuer(t)
  const [client, other] = [await createClient(issuer), await createClient(issuer)]
  const [token, second] = [await clientToken(issuer, client), await clientToken(issuer, client)]
  const user = await issuer.login(await issuer.register())
  const revoke = (given: string, headers = {}) => postForm(issuer, '/oauth/revoke', { token: given }, headers)

  const rows: [name: string, token: string, headers: object][] = [
    ["another's token", token, basic(other)],
    ["a service's, by nobody", token, {}],
    ["a user's access token", user.access_token, basic(client)],
    ["a user's refresh token", user.refresh_token, basic(client)],
  ]
  for (const [name, given, headers] of rows) {
    t.match(await revoke(given, headers), { status: 400, body: { error: 'unauthorized_client' } }, name)
  }
  t.equal(issuer.events.length, 0)
  t.match(await revoke(token, basic({ ...client, client_secret: 'x' })), { status: 401 })

  t.equal((await revoke(token, basic(client))).status, 200)
  const { sid, sub } = claimsOf(token)
  t.match(issuer.events, [{ type: 'revocation', revocation: { kind: 'session', sid, sub } }])
  t.same((await introspect(issuer, client, token)).body, { active: false })
  t.equal((await introspect(issuer, client, second)).body.active, true, 'its other token')
  t.equal((await revoke(token, basic(client))).status, 200, 'again')
})

test('a token that is none is revoked already', async (t) => {
  const issuer = await buildIssuer(t)
  const client = await createClient(issuer)
  for (const token of ['nonsense', 'A'.repeat(96), 'a.b.c']) {
    t.equal((await postForm(issuer, '/oauth/revoke', { token })).status, 200)
    t.equal((await postForm(issuer, '/oauth/revoke', { token }, basic(client))).status, 200)
  }
  t.match(await postForm(issuer, '/oauth/revoke', {}), { status: 400, body: { error: 'invalid_request' } })
  t.equal(issuer.events.length, 0)
})

test('a revocation that could not be recorded is 503 and says when to come again', async (t) => {
  const issuer = await buildIssuer(t, {
    wrap: ({ ledger }) => ({
      ledger: { ...ledger, record: () => Promise.reject(new StoreUnavailable('the store', new Error('away'))) },
    }),
  })
  const { access_token: token } = await issuer.login(await issuer.register())
  const answer = await postForm(issuer, '/oauth/revoke', { token })
  t.match(answer, { status: 503, headers: { 'retry-after': /^\d+$/ }, body: { error: 'temporarily_unavailable' } })
})

const EVERY_ROUTE: [path: string, form: Record<string, string>][] = [
  ['/auth/token', { grant_type: 'password', username: 'nobody@example.com', password: 'x' }],
  ['/auth/token', { grant_type: 'refresh_token', refresh_token: 'x' }],
  ['/auth/access-token', { grant_type: 'client_credentials' }],
  ['/oauth/introspect', { token: 'x' }],
  ['/oauth/revoke', { token: 'x' }],
]

test('what refuses before the route does, refuses as RFC 6749 writes it too', async (t) => {
  const one = { requests: 1, windowMs: 60_000 }
  const issuer = await buildIssuer(t, {
    rules: { rateLimits: { login: one, refresh: one, client: one }, trustedProxies: ['127.0.0.1'] },
  })
  let network = 0
  for (const [path, form] of EVERY_ROUTE) {
    const from = { 'x-forwarded-for': `192.0.2.${++network}` }
    const name = `${path} ${form.grant_type ?? ''}`
    t.not((await postForm(issuer, path, form, from)).status, 429, name)
    const limited = await postForm(issuer, path, form, from)
    t.match(limited, {
      status: 429,
      headers: {
        'content-type': /^application\/json/,
        'cache-control': 'no-store',
        pragma: 'no-cache',
        'retry-after': '60',
        ratelimit: /;r=0;t=60$/,
        'ratelimit-policy': /;q=1;w=60$/,
      },
    })
    t.same(limited.body, { error: 'temporarily_unavailable', error_description: 'Too many requests' }, name)

    const foreign = await postForm(issuer, path, form, { origin: 'https://evil.example' })
    t.match(foreign, { status: 403, headers: { 'content-type': /^application\/json/ } }, name)
    t.same(foreign.body, { error: 'invalid_request', error_description: 'This origin is not allowed' }, name)
    const expecting = await postForm(issuer, path, form, { expect: 'miracles' })
    t.match(expecting, { status: 400, headers: { 'content-type': /^application\/json/ } }, name)
    t.match(expecting.body, { error: 'invalid_request', error_description: 'header/expect: not known here' }, name)
  }
  t.match(await issuer.call('GET', '/oauth/revoke'), { status: 405, body: { code: 'method_not_allowed' } }, 'no OAuth')
})
