import { test } from 'tap'
import { ACCESS_TOKEN_TYPE } from '../../../../shared/access-token.ts'
import { signJws } from '../../../../shared/jws.ts'
import { ACCESS_TTL_MS, type BuiltIssuer, buildIssuer, claimsOf, cookieOf, PASSWORD } from '../../build.ts'

test('the own profile, and nothing secret', async (t) => {
  const issuer = await buildIssuer(t)
  const user = await issuer.register({ username: 'Somebody' })
  const { access_token } = await issuer.login(user)
  const { status, body, headers } = await issuer.call('GET', '/users/me', { token: access_token })
  t.equal(status, 200)
  t.equal(headers['cache-control'], 'no-store')
  t.same(Object.keys(body).sort(), [
    'created_at',
    'email',
    'id',
    'is_active',
    'is_admin',
    'is_verified',
    'last_login',
    'permissions',
    'roles',
    'tier',
    'updated_at',
    'username',
  ])
  t.match(body, { id: user.id, username: 'Somebody', last_login: new Date(issuer.clock.now()).toISOString() })
})

test('the issuer refuses every token that a sidecar would', async (t) => {
  const issuer = await buildIssuer(t)
  const user = await issuer.register()
  const { access_token, refresh_token } = await issuer.login(user)
  const claims = claimsOf(access_token)
  const [header, payload, signature] = access_token.split('.') as [string, string, string]
  const encode = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url')
  const key = issuer.keySet.current()
  const sign = (changes: object, typ = ACCESS_TOKEN_TYPE) => signJws(key, typ, { ...claims, ...changes })
  t.equal((await issuer.call('GET', '/users/me', { token: sign({}) })).status, 200, 'the control')

  const rows: [name: string, token: string][] = [
    ['no signature', `${header}.${payload}.`],
    ['alg none', `${encode({ alg: 'none', typ: 'at+jwt', kid: key.kid })}.${payload}.${signature}`],
    ['HS256 with the public key', `${encode({ alg: 'HS256', typ: 'at+jwt', kid: key.kid })}.${payload}.${signature}`],
    ['a signature of zeros', `${header}.${payload}.${Buffer.alloc(64).toString('base64url')}`],
    ['changed claims', `${header}.${encode({ ...claims, roles: ['superuser'] })}.${signature}`],
    ['another type', sign({}, 'JWT')],
    ['a security event', sign({}, 'secevent+jwt')],
    ['another issuer', sign({ iss: 'https://other.example' })],
    ['another audience', sign({ aud: 'other' })],
    ['expired', sign({ iat: claims.iat - 1000, exp: claims.iat - 600 })],
    ['from the future', sign({ iat: claims.iat + 60, exp: claims.iat + 300 })],
    ['no session', sign({ sid: undefined })],
    ['no epoch', sign({ epoch: undefined })],
    ['an epoch as text', sign({ epoch: '0' })],
    ['an unknown key', signJws({ ...key, kid: 'other' }, ACCESS_TOKEN_TYPE, claims)],
    ['a user who is not there', sign({ sub: crypto.randomUUID() })],
    ['the refresh token', refresh_token],
    ['too long', 'a'.repeat(9000)],
  ]
  for (const [name, token] of rows) {
    const { status, body, headers } = await issuer.call('GET', '/users/me', { token })
    t.match({ status, code: body.code }, { status: 401, code: 'token_invalid' }, name)
    t.equal(headers['www-authenticate'], 'Bearer realm="sallyport", error="invalid_token"')
    t.notMatch(JSON.stringify(body), /expired|signature|audience/, `${name}: the reason is not told`)
  }
  const missing = await issuer.call('GET', '/users/me')
  t.match({ status: missing.status, code: missing.body.code }, { status: 401, code: 'token_missing' })
  t.equal(missing.headers['www-authenticate'], 'Bearer realm="sallyport"')
})

test('a token ends with its time, its user and its epoch', async (t) => {
  const issuer = await buildIssuer(t)
  const me = async (token: string) => (await issuer.call('GET', '/users/me', { token })).status
  const user = await issuer.register()
  const { access_token } = await issuer.login(user)
  issuer.clock.advance(ACCESS_TTL_MS)
  t.equal(await me(access_token), 200, 'within the leeway')
  issuer.clock.advance(5000)
  t.equal(await me(access_token), 401)

  const second = (await issuer.login(user)).access_token
  await issuer.parts.users.raiseEpoch(user.id)
  t.equal(await me(second), 401, 'an epoch that has passed')
  const third = (await issuer.login(user)).access_token
  await issuer.parts.users.update(user.id, { isActive: false })
  t.equal(await me(third), 401, 'a user who is disabled')
})

/** A user with these roles beside the one that everybody has, logged in. */
async function loggedIn(issuer: BuiltIssuer, ...roles: string[]) {
  const user = await issuer.register()
  if (roles.length > 0) await issuer.parts.users.update(user.id, { roles: ['subscriber', ...roles] })
  const { access_token: token, refresh_token } = await issuer.login(user)
  return { ...user, token, refresh_token }
}

