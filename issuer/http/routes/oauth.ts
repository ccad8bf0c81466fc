import type { Static } from '@sinclair/typebox'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { readBearer } from '../../../shared/bearer.ts'
import type { Authenticate } from '../../domain/authenticate.ts'
import type { EffectiveGrants } from '../../domain/effective-grants.ts'
import type { Introspect } from '../../domain/introspect.ts'
import type { Permission } from '../../domain/permissions.ts'
import type { RevokeToken } from '../../domain/revoke-token.ts'
import { clientAddress } from '../client-address.ts'
import { authenticateClientOf } from '../client-authentication.ts'
import { addFormParser } from '../form-body.ts'
import { type OAuthError, sendOAuthError } from '../oauth-errors.ts'
import { IgnoredQuery, IntrospectionAnswer, oauthErrors, TokenParameterBody } from '../schemas-oauth.ts'
import { addTokenRoutes, type TokenRoutes } from './token.ts'

export interface OAuthRoutes extends TokenRoutes {
  introspect: Introspect
  revokeToken: RevokeToken
  authenticate: Authenticate
  effectiveGrants: EffectiveGrants
}

type TokenParameterRequest = FastifyRequest<{ Body: Static<typeof TokenParameterBody> }>

/** The routes of OAuth 2, in a context of their own: here forms are read beside JSON, and errors are RFC 6749's. */
export function addOAuthRoutes(app: FastifyInstance, routes: OAuthRoutes): void {
  app.register(async (oauth) => {
    addFormParser(oauth)
    oauth.addHook('onRoute', (route) => {
      route.config = { ...route.config, errors: 'oauth' }
    })
    oauth.addHook('preValidation', async (request) => void readParameters(request))
    addTokenRoutes(oauth, routes)
    addIntrospection(oauth, routes)
    addRevocation(oauth, routes)
  })
}

const consumes = ['application/x-www-form-urlencoded', 'application/json']

function addIntrospection(app: FastifyInstance, routes: OAuthRoutes): void {
  const handler = async (request: TokenParameterRequest, reply: FastifyReply) => {
    const refusal = await refuseIntrospection(request, routes)
    if (refusal) return sendOAuthError(reply, refusal.error, refusal.description)
    const { token } = request.body
    if (token === undefined) return sendOAuthError(reply, 'invalid_request', 'token is missing')
    return reply.header('pragma', 'no-cache').send(await routes.introspect(token))
  }
  const schema = {
    tags: ['oauth'],
    summary: 'Whether a token is valid now (RFC 7662); for services and for the permission tokens:introspect',
    security: [{ bearer: [] }, { basic: [] }] as Record<string, string[]>[],
    consumes,
    querystring: IgnoredQuery,
    body: TokenParameterBody,
    response: { 200: IntrospectionAnswer, ...oauthErrors },
  }
  app.post('/oauth/introspect', { schema }, handler)
}

const INTROSPECT: Permission = 'tokens:introspect'

/** RFC 7662 section 2.1: whoever could ask without proving who they are could try tokens out. */
async function refuseIntrospection(
  request: TokenParameterRequest,
  { authenticate, effectiveGrants, authenticateClient }: OAuthRoutes,
): Promise<{ error: OAuthError; description?: string } | undefined> {
  if (/^bearer /i.test(request.headers.authorization ?? '')) {
    const bearer = readBearer(request.raw.rawHeaders)
    const result = bearer.ok && bearer.token !== undefined ? await authenticate.principal(bearer.token) : undefined
    if (!result?.ok) return { error: 'invalid_token' }
    const { permissions } = await effectiveGrants(result.principal)
    return permissions.includes(INTROSPECT) ? undefined : { error: 'insufficient_scope' }
  }
  const caller = await authenticateClientOf(request, request.body, authenticateClient)
  if (!caller.ok) return caller
  return caller.client ? undefined : { error: 'invalid_client', description: 'client authentication is needed' }
}

function addRevocation(app: FastifyInstance, { authenticateClient, revokeToken }: OAuthRoutes): void {
  const handler = async (request: TokenParameterRequest, reply: FastifyReply) => {
    const caller = await authenticateClientOf(request, request.body, authenticateClient)
    if (!caller.ok) return sendOAuthError(reply, caller.error, caller.description)
    const { token } = request.body
    if (token === undefined) return sendOAuthError(reply, 'invalid_request', 'token is missing')
    const result = await revokeToken(token, caller.client?.client, clientAddress(request))
    if (!result.ok) return sendOAuthError(reply, 'unauthorized_client', 'the token was issued to another client')
    return reply.send()
  }
  const schema = {
    tags: ['oauth'],
    summary: 'End the session of a token, or the token of a service (RFC 7009); repeating it is harmless',
    consumes,
    querystring: IgnoredQuery,
    body: TokenParameterBody,
    response: { 200: { type: 'null', description: 'It is not valid any more' }, ...oauthErrors },
  }
  app.post('/oauth/revoke', { schema }, handler)
}

/**
 * A parameter without a value counts as omitted, and an unknown one of a form is ignored (RFC 6749 section 3.2). JSON is
 * this issuer's own, so there the schema refuses what it does not know, as everywhere.
 */
function readParameters(request: FastifyRequest): void {
  const { body, routeOptions } = request
  if (typeof body !== 'object' || body === null || Array.isArray(body)) {
    // Without a body nothing was said: what is missing is told as always.
    if (body === undefined || body === null) request.body = {}
    return
  }
  const isForm = /^application\/x-www-form-urlencoded/i.test(request.headers['content-type'] ?? '')
  const { properties } = routeOptions.schema!.body as { properties: object }
  const given = Object.entries(body).filter(([name, value]) =>
    Object.hasOwn(properties, name) ? value !== '' : !isForm,
  )
  request.body = Object.fromEntries(given)
}
