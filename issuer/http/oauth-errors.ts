import type { FastifyReply } from 'fastify'
import type { ProblemDocument } from '../../shared/problem.ts'

/**
 * The errors of the OAuth routes (RFC 6749 section 5.2, RFC 6750 section 3.1) with status and default description.
 * `temporarily_unavailable` is that of section 4.1.2.1: the token endpoint has no word of its own for it.
 */
const OAUTH_ERRORS = {
  invalid_request: [400, 'the request is not valid'],
  invalid_grant: [400, 'the credentials or the refresh token are not valid'],
  invalid_scope: [400, 'the scope is malformed or more than may be given'],
  unauthorized_client: [400, 'this client may not do this'],
  unsupported_grant_type: [400, 'this grant type is not supported'],
  invalid_client: [401, 'client authentication failed'],
  invalid_token: [401, 'the access token is not valid'],
  insufficient_scope: [403, 'the access token does not permit this'],
  temporarily_unavailable: [503, 'not available at present'],
  server_error: [500, 'something went wrong here'],
} as const satisfies Record<string, readonly [number, string]>

export type OAuthError = keyof typeof OAUTH_ERRORS

// RFC 9110 section 15.5.2 wants a challenge with every 401; RFC 6749 section 5.2 that of the scheme that was used.
const CHALLENGES: Partial<Record<OAuthError, string>> = {
  invalid_client: 'Basic realm="sallyport", charset="UTF-8"',
  invalid_token: 'Bearer realm="sallyport", error="invalid_token"',
  insufficient_scope: 'Bearer realm="sallyport", error="insufficient_scope"',
}

/** Answers with an error as RFC 6749 section 5.2 writes it. @param description ASCII, for developers */
export function sendOAuthError(reply: FastifyReply, error: OAuthError, description?: string): FastifyReply {
  const [status, standing] = OAUTH_ERRORS[error]
  return sendError(reply, status, error, description ?? standing)
}

/**
 * A problem that any route may have, as RFC 6749 section 5.2 writes errors; the status stays. Libraries look for
 * `error` in what is not OAuth's own business too: a rate limit, a store that is away.
 */
export function sendProblemAsOAuthError(reply: FastifyReply, { status, title, errors }: ProblemDocument): FastifyReply {
  const description = (errors?.[0] ?? title).replace(NOT_DESCRIBABLE, '').slice(0, MAX_DESCRIPTION)
  return sendError(reply, status, errorOf(status), description)
}

function errorOf(status: number): OAuthError {
  if (status === 429 || status === 503) return 'temporarily_unavailable'
  return status < 500 ? 'invalid_request' : 'server_error'
}

const MAX_DESCRIPTION = 200
// RFC 6749 section 5.2.
const NOT_DESCRIBABLE = /[^\x20\x21\x23-\x5b\x5d-\x7e]/g

function sendError(reply: FastifyReply, status: number, error: OAuthError, description: string): FastifyReply {
  const challenge = CHALLENGES[error]
  if (challenge) reply.header('www-authenticate', challenge)
  return reply
    .code(status)
    .headers({ 'cache-control': 'no-store', pragma: 'no-cache' })
    .type('application/json')
    .send(`${JSON.stringify({ error, error_description: description })}\n`)
}
