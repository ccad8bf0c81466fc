import { test } from 'tap'
import { StoreUnavailable } from '../../../../issuer/domain/ports.ts'
import { ACCESS_TTL_MS, buildIssuer, claimsOf, countingHasher, ISSUER, PASSWORD } from '../../build.ts'
import { basic, clientToken, createClient, postForm, tokenWithRoles } from '../../service-client.ts'

const CLIENT_CREDENTIALS = { grant_type: 'client_credentials' }

test('password, then refresh, as form and as JSON, under both names', async (t) => {
  const issuer = await buildIssuer(t)
  const user = await issuer.register({ username: 'Somebody' })
  const form = { grant_type: 'password', username: user.email, password: PASSWORD }
  const first = await postForm(issuer, '/auth/token', form)
  t.match(first, {
    status: 200,
    headers: { 'cache-control': 'no-store', pragma: 'no-cache', 'content-type': /^application\/json/ },
    body: { token_type: 'Bearer', expires_in: ACCESS_TTL_MS / 1000 },
  })
  t.equal(first.headers['set-cookie'], undefined, 'no cookie')
  t.match(await issuer.call('GET', '/auth/token'), { status: 405, headers: { allow: 'POST' } })
  t.equal((await issuer.call('GET', '/users/me', { token: first.body.access_token })).body.id, user.id)
  t.equal(claimsOf(first.body.access_token).client_id, 'sallyport')

  const json = { ...form, username: 'somebody', client_id: 'sallyport' }
  t.equal((await issuer.call('POST', '/auth/access-token', { json })).status, 200, 'JSON, by user name')

  const rotate = { grant_type: 'refresh_token', refresh_token: first.body.refresh_token }
  const second = await postForm(issuer, '/auth/token', rotate)
  t.equal(second.status, 200)
  t.not(second.body.refresh_token, rotate.refresh_token)
  t.equal(claimsOf(second.body.access_token).sid, claimsOf(first.body.access_token).sid)
  // Used up, and past the time in which a retry is one.
  issuer.clock.advance(11_000)
  t.match(await postForm(issuer, '/auth/token', rotate), { status: 400, body: { error: 'invalid_grant' } })
  const ended = { grant_type: 'refresh_token', refresh_token: second.body.refresh_token }
  t.match(await postForm(issuer, '/auth/token', ended), { status: 400, body: { error: 'invalid_grant' } })
})

test('a first-party client may name itself: in the body, or by Basic with an empty secret', async (t) => {
  const issuer = await buildIssuer(t)
  const { email } = await issuer.register()
  const form = { grant_type: 'password', username: email, password: PASSWORD }
  t.equal((await postForm(issuer, '/auth/token', { ...form, client_id: 'sallyport' })).status, 200)
  const byBasic = basic({ client_id: 'sallyport', client_secret: '' })
  t.equal((await postForm(issuer, '/auth/token', form, byBasic)).status, 200)
  const withSecret = basic({ client_id: 'sallyport', client_secret: 'x' })
  t.match(await postForm(issuer, '/auth/token', form, withSecret), { status: 401, body: { error: 'invalid_client' } })
})

test('a service gets an RFC 9068 token of its own, by Basic and in the body', async (t) => {
  const issuer = await buildIssuer(t)
  const client = await createClient(issuer)
  const byBasic = await postForm(issuer, '/auth/token', CLIENT_CREDENTIALS, basic(client))
  const inBody = await postForm(issuer, '/auth/token', { ...CLIENT_CREDENTIALS, ...client, name: 'ignored' })
  for (const { status, headers, body } of [byBasic, inBody]) {
    t.match({ status, headers }, { status: 200, headers: { 'cache-control': 'no-store', pragma: 'no-cache' } })
    t.same(Object.keys(body).sort(), ['access_token', 'expires_in', 'scope', 'token_type'], 'no refresh token')
    t.match(body, { token_type: 'Bearer', expires_in: 300, scope: 'orders:read orders:write' })
    const header = JSON.parse(Buffer.from(body.access_token.split('.')[0], 'base64url').toString())
    t.match(header, { typ: 'at+jwt', alg: 'ES256', kid: String })
    const { jti, iat, exp, sid, ...rest } = claimsOf(body.access_token)
    t.same(rest, {
      iss: ISSUER,
      aud: 'sallyport',
      sub: client.client_id,
      client_id: client.client_id,
      epoch: 0,
      roles: [],
      scope: 'orders:read orders:write',
    })
    t.equal(exp - iat, ACCESS_TTL_MS / 1000)
    t.match({ jti, sid }, { jti: /^[\da-f-]{36}$/, sid: /^[\da-f-]{36}$/ })
  }
  t.not(claimsOf(byBasic.body.access_token).sid, claimsOf(inBody.body.access_token).sid)
  t.match(issuer.audit.filter(({ event }) => event === 'client_token').length, 2)
  t.notMatch(JSON.stringify(issuer.audit), client.client_secret)
})

