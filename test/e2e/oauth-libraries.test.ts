import * as oauth from 'oauth4webapi'
import * as openid from 'openid-client'
import { type Test, test } from 'tap'
import { startIssuer } from '../../issuer/main.ts'
import { createLog } from '../../shared/log.ts'
import { type Credentials, call, claimsOf, login, register } from '../helpers/client.ts'
import { freePort } from '../helpers/port.ts'
import { placeOf } from '../helpers/stores.ts'
import { temporaryFolder } from '../helpers/temporary-folder.ts'

// Client libraries that nobody here wrote, against an issuer that really listens.

interface Started {
  url: string
  /** A service client that may introspect, and read orders. */
  service: { client_id: string; client_secret: string }
  user: Credentials
}

async function start(t: Test, rateLimits = 'off'): Promise<Started> {
  const folder = temporaryFolder(t)
  // The port is a part of the issuer's name, so 0 would be a port that is let go of before it is listened on.
  const ISSUER_PORT = String(await freePort())
  const hashing = { HASH_MEMORY_KIB: '7168', HASH_TIME: '5' }
  const env = { ISSUER_PORT, DATA_DIR: folder, ...hashing, RATE_LIMITS: rateLimits }
  const { url, close } = await startIssuer(env, { log: createLog('issuer', 'silent') })
  t.teardown(close)
  const admin = await register(url)
  const settings = { MONGO_URL: undefined, REDIS_URL: undefined, REDIS_PREFIX: '', DATA_DIR: folder }
  const { users, lifecycle } = await placeOf(t, settings).open()
  const { id } = (await users.byEmailKey(admin.email))!
  await users.update(id, { roles: ['superuser'] })
  await lifecycle.close()
  const { access_token: token } = await login(url, admin)
  const json = { name: 'orders', permissions: ['orders:read', 'orders:write'] }
  const { body } = await call<Started['service']>(`${url}/admin/clients`, { token, json })
  return { url, service: body, user: await register(url) }
}

/** Of the 300 s that a token lasts, those may be gone that its making took: a session is written, and seconds are cut. */
const isFresh = ({ expires_in = 0 }: openid.TokenEndpointResponse): boolean => expires_in > 290 && expires_in <= 300

const authentications: [name: string, of: (secret: string) => openid.ClientAuth][] = [
  ['HTTP Basic', openid.ClientSecretBasic],
  ['a secret in the body', openid.ClientSecretPost],
]

for (const [name, authentication] of authentications) {
  test(`openid-client with ${name}: discovery, client credentials, introspection, revocation`, async (t) => {
    const { url, service } = await start(t)
    const { client_id, client_secret } = service
    const config = await openid.discovery(new URL(url), client_id, {}, authentication(client_secret), {
      execute: [openid.allowInsecureRequests],
    })
    t.equal(config.serverMetadata().issuer, url)

    const tokens = await openid.clientCredentialsGrant(config, { scope: 'orders:read' })
    t.match(tokens, { token_type: 'bearer', scope: 'orders:read' })
    t.equal(tokens.refresh_token, undefined)
    t.ok(isFresh(tokens), `${tokens.expires_in} s`)
    t.equal(tokens.expiresIn() !== undefined && tokens.expiresIn()! > 290, true)

    const active = await openid.tokenIntrospection(config, tokens.access_token)
    t.match(active, { active: true, client_id, sub: client_id, iss: url, scope: 'orders:read' })
    await openid.tokenRevocation(config, tokens.access_token)
    t.same(await openid.tokenIntrospection(config, tokens.access_token), { active: false })
    await openid.tokenRevocation(config, 'never a token')

    const refused = await openid
      .clientCredentialsGrant(config, { scope: 'users:delete' })
      .catch((error: openid.ResponseBodyError) => error)
    t.match(refused, { error: 'invalid_scope', status: 400 })
    const stranger = await openid.discovery(new URL(url), client_id, {}, authentication('wrong'), {
      execute: [openid.allowInsecureRequests],
    })
    const failed = await openid.clientCredentialsGrant(stranger).catch((error: Error) => error)
    // A 401 with a challenge is an error of its own in this library.
    t.match(failed, { status: 401, cause: [{ scheme: 'basic', parameters: { realm: 'sallyport' } }] })
  })
}

