import type { Test } from 'tap'
import { PERMISSIONS } from '../../issuer/domain/permissions.ts'
import { DEFAULT_RATE_LIMITS, type LimitName } from '../../issuer/domain/rate-limits.ts'
import type { Draft } from './bad-requests.ts'
import { type BuiltIssuer, buildIssuer, claimsOf, PASSWORD, type Tokens } from './build.ts'
import { type RecordedRoute, recordRoutes } from './recorded-routes.ts'
import { clientToken, createClient, superuserToken } from './service-client.ts'
import { type StoredContents, sqliteContents } from './stored-contents.ts'

export interface Actor {
  name: 'nobody' | 'a user' | 'a superuser' | 'a service' | 'a sidecar'
  authorization?: string
  /** The session of its own that it would end. */
  sid?: string
}

export interface World {
  issuer: BuiltIssuer
  routes: RecordedRoute[]
  stored: StoredContents
  actors: Actor[]
  /** What no answer and no log line may show. */
  secrets: string[]
  /** Values with which a request succeeds. */
  params: Record<string, string>
  bodies: Record<string, object>
}

/** An issuer with somebody of each kind in it, and what a good request to each of its routes has. */
export async function createWorld(t: Test): Promise<World> {
  const high = Object.keys(DEFAULT_RATE_LIMITS).map((name) => [name, { requests: 1e9, windowMs: 60_000 }])
  const { built: issuer, routes } = await recordRoutes(() =>
    buildIssuer(t, {
      rules: {
        // So that what decides on them is run, and with whatever address somebody claims to have.
        rateLimits: Object.fromEntries(high) as Record<LimitName, { requests: number; windowMs: number }>,
        trustedProxies: ['127.0.0.1'],
      },
      wrap: ({ feed }) => ({ feed: { ...feed, digest: () => DIGEST, feedTokens: [FEED_TOKEN] } }),
    }),
  )
  const user = await issuer.register({ username: 'plain' })
  const victim = await issuer.register({ username: 'victim' })
  const tokens = await issuer.login(user)
  const victims = await issuer.login(victim)
  const admin = await superuserToken(issuer)
  const client = await createClient(issuer, Object.keys(PERMISSIONS))
  const service = await clientToken(issuer, client)
  const role = { name: 'editor', permissions: ['orders:read'] }
  await issuer.call('POST', '/admin/roles', { token: admin, json: role })
  await issuer.call('POST', '/auth/resend-verification', { json: { email: user.email } })
  await issuer.call('POST', '/auth/forgot-password', { json: { email: user.email } })
  const [verify, reset] = issuer.mails.splice(0).map((mail) => mail.token!)
  const values = {
    user,
    victim,
    tokens,
    victims,
    client,
    verify: verify!,
    reset: reset!,
    kid: issuer.keySet.current()!.kid,
  }
  const likely = likelyValues(values)
  return {
    issuer,
    routes,
    stored: sqliteContents(t, issuer.dataDir),
    actors: [
      { name: 'nobody' },
      { name: 'a user', authorization: `Bearer ${tokens.access_token}`, sid: claimsOf(tokens.access_token).sid },
      { name: 'a superuser', authorization: `Bearer ${admin}`, sid: claimsOf(admin).sid },
      { name: 'a service', authorization: `Bearer ${service}` },
      { name: 'a sidecar', authorization: `Bearer ${FEED_TOKEN}` },
    ],
    secrets: [
      ...[PASSWORD, tokens.access_token, tokens.refresh_token, admin, service, client.client_secret, FEED_TOKEN],
      ...[verify!, reset!],
    ],
    ...likely,
  }
}

const WINDOW = { after: 0, until: { session: 1, user: 1, key: 1 } }
const DIGEST = { ok: true, digest: Promise.resolve({ count: 0, digest: '', window: WINDOW }) } as const
const FEED_TOKEN = 'the feed token of the tests'