test('a scope may be narrowed, never widened', async (t) => {
  const issuer = await buildIssuer(t)
  const client = await createClient(issuer)
  t.equal(claimsOf(await clientToken(issuer, client, 'orders:read')).scope, 'orders:read')
  for (const scope of ['orders:read users:read', 'admin', 'orders:read  orders:write', '*']) {
    const answer = await postForm(issuer, '/auth/token', { ...CLIENT_CREDENTIALS, scope }, basic(client))
    t.match(answer, { status: 400, body: { error: 'invalid_scope' } }, scope)
  }
  const silent = await createClient(issuer, [])
  t.equal('scope' in claimsOf(await clientToken(issuer, silent)), false)
})

test("a user's scope is narrowed for the session at the login, and for one token at the refresh", async (t) => {
  const issuer = await buildIssuer(t)
  const user = await issuer.register()
  await issuer.parts.users.update(user.id, { roles: ['superuser'] })
  const login = { grant_type: 'password', username: user.email, password: PASSWORD }
  const { body } = await postForm(issuer, '/auth/token', { ...login, scope: 'users:read keys:read' })
  t.equal(body.scope, 'keys:read users:read')
  const claims = claimsOf(body.access_token)
  t.equal(claims.scope, 'keys:read users:read')
  t.same(claims.roles, [], 'roles would give back what was taken away')

  const refresh = async (refresh_token: string, scope?: string) =>
    postForm(issuer, '/auth/token', { grant_type: 'refresh_token', refresh_token, ...(scope && { scope }) })
  const wider = await refresh(body.refresh_token, 'users:read users:write')
  t.match(wider, { status: 400, body: { error: 'invalid_scope' } })
  const narrower = await refresh(body.refresh_token, 'users:read')
  t.match(narrower, { status: 200, body: { scope: 'users:read' } }, 'the refusal used nothing up')
  const again = await refresh(narrower.body.refresh_token)
  t.equal(again.body.scope, 'keys:read users:read', 'as at the login')
  const elsewhere = await issuer.call('POST', '/auth/refresh', { json: { refresh_token: again.body.refresh_token } })
  t.equal(claimsOf(elsewhere.body.access_token).scope, 'keys:read users:read', 'by whichever route')

  const beyond = await postForm(issuer, '/auth/token', { ...login, scope: 'users:read no:such' })
  t.match(beyond, { status: 400, body: { error: 'invalid_scope' } })
  const everything = await postForm(issuer, '/auth/token', login)
  const all = await postForm(issuer, '/auth/token', { ...login, scope: everything.body.scope })
  t.same(claimsOf(all.body.access_token).roles, ['superuser'], 'whoever asks for all they have keeps the roles')
})