test('openid-client as a first-party client: password, refresh, and revocation of the session', async (t) => {
  const { url, service, user } = await start(t)
  const config = await openid.discovery(new URL(url), 'sallyport', {}, openid.None(), {
    algorithm: 'oauth2',
    execute: [openid.allowInsecureRequests],
  })
  const { email: username, password } = user
  const first = await openid.genericGrantRequest(config, 'password', { username, password })
  t.match(first, { token_type: 'bearer', refresh_token: String })
  t.ok(isFresh(first), `${first.expires_in} s`)
  t.equal((await call(`${url}/users/me`, { token: first.access_token })).status, 200)
  const second = await openid.refreshTokenGrant(config, first.refresh_token!)
  t.not(second.refresh_token, first.refresh_token)
  t.equal(claimsOf(second.access_token).sid, claimsOf(first.access_token).sid)

  const asService = await openid.discovery(
    new URL(url),
    service.client_id,
    {},
    openid.ClientSecretBasic(service.client_secret),
    { execute: [openid.allowInsecureRequests] },
  )
  const active = await openid.tokenIntrospection(asService, second.refresh_token!)
  t.match(active, { active: true, client_id: 'sallyport' })
  await openid.tokenRevocation(config, second.refresh_token!, { token_type_hint: 'refresh_token' })
  t.same(await openid.tokenIntrospection(asService, second.refresh_token!), { active: false })
  t.same(await openid.tokenIntrospection(asService, second.access_token), { active: false })
  t.equal((await call(`${url}/users/me`, { token: second.access_token })).status, 401)

  const gone = await openid.refreshTokenGrant(config, second.refresh_token!).catch((error: Error) => error)
  t.match(gone, { error: 'invalid_grant', status: 400 })
  const wrong = { username, password: 'wrong' }
  t.match(await openid.genericGrantRequest(config, 'password', wrong).catch((error: Error) => error), {
    error: 'invalid_grant',
  })
})

test('oauth4webapi: RFC 8414 discovery, every grant, and a token that a resource server accepts', async (t) => {
  const { url, service, user } = await start(t)
  const insecure = { [oauth.allowInsecureRequests]: true }
  const found = await oauth.discoveryRequest(new URL(url), { algorithm: 'oauth2', ...insecure })
  const server = await oauth.processDiscoveryResponse(new URL(url), found)
  t.same(server.grant_types_supported, ['password', 'refresh_token', 'client_credentials'])

  const client: oauth.Client = { client_id: service.client_id }
  const secret = oauth.ClientSecretBasic(service.client_secret)
  const granted = await oauth.clientCredentialsGrantRequest(server, client, secret, new URLSearchParams(), insecure)
  const own = await oauth.processClientCredentialsResponse(server, client, granted)
  // RFC 9068 section 4, with the keys that discovery names.
  const request = new Request('http://service.example', { headers: { authorization: `Bearer ${own.access_token}` } })
  const claims = await oauth.validateJwtAccessToken(server, request, 'sallyport', insecure)
  t.match(claims, { sub: service.client_id, client_id: service.client_id, scope: 'orders:read orders:write' })

  const first: oauth.Client = { client_id: 'sallyport' }
  const none = oauth.None()
  const parameters = { username: user.email, password: user.password }
  const byPassword = await oauth.processGenericTokenEndpointResponse(
    server,
    first,
    await oauth.genericTokenEndpointRequest(server, first, none, 'password', parameters, insecure),
  )
  const refreshed = await oauth.processRefreshTokenResponse(
    server,
    first,
    await oauth.refreshTokenGrantRequest(server, first, none, byPassword.refresh_token!, insecure),
  )
  const asked = await oauth.introspectionRequest(server, client, secret, refreshed.access_token, insecure)
  t.match(await oauth.processIntrospectionResponse(server, client, asked), { active: true, token_type: 'Bearer' })
  const revoked = await oauth.revocationRequest(server, first, none, refreshed.access_token, insecure)
  await oauth.processRevocationResponse(revoked)
  const again = await oauth.introspectionRequest(server, client, secret, refreshed.access_token, insecure)
  t.same(await oauth.processIntrospectionResponse(server, client, again), { active: false })

  const foreign = await oauth.revocationRequest(server, first, none, own.access_token, insecure)
  const refusal = await oauth.processRevocationResponse(foreign).catch((error: Error) => error)
  t.match(refusal, { error: 'unauthorized_client', status: 400 })
})

test('openid-client understands a rate limit, and how long to wait', async (t) => {
  const { url, service } = await start(t, 'client=1/1h')
  const { client_id, client_secret } = service
  const config = await openid.discovery(new URL(url), client_id, {}, openid.ClientSecretBasic(client_secret), {
    execute: [openid.allowInsecureRequests],
  })
  await openid.clientCredentialsGrant(config)
  const attempts = [
    () => openid.clientCredentialsGrant(config),
    () => openid.tokenIntrospection(config, 'x'),
    () => openid.tokenRevocation(config, 'x'),
  ]
  for (const attempt of attempts) {
    const refused = await attempt().catch((error: openid.ResponseBodyError) => error)
    if (!(refused instanceof openid.ResponseBodyError)) throw refused
    t.match(refused, { error: 'temporarily_unavailable', error_description: 'Too many requests', status: 429 })
    t.match(Number(refused.response.headers.get('retry-after')) > 0, true)
  }
})
