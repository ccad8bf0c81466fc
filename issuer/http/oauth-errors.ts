import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify'
import { HashingOverloaded, StoreUnavailable } from '../domain/ports.ts'

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

/** Turns every error that reaches the framework into one of RFC 6749; what is not the client's fault is logged. */
export function answerOAuthError(error: FastifyError, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  if (error.validation) {
    const [{ instancePath = '', message = '' } = {}] = error.validation
    const description = `${instancePath.slice(1)} ${message}`.trim().replace(NOT_DESCRIBABLE, '')
    return sendOAuthError(reply, 'invalid_request', description.slice(0, MAX_DESCRIPTION))
  }
  if (error instanceof StoreUnavailable) {
    request.log.error({ err: error }, 'a store is not available')
    return sendOAuthError(reply.header('retry-after', STORE_RETRY_AFTER_S), 'temporarily_unavailable')
  }
  if (error instanceof HashingOverloaded) {
    return sendOAuthError(reply.header('retry-after', error.retryAfterS), 'temporarily_unavailable')
  }
  const { statusCode = 500 } = error
  if (statusCode === 429) return sendTooMany(reply)
  // What HTTP has a status of its own for keeps it: a body too large, a content type nobody reads.
  if (statusCode >= 400 && statusCode < 500) {
    return sendError(reply, statusCode, 'invalid_request', OAUTH_ERRORS.invalid_request[1])
  }
  request.log.error({ err: error }, 'a request failed')
  return sendOAuthError(reply, 'server_error')
}

/** Too many attempts: 429 with the `Retry-After` that is already set. */
export function sendTooMany(reply: FastifyReply): FastifyReply {
  return sendError(reply, 429, 'temporarily_unavailable', 'too many attempts')
}

/** When to come again after a store was away: seconds. */
const STORE_RETRY_AFTER_S = 1
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
    .send(JSON.stringify({ error, error_description: description }))
}
