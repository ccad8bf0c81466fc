import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { readBearer } from '../../shared/bearer.ts'
import { counter, type Metrics } from '../../shared/metrics.ts'
import type { Authenticate } from '../domain/authenticate.ts'
import { networkPrefix } from '../domain/network-prefix.ts'
import type { RequestCounts } from '../domain/ports.ts'
import type { LimitName, RateLimit, RateLimits } from '../domain/rate-limits.ts'
import { type MacKey, readRefreshToken } from '../domain/refresh-token.ts'
import { clientAddress } from './client-address.ts'
import { sendProblem } from './problems.ts'
import type { RefreshCookie } from './refresh-cookie.ts'

export interface RateLimitParts {
  counts: RequestCounts
  authenticate: Authenticate
  cookie: RefreshCookie
  macKeys: readonly MacKey[]
  metrics: Metrics
}

/** The limit of each route that has one of its own. `null`: none. */
const LIMIT_OF_ROUTE: Record<string, LimitName | null> = {
  'POST /auth/login': 'login',
  'POST /login': 'login',
  'POST /auth/register': 'register',
  'POST /register': 'register',
  'POST /users': 'register',
  'POST /users/': 'register',
  'POST /auth/refresh': 'refresh',
  'POST /access_token': 'refresh',
  'POST /auth/logout': 'logout',
  'DELETE /logout': 'logout',
  'POST /users/me/password': 'password',
  'POST /auth/verify-email': 'password',
  'POST /auth/resend-verification': 'password',
  'POST /auth/forgot-password': 'password',
  'POST /auth/reset-password': 'password',
  'POST /oauth/introspect': 'client',
  'POST /oauth/revoke': 'client',
  'GET /revocations': null,
  'GET /revocations/digest': null,
  'GET /openapi.json': null,
  'GET /public_key': null,
  'GET /livez': null,
  'GET /readyz': null,
  'GET /health': null,
  'GET /metrics': null,
}

const LIMIT_OF_GRANT = new Map<unknown, LimitName>([
  ['password', 'login'],
  ['refresh_token', 'refresh'],
])

/** Which limit a request counts against. What no table names is read or changed by its user. */
function limitOf({ method, body, routeOptions: { url = '' } }: FastifyRequest): LimitName | null {
  const verb = method === 'HEAD' ? 'GET' : method
  const own = LIMIT_OF_ROUTE[`${verb} ${url}`]
  if (own !== undefined) return own
  if (url === '/auth/token' || url === '/auth/access-token') {
    return LIMIT_OF_GRANT.get((body as { grant_type?: unknown } | null)?.grant_type) ?? 'client'
  }
  if (url.startsWith('/admin/')) return 'admin'
  if (verb === 'OPTIONS' || /^\/(docs|\.well-known)(\/|$)/.test(url)) return null
  return verb === 'GET' ? 'read' : 'update'
}

const BY_SESSION: readonly LimitName[] = ['refresh', 'logout']
const BY_ADDRESS: readonly LimitName[] = ['login', 'register', 'client']

/**
 * Counts requests by route and by whoever makes them: the session that a genuine refresh token names, else the user of
 * a valid access token, else the network. So people behind one address do not use up each other's refreshes, and nobody
 * can use up those of another. Says so in the `RateLimit` fields (draft-ietf-httpapi-ratelimit-headers-10) of every
 * answer and refuses with 429.
 */
export function addRateLimits(app: FastifyInstance, parts: RateLimitParts, limits: RateLimits): void {
  const refused = counter(parts.metrics, 'rate_limited_total', 'Requests refused by a rate limit.', ['limit'])
  app.addHook('preHandler', async (request, reply) => {
    const name = limitOf(request)
    const limit = name === null ? undefined : limits[name]
    if (name === null || !limit) return
    const who = await whoAsks(parts, name, request)
    if (who === undefined) return
    const { count, endsInMs } = await parts.counts.hit(`${name}:${who}`, limit.windowMs)
    addFields(reply, name, limit, count, endsInMs)
    if (count <= limit.requests) return
    refused.inc({ limit: name })
    return sendProblem(reply.header('retry-after', inSeconds(endsInMs)), 'too_many_requests')
  })
}

/** @returns `undefined` for a request that is not worth counting */
async function whoAsks(parts: RateLimitParts, name: LimitName, request: FastifyRequest): Promise<string | undefined> {
  if (BY_SESSION.includes(name)) {
    const token = refreshTokenOf(parts, request)
    // A page asking whether anyone is logged in: many do, from one address.
    if (name === 'refresh' && token === undefined) return undefined
    const session = token && readRefreshToken(parts.macKeys, token)?.sid
    if (session) return `session:${session}`
  }
  const user = !BY_ADDRESS.includes(name) && (await userOf(parts, request))
  if (user) return `user:${user}`
  return `network:${networkPrefix(clientAddress(request), 64)}`
}

/** @returns `''` for two that differ */
function refreshTokenOf({ cookie }: RateLimitParts, request: FastifyRequest): string | undefined {
  const inBody = (request.body as { refresh_token?: unknown } | null)?.refresh_token
  const credential = cookie.read(request, typeof inBody === 'string' ? inBody : undefined)
  return credential.ok ? credential.token : ''
}

async function userOf({ authenticate }: RateLimitParts, request: FastifyRequest): Promise<string | undefined> {
  const bearer = readBearer(request.raw.rawHeaders)
  if (!bearer.ok || bearer.token === undefined) return undefined
  const verified = await authenticate.token(bearer.token)
  return verified.ok ? verified.claims.sub : undefined
}

function addFields(reply: FastifyReply, name: string, limit: RateLimit, count: number, endsInMs: number): void {
  const left = Math.max(0, limit.requests - count)
  reply
    .header('ratelimit-policy', `"${name}";q=${limit.requests};w=${limit.windowMs / 1000}`)
    .header('ratelimit', `"${name}";r=${left};t=${inSeconds(endsInMs)}`)
}

/** Rounded up: who comes back then is let in. */
function inSeconds(ms: number): number {
  return Math.max(1, Math.ceil(ms / 1000))
}