test('errors are those of RFC 6749', async (t) => {
  const issuer = await buildIssuer(t)
  const { email } = await issuer.register()
  const client = await createClient(issuer)
  const other = await createClient(issuer)
  const off = await createClient(issuer)
  await issuer.parts.clients.update(off.client_id, { isActive: false }, false)
  const login = { grant_type: 'password', username: email, password: PASSWORD }
  const basicText = (text: string) => ({ authorization: `Basic ${Buffer.from(text).toString('base64')}` })
  const { client_id, client_secret } = client
  const body = (form: object) => new URLSearchParams(Object.entries(form)).toString()

  type Row = [name: string, error: string, form: object | string, headers?: Record<string, string>, status?: number]
  const rows: Row[] = [
    ['no grant type', 'invalid_request', { username: email }],
    ['an empty grant type', 'invalid_request', { grant_type: '' }],
    ['no such grant type', 'unsupported_grant_type', { grant_type: 'authorization_code', code: 'x' }],
    ['a name of the prototype', 'unsupported_grant_type', { grant_type: 'constructor' }],
    ['no password', 'invalid_request', { grant_type: 'password', username: email }],
    ['an empty password', 'invalid_request', { ...login, password: '' }],
    ['a wrong password', 'invalid_grant', { ...login, password: 'wrong' }],
    ['an unknown user', 'invalid_grant', { ...login, username: 'nobody@example.com' }],
    ['no refresh token', 'invalid_request', { grant_type: 'refresh_token' }],
    ['a garbled refresh token', 'invalid_grant', { grant_type: 'refresh_token', refresh_token: 'x'.repeat(96) }],
    ['a parameter twice', 'invalid_request', `${body(login)}&password=x`],
    ['the grant type twice', 'invalid_request', `${body(login)}&grant_type=password`],
    ['a parameter as an array', 'invalid_request', 'grant_type[]=client_credentials'],
    ['a broken encoding', 'invalid_request', `${body(login)}&scope=%`],
    ['too long a scope', 'invalid_request', { ...login, scope: 'x'.repeat(1025) }],
    ['no client', 'invalid_client', CLIENT_CREDENTIALS, {}, 401],
    ['a client without its secret', 'invalid_client', { ...CLIENT_CREDENTIALS, client_id }, {}, 401],
    ['a secret without its client', 'invalid_request', { ...CLIENT_CREDENTIALS, client_secret }],
    ['a wrong secret', 'invalid_client', CLIENT_CREDENTIALS, basic({ client_id, client_secret: 'x' }), 401],
    ["another's secret", 'invalid_client', CLIENT_CREDENTIALS, basic({ ...other, client_id }), 401],
    ['an unknown client', 'invalid_client', CLIENT_CREDENTIALS, basic({ ...client, client_id: 'x' }), 401],
    ['a client that is switched off', 'invalid_client', CLIENT_CREDENTIALS, basic(off), 401],
    ['Basic and a secret in the body', 'invalid_request', { ...CLIENT_CREDENTIALS, ...client }, basic(client)],
    [
      'Basic and another client in the body',
      'invalid_request',
      { ...CLIENT_CREDENTIALS, client_id: 'x' },
      basic(client),
    ],
    ['Basic without a colon', 'invalid_client', CLIENT_CREDENTIALS, basicText('x'), 401],
    ['Basic without a name', 'invalid_client', CLIENT_CREDENTIALS, basicText(':x'), 401],
    ['Basic with a broken encoding', 'invalid_client', CLIENT_CREDENTIALS, basicText('%:x'), 401],
    ['Basic that is no base64', 'invalid_client', CLIENT_CREDENTIALS, { authorization: 'Basic ***' }, 401],
    ['a scheme that is not known', 'invalid_client', CLIENT_CREDENTIALS, { authorization: 'Digest x' }, 401],
    ['a service with a password', 'unauthorized_client', login, basic(client)],
    [
      'a service with a refresh token',
      'unauthorized_client',
      { grant_type: 'refresh_token', refresh_token: 'x' },
      basic(client),
    ],
    ['a body too large', 'invalid_request', { ...login, password: 'x'.repeat(20_000) }, {}, 413],
    ['no form and no JSON', 'invalid_request', 'x', { 'content-type': 'text/plain' }, 415],
  ]
  for (const [name, error, form, headers = {}, status = 400] of rows) {
    const answer = await postForm(issuer, '/auth/token', form as string, headers)
    t.match(answer, { status, body: { error } }, name)
    t.same(Object.keys(answer.body).sort(), ['error', 'error_description'], `${name}: nothing else`)
    t.match(answer.body.error_description, /^[\x20-\x21\x23-\x5b\x5d-\x7e]+$/, `${name}: as section 5.2 writes it`)
    t.match(answer.headers, { 'cache-control': 'no-store', 'content-type': /^application\/json/ }, name)
    if (status === 401) t.match(answer.headers['www-authenticate'], /^Basic realm=/, name)
  }
})

test('JSON is as strict as everywhere: types, unknown fields, operators, duplicates', async (t) => {
  const issuer = await buildIssuer(t)
  const { email } = await issuer.register()
  const login = { grant_type: 'password', username: email, password: PASSWORD }
  const rows: [name: string, json: unknown][] = [
    ['an operator as password', { ...login, password: { $ne: null } }],
    ['an operator as user name', { ...login, username: { $gt: '' } }],
    ['an array', { ...login, grant_type: ['password'] }],
    ['a number', { ...login, password: 1 }],
    ['an unknown field', { ...login, roles: ['superuser'] }],
    ['an unknown field without a value', { ...login, roles: '' }],
    ['a duplicate', `{"grant_type":"password","grant_type":"password","username":"x","password":"y"}`],
    ['__proto__', `{"grant_type":"password","__proto__":{},"username":"x","password":"y"}`],
    ['no object', []],
    ['null', 'null'],
    ['a text', '"x"'],
  ]
  for (const [name, json] of rows) {
    const answer = await issuer.call('POST', '/auth/token', { json })
    t.match(answer, { status: 400, body: { error: 'invalid_request' } }, name)
  }
  t.equal(issuer.calls.filter((call) => call.startsWith('users.by')).length, 0, 'no store was asked')
})