interface Values {
  user: { email: string }
  victim: { id: string }
  tokens: Tokens
  victims: Tokens
  client: { client_id: string }
  verify: string
  reset: string
  kid: string
}

function likelyValues({ user, victim, tokens, victims, client, verify, reset, kid }: Values) {
  const register = {
    email: 'new@example.com',
    username: 'newcomer',
    password: PASSWORD,
    login: true,
    transport: 'body',
  }
  const login = { email: user.email, password: PASSWORD, transport: 'body' }
  const refresh = { refresh_token: tokens.refresh_token, transport: 'body', grant_type: 'refresh_token' }
  const logout = { refresh_token: tokens.refresh_token, all: true }
  const profile = { email: 'changed@example.com', username: 'changed' }
  const grant = { grant_type: 'password', username: user.email, password: PASSWORD }
  const token = { token: tokens.access_token, token_type_hint: 'access_token' }
  const bodies: Record<string, object> = {
    ...Object.fromEntries(['/auth/register', '/register', '/users', '/users/'].map((url) => [`POST ${url}`, register])),
    ...Object.fromEntries(['/auth/login', '/login'].map((url) => [`POST ${url}`, login])),
    ...Object.fromEntries(['/auth/refresh', '/access_token'].map((url) => [`POST ${url}`, refresh])),
    ...Object.fromEntries(['/auth/token', '/auth/access-token'].map((url) => [`POST ${url}`, grant])),
    'POST /auth/logout': logout,
    'DELETE /logout': logout,
    'POST /auth/forgot-password': { email: user.email },
    'POST /auth/resend-verification': { email: user.email },
    'POST /auth/verify-email': { token: verify },
    'POST /auth/reset-password': { token: reset, password: `${PASSWORD} 2` },
    'PUT /users/me': { ...profile, current_password: PASSWORD },
    'POST /users/me/password': { current_password: PASSWORD, new_password: `${PASSWORD} 2` },
    'PUT /users/:id': profile,
    'PUT /users/:id/verify': {},
    'PUT /admin/users/:id': { roles: ['editor'], tier: 'pro', is_active: true, is_verified: true },
    'POST /admin/roles': { name: 'author', description: 'writes', permissions: ['orders:write'] },
    'PUT /admin/roles/:name': { description: 'edits', permissions: ['orders:write'] },
    'POST /admin/clients': { name: 'reports', permissions: ['orders:read'] },
    'PUT /admin/clients/:clientId': { name: 'other', permissions: ['orders:read'], is_active: false },
    'POST /admin/clients/:clientId/secret': { overlap: 0 },
    'POST /admin/keys/rotate': { now: true },
    'POST /oauth/introspect': token,
    'POST /oauth/revoke': token,
  }
  const params = {
    id: victim.id,
    sid: claimsOf(victims.access_token).sid,
    name: 'editor',
    clientId: client.client_id,
    kid,
  }
  return { bodies, params: { ...params, '*': 'swagger-ui.css' } }
}

/** What a good request to this route by somebody is. */
export function draftOf({ params, bodies }: World, { method, url, schema }: RecordedRoute, actor: Actor): Draft {
  const { authorization, sid = params.sid! } = actor
  const body = bodies[`${method} ${url}`]
  const isLogout = /\/logout$/.test(url) && schema.body !== undefined
  return {
    method,
    url: url === '*' ? '/*' : url,
    params: url === '/auth/sessions/:sid' ? { sid } : params,
    query: url === '/revocations/digest' ? 'cut=1' : '',
    headers: { ...(!NO_BEARER.includes(url) && authorization !== undefined && { authorization }) },
    // Of two credentials that differ neither counts.
    body: isLogout && authorization !== undefined ? { all: true } : body,
    encode: (json) => json,
  }
}

/** Where an access token is no credential. */
export const NO_BEARER = ['/auth/token', '/auth/access-token', '/oauth/revoke']
