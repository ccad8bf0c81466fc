import type { Static } from '@sinclair/typebox'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { counter, type Metrics } from '../../../shared/metrics.ts'
import type { AuthenticateClient, AuthenticatedClient, ClientCredentials } from '../../domain/client-credentials.ts'
import type { Tokens } from '../../domain/issue-tokens.ts'
import type { Login } from '../../domain/login.ts'
import type { Refresh } from '../../domain/refresh.ts'
import { clientAddress } from '../client-address.ts'
import { authenticateClientOf } from '../client-authentication.ts'
import { type OAuthError, sendOAuthError } from '../oauth-errors.ts'
import { sendProblem } from '../problems.ts'
import { IgnoredQuery, OAuthTokenAnswer, oauthErrors, TokenBody } from '../schemas-oauth.ts'

export interface TokenRoutes {
  login: Login
  refresh: Refresh
  authenticateClient: AuthenticateClient
  clientCredentials: ClientCredentials
  metrics: Metrics
  /** Whether the password grant is on. */
  passwordGrant: boolean
}

type TokenRequest = FastifyRequest<{ Body: Static<typeof TokenBody> }>

/** What a grant comes to; `throttled`: come again after so many seconds. */
type Granted =
  | { ok: true; accessToken: string; expiresInS: number; scope: string; refreshToken?: string }
  | { ok: false; error: OAuthError; description?: string }
  | { ok: false; error: 'throttled'; retryAfterS: number }

type Grant = (request: TokenRequest, client: AuthenticatedClient | undefined) => Granted | Promise<Granted>

/** The grant types there are, by the names of RFC 6749. */
export function grantTypes(passwordGrant: boolean): string[] {
  return [...(passwordGrant ? ['password'] : []), 'refresh_token', 'client_credentials']
}

/**
 * `POST /auth/token` (RFC 6749 section 3.2). It neither reads nor sets a cookie: tokens come and go in the body. Users
 * log in through first-party clients; services have a secret, and get tokens for themselves alone.
 */
export function addTokenRoutes(app: FastifyInstance, routes: TokenRoutes): void {
  const grants = createGrants(routes)
  const supported = grantTypes(routes.passwordGrant)
  const issued = counter(routes.metrics, 'oauth_tokens_total', 'Answers of the token endpoint.', ['grant', 'outcome'])

  const handler = async (request: TokenRequest, reply: FastifyReply) => {
    const { grant_type: type } = request.body
    if (type === undefined) return sendOAuthError(reply, 'invalid_request', 'grant_type is missing')
    const grant = supported.includes(type) ? grants[type] : undefined
    if (!grant) return sendOAuthError(reply, 'unsupported_grant_type')
    const caller = await authenticateClientOf(request, request.body, routes.authenticateClient)
    const result = caller.ok ? await grant(request, caller.client) : caller
    issued.inc({ grant: type, outcome: result.ok ? 'ok' : result.error })
    if (result.ok) return sendTokens(reply, result)
    if (result.error === 'throttled') {
      return sendProblem(reply.header('retry-after', result.retryAfterS), 'too_many_requests')
    }
    return sendOAuthError(reply, result.error, result.description)
  }

  const schema = {
    tags: ['oauth'],
    summary: 'Tokens for a password, a refresh token or a client secret (RFC 6749)',
    consumes: ['application/x-www-form-urlencoded', 'application/json'],
    querystring: IgnoredQuery,
    body: TokenBody,
    response: { 200: OAuthTokenAnswer, ...oauthErrors },
  }
  app.post('/auth/token', { schema }, handler)
  app.post('/auth/access-token', { schema: { ...schema, hide: true } }, handler)
}

function createGrants({ login, refresh, clientCredentials }: TokenRoutes): Record<string, Grant> {
  const refuse = (error: OAuthError, description?: string): Granted => ({
    ok: false,
    error,
    ...(description !== undefined && { description }),
  })
  const notForServices = () => refuse('unauthorized_client', 'service clients have the client_credentials grant alone')

  return {
    async password(request, client) {
      if (client) return notForServices()
      const { username, password, scope } = request.body
      if (username === undefined || password === undefined) {
        return refuse('invalid_request', 'username and password are needed')
      }
      const result = await login({
        // No user name has an at sign, every address has one.
        login: username.includes('@') ? { email: username } : { username },
        password,
        client: { userAgent: request.headers['user-agent'] ?? null, address: clientAddress(request) },
        ...(scope !== undefined && { scope }),
      })
      if (result.ok) return granted(result.tokens)
      if (result.code === 'too_many_requests') {
        return { ok: false, error: 'throttled', retryAfterS: result.retryAfterS }
      }
      return refuse(result.code === 'scope_invalid' ? 'invalid_scope' : 'invalid_grant')
    },

    async refresh_token(request, client) {
      if (client) return notForServices()
      const { refresh_token: token, scope } = request.body
      if (token === undefined) return refuse('invalid_request', 'refresh_token is needed')
      const result = await refresh(token, clientAddress(request), scope)
      if (result.ok) return granted(result.tokens)
      if (result.code === 'scope_invalid') return refuse('invalid_scope')
      request.log.info({ reason: result.outcome }, 'a refresh token was refused')
      return refuse('invalid_grant')
    },

    async client_credentials(request, client) {
      if (!client) return refuse('invalid_client', 'this grant needs client authentication')
      const result = await clientCredentials(client, request.body.scope, clientAddress(request))
      return result.ok ? result : refuse('invalid_scope')
    },
  }
}

function granted({ accessToken, expiresInS, refreshToken, scope }: Tokens): Granted {
  return { ok: true, accessToken, expiresInS, refreshToken, scope }
}

function sendTokens(reply: FastifyReply, result: Extract<Granted, { ok: true }>): FastifyReply {
  return reply.headers({ 'cache-control': 'no-store', pragma: 'no-cache' }).send({
    access_token: result.accessToken,
    token_type: 'Bearer',
    expires_in: result.expiresInS,
    ...(result.refreshToken !== undefined && { refresh_token: result.refreshToken }),
    ...(result.scope && { scope: result.scope }),
  })
}