test('whoever guesses a client learns nothing: the same answer, the same work', async (t) => {
  const issuer = await buildIssuer(t)
  const client = await createClient(issuer)
  const answers = []
  for (const tried of [
    { ...client, client_secret: 'wrong' },
    { ...client, client_id: crypto.randomUUID() },
    { client_id: client.client_id, client_secret: '' },
  ]) {
    const before = issuer.calls.length
    const { status, body } = await postForm(issuer, '/auth/token', CLIENT_CREDENTIALS, basic(tried))
    answers.push(JSON.stringify({ status, body, calls: issuer.calls.slice(before) }))
  }
  t.equal(new Set(answers).size, 1)
  t.match(JSON.parse(answers[0]!), { status: 401, calls: ['clients.byId'] })
})

test('the password grant can be switched off; the others stay', async (t) => {
  const issuer = await buildIssuer(t, { rules: { passwordGrant: false } })
  const user = await issuer.register()
  const login = { grant_type: 'password', username: user.email, password: PASSWORD }
  const refused = await postForm(issuer, '/auth/token', login)
  t.match(refused, { status: 400, body: { error: 'unsupported_grant_type' } })
  const { refresh_token } = await issuer.login(user)
  t.equal((await postForm(issuer, '/auth/token', { grant_type: 'refresh_token', refresh_token })).status, 200)
  for (const name of ['oauth-authorization-server', 'openid-configuration']) {
    const { body } = await issuer.call('GET', `/.well-known/${name}`)
    t.same(body.grant_types_supported, ['refresh_token', 'client_credentials'])
  }
  const { body } = await issuer.call('GET', '/openapi.json')
  t.same(Object.keys(body.components.securitySchemes.oauth2.flows), ['clientCredentials'])
})

test('a store that is away is 503 and uses nothing up', async (t) => {
  let away = false
  const issuer = await buildIssuer(t, {
    wrap: ({ clients, users }) => ({
      clients: { ...clients, byId: async (id) => (away ? unavailable() : clients.byId(id)) },
      users: { ...users, byEmailKey: async (key) => (away ? unavailable() : users.byEmailKey(key)) },
    }),
  })
  const user = await issuer.register()
  const client = await createClient(issuer)
  const login = { grant_type: 'password', username: user.email, password: PASSWORD }
  away = true
  const answers = [
    await postForm(issuer, '/auth/token', login),
    await postForm(issuer, '/auth/token', CLIENT_CREDENTIALS, basic(client)),
  ]
  for (const answer of answers) {
    t.match(answer, { status: 503, headers: { 'retry-after': /^\d+$/ }, body: { error: 'temporarily_unavailable' } })
  }
  away = false
  t.equal((await postForm(issuer, '/auth/token', login)).status, 200)
})

function unavailable(): never {
  throw new StoreUnavailable('the store', new Error('away'))
}

test('the password grant is throttled and limited as the login is', async (t) => {
  const hasher = countingHasher()
  const rules = { loginThrottle: true, rateLimits: { login: { requests: 20, windowMs: 60_000 } } }
  const issuer = await buildIssuer(t, { hasher, rules })
  const user = await issuer.register()
  const login = { grant_type: 'password', username: user.email, password: 'wrong' }
  const answers = []
  for (let n = 0; n < 25; n++) answers.push(await postForm(issuer, '/auth/token', login))
  t.equal(answers[0]!.status, 400)
  const throttled = answers.find(({ status }) => status === 429)
  t.match(throttled, { headers: { 'retry-after': /^\d+$/ }, body: { error: 'temporarily_unavailable' } })
  t.ok(hasher.calls.filter((call) => call === 'verify').length < 15, 'most were not even hashed')
  t.equal(answers.at(-1)!.status, 429)
})

test("a service's token is not for a user's routes, and opens the admin's only as far as its permissions", async (t) => {
  const issuer = await buildIssuer(t)
  const client = await createClient(issuer, ['clients:read', 'clients:write'])
  const token = await clientToken(issuer, client)
  for (const [method, path] of [
    ['GET', '/users/me'],
    ['GET', '/auth/sessions'],
  ] as const) {
    t.match(await issuer.call(method, path, { token }), { status: 403, body: { code: 'forbidden' } }, path)
  }
  t.equal((await issuer.call('GET', '/admin/clients', { token })).status, 200)
  const narrowed = await clientToken(issuer, client, 'clients:write')
  t.equal((await issuer.call('GET', '/admin/clients', { token: narrowed })).status, 403, 'not in the token')
  await issuer.parts.clients.update(client.client_id, { permissions: ['clients:write'] }, false)
  t.equal((await issuer.call('GET', '/admin/clients', { token })).status, 403, 'not in the store any more')
  await issuer.parts.clients.update(client.client_id, { isActive: false }, false)
  t.equal((await issuer.call('GET', '/admin/clients', { token })).status, 401)
  t.equal((await issuer.call('GET', '/admin/clients', { token: await tokenWithRoles(issuer, []) })).status, 403)
})