test('the own profile says what the roles permit', async (t) => {
  const issuer = await buildIssuer(t)
  const viewer = await loggedIn(issuer, 'viewer')
  const { body } = await issuer.call('GET', '/users/me', { token: viewer.token })
  t.match(body, { roles: ['subscriber', 'viewer'], permissions: ['roles:read', 'users:read'] })
  t.same(claimsOf(viewer.token).scope, 'roles:read users:read')
  const plain = await loggedIn(issuer)
  t.same((await issuer.call('GET', '/users/me', { token: plain.token })).body.permissions, [])
  t.notOk('scope' in claimsOf(plain.token), 'left out when empty')
})

test('the own address and name can be changed; a changed address is not verified', async (t) => {
  const issuer = await buildIssuer(t)
  const { id, email, password, token } = await loggedIn(issuer)
  const put = (json: { email?: string; username?: string | null }) =>
    issuer.call('PUT', '/users/me', { token, json: { ...json, ...(json.email && { current_password: PASSWORD }) } })
  await issuer.parts.users.update(id, { isVerified: true })

  issuer.clock.advance(1000)
  t.match(await put({ username: 'Ada' }), { status: 200, body: { email, username: 'Ada', is_verified: true } })
  t.match(await put({ email }), { status: 200, body: { is_verified: true } }, 'the same address')
  const other = email.toUpperCase()
  t.match(await put({ email: other }), { status: 200, body: { email: other, is_verified: false } }, 'another spelling')
  const moved = await put({ email: 'Ada@New.example' })
  t.match(moved, { status: 200, body: { email: 'Ada@New.example', is_verified: false, username: 'Ada' } })
  t.equal(moved.body.updated_at, new Date(issuer.clock.now()).toISOString())
  await issuer.login({ email: 'ada@new.example', password })
  t.equal((await issuer.call('POST', '/auth/login', { json: { email, password } })).status, 401, 'not by the old one')
  t.match(await put({ username: null }), { status: 200, body: { username: null } })
  t.match(issuer.audit.at(-1), { event: 'profile_changed', facts: { sub: id, by: id } })
  t.notMatch(JSON.stringify(issuer.audit), /new\.example/i, 'no address in the audit log')
})

test('an address or a name that is taken, or is none, is refused', async (t) => {
  const issuer = await buildIssuer(t)
  const { email } = await issuer.register({ username: 'Taken' })
  const { token, ...me } = await loggedIn(issuer)
  const rows: [body: object, status: number, code: string][] = [
    [{ email, current_password: PASSWORD }, 409, 'email_taken'],
    [{ email: email.toUpperCase(), current_password: PASSWORD }, 409, 'email_taken'],
    [{ username: 'tAKEN' }, 409, 'username_taken'],
    [{ email: 'no address' }, 400, 'invalid_request'],
    [{ username: 'a@b' }, 400, 'invalid_request'],
    [{ username: '' }, 400, 'invalid_request'],
    [{ email: null }, 400, 'invalid_request'],
    [{}, 400, 'invalid_request'],
    [[], 400, 'invalid_request'],
  ]
  for (const [json, status, code] of rows) {
    const answer = await issuer.call('PUT', '/users/me', { token, json })
    t.match({ status: answer.status, code: answer.body.code }, { status, code }, JSON.stringify(json))
  }
  t.match(await issuer.parts.users.byId(me.id), { email: me.email, username: null })
})

test('no route lets a client choose what is not theirs to choose', async (t) => {
  const issuer = await buildIssuer(t)
  const user = await loggedIn(issuer)
  const admin = await loggedIn(issuer, 'superuser')
  const before = await issuer.parts.users.byId(user.id)
  const forbidden = {
    id: crypto.randomUUID(),
    role: 'superuser',
    roles: ['superuser'],
    tier: 'pro',
    is_verified: true,
    isVerified: true,
    verified: true,
    is_active: true,
    is_admin: true,
    epoch: 9,
    passwordHash: 'x',
    password: 'x',
    permissions: ['users:write'],
    created_at: '2000-01-01T00:00:00Z',
    $set: { roles: ['superuser'] },
    'roles.0': 'superuser',
    __proto__x: {},
  }
  const bodies: [method: string, path: string, body: object, except: string[]][] = [
    ['PUT', '/users/me', { username: 'x' }, []],
    ['PUT', `/users/${user.id}`, { username: 'x' }, []],
    ['PUT', `/users/${user.id}/verify`, {}, []],
    ['POST', '/users/me/password', { current_password: PASSWORD, new_password: 'another long pass phrase' }, []],
    ['PUT', `/admin/users/${user.id}`, { tier: 'pro' }, ['roles', 'tier', 'is_verified', 'is_active']],
    ['POST', '/admin/roles', { name: 'x' }, ['permissions']],
    ['PUT', '/admin/roles/viewer', { description: 'x' }, ['permissions']],
    ['POST', '/auth/register', { email: 'new@example.com', password: PASSWORD }, ['password']],
  ]
  for (const [method, path, body, except] of bodies) {
    for (const [field, value] of Object.entries(forbidden)) {
      if (except.includes(field)) continue
      for (const { token } of [user, admin]) {
        const answer = await issuer.call(method, path, { token, json: { ...body, [field]: value } })
        t.match(
          { status: answer.status, code: answer.body.code },
          { status: 400, code: 'invalid_request' },
          `${method} ${path} ${field}`,
        )
      }
    }
  }
  t.same(await issuer.parts.users.byId(user.id), before)
  t.equal(await issuer.parts.users.byEmailKey('new@example.com'), undefined)
})

