import swagger from '@fastify/swagger'
import swaggerUi from '@fastify/swagger-ui'
import type { FastifyInstance } from 'fastify'
import { PROBLEMS, type ProblemCode } from '../../shared/problem.ts'
import { FIRST_PARTY_CLIENT_ID } from '../domain/issue-tokens.ts'

// Swagger UI sets styles of its own; scripts come from here alone, and it talks to no one else.
const DOCS_POLICY =
  "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; img-src 'self' data:; object-src 'none'; style-src 'self' 'unsafe-inline'"

/** Codes that only a sidecar answers with. */
const OF_SIDECARS: readonly ProblemCode[] = [
  ...(['upstream_unreachable', 'upstream_failed', 'upstream_timeout'] as const),
  ...(['revocations_stale', 'keys_unavailable', 'draining'] as const),
]

const DESCRIPTION = [
  'Users, sessions, tokens and their revocation.',
  'Errors are problem documents (RFC 9457), those of the `oauth` routes as RFC 6749 writes them. A problem says what it',
  'is by its `code`, which stays:',
  '',
  ...(Object.entries(PROBLEMS) as [ProblemCode, readonly [number, string]][])
    .filter(([code]) => !OF_SIDECARS.includes(code))
    .map(([code, [status, title]]) => `- \`${code}\` (${status}): ${title}`),
].join('\n')

/**
 * The OpenAPI document at `/openapi.json` and its browser at `/docs`. To be called before the routes are added.
 * @param serverUrl the public address
 * @param version of this software
 * @param passwordGrant whether that grant is on, with which the page logs in
 */
export async function addOpenApi(
  app: FastifyInstance,
  serverUrl: string,
  version: string,
  passwordGrant: boolean,
): Promise<void> {
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: { title: 'Sallyport issuer', version, description: DESCRIPTION },
      servers: [{ url: serverUrl }],
      components: {
        securitySchemes: securitySchemes(serverUrl, passwordGrant),
      },
    },
  })
  await app.register(swaggerUi, {
    routePrefix: '/docs',
    staticCSP: DOCS_POLICY,
    uiConfig: { validatorUrl: null },
    // So that the log-in form works as it comes up: who uses this page is a first-party client.
    initOAuth: { clientId: FIRST_PARTY_CLIENT_ID },
  })
  app.get('/openapi.json', { schema: { hide: true } }, async () => app.swagger())
}

/** The ways to an access token; `oauth2` is the one by which a tool gets it by itself. */
function securitySchemes(serverUrl: string, passwordGrant: boolean) {
  const tokenUrl = `${serverUrl}/auth/token`
  const flow = { tokenUrl, refreshUrl: tokenUrl, scopes: {} }
  return {
    bearer: { type: 'http', scheme: 'bearer', bearerFormat: 'JWT' },
    basic: { type: 'http', scheme: 'basic', description: 'The id and the secret of a service client' },
    oauth2: { type: 'oauth2', flows: { ...(passwordGrant && { password: flow }), clientCredentials: flow } },
  } as const
}
