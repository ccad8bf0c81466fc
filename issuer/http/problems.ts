import { STATUS_CODES } from 'node:http'
import type { Socket } from 'node:net'
import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { expected } from '../../shared/log.ts'
import { PROBLEM_TYPE, type ProblemCode, problemDocument, problemText } from '../../shared/problem.ts'
import { HashingOverloaded, StoreUnavailable } from '../domain/ports.ts'
import { sendProblemAsOAuthError } from './oauth-errors.ts'
import { validationErrors } from './validation-errors.ts'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** How errors are written on this route: as RFC 6749 does, or by default as RFC 9457 does. */
    errors?: 'oauth'
  }
}

/** When to come again after a store was away: seconds. Fail-overs take longer, but a blip does not. */
const STORE_RETRY_AFTER_S = 1

// RFC 6750 section 3. Only a token that was shown gets an error code.
const CHALLENGES: Partial<Record<ProblemCode, string>> = {
  token_invalid: 'Bearer realm="sallyport", error="invalid_token"',
}
const CHALLENGE = 'Bearer realm="sallyport"'

/** What a part of a route's path names: an address that has one is right, and what is missing is that which it names. */
const NAMED: Record<string, string> = { id: 'user', sid: 'session', clientId: 'client', name: 'role', kid: 'key' }

function missingAt({ routeOptions: { url = '' } }: FastifyReply): { detail: string } | undefined {
  const named = [...url.matchAll(/:(\w+)/g)].flatMap(([, name]) => NAMED[name!] ?? [])
  return named.length > 0 ? { detail: `There is no such ${named.join(' or ')}` } : undefined
}

/** Answers with a problem document (RFC 9457), or on the routes of OAuth with its kind of error. */
export function sendProblem(
  reply: FastifyReply,
  code: ProblemCode,
  more: { detail?: string; errors?: string[] } = {},
): FastifyReply {
  const problem = problemDocument(code, { ...(code === 'not_found' && missingAt(reply)), ...more })
  if (reply.routeOptions.config.errors === 'oauth') return sendProblemAsOAuthError(reply, problem)
  if (problem.status === 401) reply.header('www-authenticate', CHALLENGES[code] ?? CHALLENGE)
  return reply.code(problem.status).header('cache-control', 'no-store').type(PROBLEM_TYPE).send(problemText(problem))
}

/** A body that cannot be read as what it says it is; the message tells the client why. */
export class UnreadableBody extends Error {
  constructor(message: string) {
    super(message)
    this.name = 'UnreadableBody'
  }
}

const BY_FRAMEWORK_CODE: Record<string, ProblemCode> = {
  FST_ERR_CTP_BODY_TOO_LARGE: 'payload_too_large',
  FST_ERR_BAD_URL: 'invalid_target',
  FST_ERR_MAX_PARAM_LENGTH: 'not_found',
}

/** Every error that reaches the framework becomes a problem document; what is not the client's fault is logged. */
export function answerError(error: FastifyError, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  if (error.validation) {
    const errors = validationErrors(error.validation, error.validationContext ?? 'request')
    return sendProblem(reply, 'invalid_request', { errors: errors.slice(0, MAX_ERRORS) })
  }
  if (error instanceof StoreUnavailable) {
    request.log.error({ err: expected(error) }, 'a store is not available')
    return sendProblem(reply.header('retry-after', STORE_RETRY_AFTER_S), 'store_unavailable')
  }
  if (error instanceof HashingOverloaded) {
    return sendProblem(reply.header('retry-after', error.retryAfterS), 'overloaded')
  }
  if (error instanceof UnreadableBody) {
    return sendProblem(reply, 'invalid_request', { errors: [`body: ${error.message}`] })
  }
  if (error.code === 'FST_ERR_CTP_INVALID_MEDIA_TYPE') {
    const { consumes = ['application/json'] } = request.routeOptions.schema ?? {}
    return sendProblem(reply, 'unsupported_media_type', { errors: [`body: ${consumes.join(' or ')} is needed`] })
  }
  const known = BY_FRAMEWORK_CODE[error.code]
  if (known) return sendProblem(reply, known)
  if (error.statusCode !== undefined && error.statusCode >= 400 && error.statusCode < 500) {
    return sendProblem(reply, 'invalid_request')
  }
  request.log.error({ err: error }, 'a request failed')
  return sendProblem(reply, 'internal_error')
}

const MAX_ERRORS = 20

/**
 * Answers what no route takes, before any body is read: 405 with `Allow` where another method would be right, else 404.
 * To be called before the routes are added.
 */
export function addNotFound(app: FastifyInstance): void {
  const known = new Map<string, Set<string>>()
  app.addHook('onRoute', ({ url, method }) => {
    const methods = known.get(url) ?? new Set()
    for (const name of [method].flat()) methods.add(name)
    known.set(url, methods)
  })
  app.addHook('onRequest', (request, reply, done) => {
    if (!request.is404) return done()
    const path = request.url.split('?', 1)[0]!
    const allowed = [...known].flatMap(([pattern, methods]) => (matches(pattern, path) ? [...methods] : []))
    if (allowed.length === 0) return void sendProblem(reply, 'not_found')
    void sendProblem(reply.header('allow', [...new Set(allowed)].join(', ')), 'method_not_allowed')
  })
  // For what a route itself does not find: a file of the documentation.
  app.setNotFoundHandler((_request, reply) => sendProblem(reply, 'not_found'))
}

function matches(pattern: string, path: string): boolean {
  if (pattern.includes('*')) return false
  const wanted = pattern.split('/')
  const given = path.split('/')
  return wanted.length === given.length && wanted.every((part, index) => part.startsWith(':') || part === given[index])
}

/** Answers what could not even be read as HTTP, on the bare socket. */
export function answerUnreadable(error: NodeJS.ErrnoException, socket: Socket): void {
  // Over a TLS connection that was never made nothing can be said: the end of it would wait for ever to be sent.
  const isMute = error.code === 'ECONNRESET' || error.code === 'ERR_TLS_HANDSHAKE_TIMEOUT' || !socket.writable
  if (isMute) return void socket.destroy()
  const code: ProblemCode =
    error.code === 'ERR_HTTP_REQUEST_TIMEOUT'
      ? 'request_timeout'
      : error.code === 'HPE_HEADER_OVERFLOW'
        ? 'header_fields_too_large'
        : 'invalid_request'
  endWithProblem(socket, code)
}

/** Answers on the bare socket, and closes it. */
export function endWithProblem(socket: Socket, code: ProblemCode): void {
  const problem = problemDocument(code)
  const body = problemText(problem)
  socket.end(
    `HTTP/1.1 ${problem.status} ${STATUS_CODES[problem.status]}\r\nContent-Type: ${PROBLEM_TYPE}\r\n` +
      `Content-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
  )
}