test('who deletes the own account is logged out everywhere and cannot log in again', async (t) => {
  const issuer = await buildIssuer(t)
  const user = await loggedIn(issuer)
  const other = await issuer.login(user)
  const answer = await issuer.call('DELETE', '/users/me', { token: user.token })
  t.match(answer, { status: 200, body: { invalidated_tokens: 2, propagated: true } })
  t.equal(cookieOf(answer), '')
  t.match(issuer.events, [{ revocation: { kind: 'user', sub: user.id, epoch: 1 } }])
  t.match(await issuer.parts.users.byId(user.id), { isActive: false, email: user.email })
  for (const token of [user.token, other.access_token]) {
    t.equal((await issuer.call('GET', '/users/me', { token })).status, 401)
  }
  for (const { refresh_token } of [user, other]) {
    t.equal((await issuer.call('POST', '/auth/refresh', { json: { refresh_token } })).status, 401)
  }
  const { email, password } = user
  t.match(await issuer.call('POST', '/auth/login', { json: { email, password } }), {
    status: 401,
    body: { code: 'credentials_invalid' },
  })
  t.equal((await issuer.call('POST', '/auth/register', { json: { email, password } })).status, 409, 'the name stays')
})

test('when the feed cannot be reached, the end of an account says so', async (t) => {
  const issuer = await buildIssuer(t, {
    publisher: {
      publish: async () => {
        throw new Error('no broker')
      },
    },
  })
  const { token } = await loggedIn(issuer)
  t.match(await issuer.call('DELETE', '/users/me', { token }), { status: 202, body: { propagated: false } })
  t.equal((await issuer.parts.ledger.unpublished('test', 10)).length, 1, 'it waits in the ledger')
})

test('users by id: oneself, or with the permission', async (t) => {
  const issuer = await buildIssuer(t)
  const [user, other] = [await loggedIn(issuer), await loggedIn(issuer)]
  const [viewer, admin] = [await loggedIn(issuer, 'viewer'), await loggedIn(issuer, 'admin')]
  const nobody = crypto.randomUUID()
  const username = 'Renamed'
  const rows: [who: { token: string }, method: string, path: string, json: object | undefined, status: number][] = [
    [user, 'GET', user.id, undefined, 200],
    [user, 'GET', other.id, undefined, 403],
    [user, 'GET', nobody, undefined, 403],
    [viewer, 'GET', user.id, undefined, 200],
    [viewer, 'GET', nobody, undefined, 404],
    [user, 'PUT', user.id, { username }, 200],
    [user, 'PUT', other.id, { username: 'x' }, 403],
    [viewer, 'PUT', user.id, { username: 'x' }, 403],
    [admin, 'PUT', user.id, { username: 'Renamed.again' }, 200],
    [admin, 'PUT', nobody, { username: 'x' }, 404],
    [user, 'PUT', `${user.id}/verify`, undefined, 403],
    [viewer, 'PUT', `${user.id}/verify`, undefined, 403],
    [admin, 'PUT', `${user.id}/verify`, undefined, 200],
    [admin, 'PUT', `${nobody}/verify`, {}, 404],
    [user, 'DELETE', other.id, undefined, 403],
    [viewer, 'DELETE', other.id, undefined, 403],
    [admin, 'DELETE', nobody, undefined, 404],
    [admin, 'DELETE', other.id, undefined, 200],
    [user, 'DELETE', user.id, undefined, 200],
  ]
  for (const [{ token }, method, path, json, status] of rows) {
    const answer = await issuer.call(method, `/users/${path}`, { token, json })
    t.equal(answer.status, status, `${method} ${path}: ${JSON.stringify(answer.body)}`)
  }
  t.match(
    await issuer.parts.users.byId(user.id),
    { username: 'Renamed.again', isVerified: true, isActive: false },
    'oneself: deactivated',
  )
  t.equal(await issuer.parts.users.byId(other.id), undefined, 'by an administrator: gone')
  for (const method of ['GET', 'PUT', 'DELETE']) {
    const json = method === 'PUT' ? { username: 'x' } : undefined
    t.equal((await issuer.call(method, `/users/${viewer.id}`, { json })).status, 401, `${method} without a token`)
  }
})
