import { createHash } from 'node:crypto'
import type { Static } from '@sinclair/typebox'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { withDeadline } from '../../../shared/lifecycle.ts'
import type { KeySet } from '../../domain/key-set.ts'
import { sendProblem } from '../problems.ts'
import { KeyQuery, problems } from '../schemas.ts'
import { grantTypes } from './token.ts'

export interface WellKnownRoutes {
  keySet: KeySet
  /** The `iss` claim. */
  issuer: string
  /** Whether the password grant is on. */
  passwordGrant: boolean
  /** How long anyone may cache what is here: seconds. */
  jwksMaxAgeS: number
}

/** How long a request for the keys waits for the store before it gets what is known: milliseconds. */
const READ_DEADLINE_MS = 1000

/** Among other directives too, which proxies on the way may add (RFC 9111 section 5.2). */
const NO_CACHE = /(?:^|[,\s])no-cache(?:$|[,\s])/i

const PEM_TYPE = 'application/x-pem-file'
const PEM = { [PEM_TYPE]: { schema: { type: 'string' } } }

/** Keys and metadata: what anyone may read and cache. */
export function addWellKnownRoutes(app: FastifyInstance, routes: WellKnownRoutes): void {
  const { keySet, issuer, passwordGrant, jwksMaxAgeS } = routes
  const tags = ['keys']
  const sendCached = createSendCached(jwksMaxAgeS)
  app.get('/.well-known/jwks.json', { schema: { tags, summary: 'Public keys (RFC 7517)' } }, async (request, reply) => {
    // A sidecar asks for a key it does not know: "no" has to mean that no issuer has it, not that this one is late.
    const isRead = await withDeadline(keySet.refresh(), READ_DEADLINE_MS).catch(() => false)
    // It would pass over the revocations that an absent key has signed, and believe the heartbeats after them.
    if (!isRead && NO_CACHE.test(request.headers['cache-control'] ?? '')) return sendProblem(reply, 'store_unavailable')
    return sendCached(request, reply, 'application/json', JSON.stringify(keySet.jwks()))
  })
  app.get(
    '/public_key',
    {
      schema: {
        tags,
        summary: 'The public key that signs now, or the one named, as PEM',
        querystring: KeyQuery,
        response: { 200: { description: 'PEM (RFC 7468)', content: PEM }, ...problems },
      },
    },
    async (request: FastifyRequest<{ Querystring: Static<typeof KeyQuery> }>, reply) => {
      const { kid } = request.query
      const key = kid === undefined ? keySet.current() : keySet.keyFor(kid)
      if (!key) return sendProblem(reply, 'not_found', { detail: 'There is no such key' })
      const pem = key.key.export({ format: 'pem', type: 'spki' }) as string
      return sendCached(request, reply, PEM_TYPE, pem)
    },
  )
  const documents = { 'oauth-authorization-server': oauthMetadata, 'openid-configuration': openIdMetadata }
  for (const [name, metadata] of Object.entries(documents)) {
    const schema = { tags, summary: 'Metadata (RFC 8414): what there is, and nothing that is not' }
    const body = JSON.stringify(metadata(issuer, passwordGrant))
    app.get(`/.well-known/${name}`, { schema }, async (request, reply) =>
      sendCached(request, reply, 'application/json', body),
    )
  }
}

const SECRET_METHODS = ['client_secret_basic', 'client_secret_post']

/** RFC 8414 section 2. There is no authorization endpoint: the list of response types, which it demands, is empty. */
function oauthMetadata(issuer: string, passwordGrant: boolean) {
  return {
    issuer,
    token_endpoint: `${issuer}/auth/token`,
    token_endpoint_auth_methods_supported: [...SECRET_METHODS, 'none'],
    grant_types_supported: grantTypes(passwordGrant),
    response_types_supported: [],
    introspection_endpoint: `${issuer}/oauth/introspect`,
    introspection_endpoint_auth_methods_supported: [...SECRET_METHODS, 'Bearer'],
    revocation_endpoint: `${issuer}/oauth/revoke`,
    revocation_endpoint_auth_methods_supported: [...SECRET_METHODS, 'none'],
    jwks_uri: `${issuer}/.well-known/jwks.json`,
    service_documentation: `${issuer}/docs`,
  }
}

/**
 * For the many libraries that look for keys and endpoints there alone. This is no OpenID provider: there are no ID
 * tokens, so the list of their algorithms, which OpenID Connect Discovery 1.0 section 3 demands, is empty.
 */
function openIdMetadata(issuer: string, passwordGrant: boolean) {
  return {
    ...oauthMetadata(issuer, passwordGrant),
    subject_types_supported: ['public'],
    id_token_signing_alg_values_supported: [],
  }
}

function createSendCached(maxAgeS: number) {
  return (request: FastifyRequest, reply: FastifyReply, type: string, body: string): FastifyReply => {
    const etag = `"${createHash('sha256').update(body).digest('base64url').slice(0, 22)}"`
    reply.header('cache-control', `public, max-age=${maxAgeS}`).header('etag', etag)
    const known = (request.headers['if-none-match'] ?? '').split(',').map((tag) => tag.trim().replace(/^W\//, ''))
    if (known.includes(etag) || known.includes('*')) return reply.code(304).send()
    return reply.type(type).send(body)
  }
}
