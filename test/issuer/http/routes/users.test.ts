import { test } from 'tap'
import { ACCESS_TOKEN_TYPE } from '../../../../shared/access-token.ts'
import { signJws } from '../../../../shared/jws.ts'
import { ACCESS_TTL_MS, buildIssuer, claimsOf } from '../../build.ts'

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
