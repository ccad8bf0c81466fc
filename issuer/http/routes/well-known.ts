import { createHash } from 'node:crypto'
import type { Static } from '@sinclair/typebox'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { JWKS_MAX_AGE_S, type KeySet } from '../../domain/key-set.ts'
import { sendProblem } from '../problems.ts'
import { KeyQuery, problems } from '../schemas.ts'

export interface WellKnownRoutes {
  keySet: KeySet
  /** The `iss` claim. */
  issuer: string
}

const CACHE = `public, max-age=${JWKS_MAX_AGE_S}`

/** Keys and metadata: what anyone may read and cache. */
export function addWellKnownRoutes(app: FastifyInstance, { keySet, issuer }: WellKnownRoutes): void {
  const tags = ['keys']
  app.get('/.well-known/jwks.json', { schema: { tags, summary: 'Public keys (RFC 7517)' } }, async (request, reply) =>
    sendCached(request, reply, 'application/json', JSON.stringify(keySet.jwks())),
  )
  app.get(
    '/public_key',
    {
      schema: {
        tags,
        summary: 'The public key that signs now, or the one named, as PEM',
        querystring: KeyQuery,
        response: problems,
      },
    },
    async (request: FastifyRequest<{ Querystring: Static<typeof KeyQuery> }>, reply) => {
      const { kid } = request.query
      const key = kid === undefined ? keySet.current() : keySet.keyFor(kid)
      if (!key) return sendProblem(reply, 'not_found')
      const pem = key.key.export({ format: 'pem', type: 'spki' }) as string
      return sendCached(request, reply, 'application/x-pem-file', pem)
    },
  )
  for (const name of ['oauth-authorization-server', 'openid-configuration']) {
    const schema = { tags, summary: 'Metadata (RFC 8414): what there is, and nothing that is not' }
    app.get(`/.well-known/${name}`, { schema }, async (request, reply) =>
      sendCached(request, reply, 'application/json', JSON.stringify(metadata(issuer, keySet))),
    )
  }
}

/** No OAuth grant and no authorization endpoint exists here yet; the lists that RFC 8414 demands say so. */
function metadata(issuer: string, keySet: KeySet) {
  const algorithms = [...new Set(keySet.jwks().keys.map(({ alg }) => alg))]
  return {
    issuer,
    jwks_uri: `${issuer}/.well-known/jwks.json`,
    service_documentation: `${issuer}/docs`,
    response_types_supported: [],
    grant_types_supported: [],
    subject_types_supported: ['public'],
    id_token_signing_alg_values_supported: algorithms,
  }
}

function sendCached(request: FastifyRequest, reply: FastifyReply, type: string, body: string): FastifyReply {
  const etag = `"${createHash('sha256').update(body).digest('base64url').slice(0, 22)}"`
  reply.header('cache-control', CACHE).header('etag', etag)
  const known = (request.headers['if-none-match'] ?? '').split(',').map((tag) => tag.trim().replace(/^W\//, ''))
  if (known.includes(etag) || known.includes('*')) return reply.code(304).send()
  return reply.type(type).send(body)
}
