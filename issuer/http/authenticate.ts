import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Authenticate, Caller } from '../domain/authenticate.ts'
import { sendProblem } from './problems.ts'

export type Bearer = { ok: true; token: string | undefined } | { ok: false }

// RFC 6750 section 2.1.
const BEARER = /^Bearer +([A-Za-z0-9._~+/-]+=*)$/i
const MAX_CREDENTIAL_CHARACTERS = 8192

/** Reads the access token; not ok when there are several `Authorization` fields or it is no bearer token. */
export function readBearer(request: FastifyRequest): Bearer {
  const fields = request.raw.rawHeaders.filter(
    (name, index) => index % 2 === 0 && name.toLowerCase() === 'authorization',
  )
  const value = request.headers.authorization
  if (fields.length > 1) return { ok: false }
  if (value === undefined) return { ok: true, token: undefined }
  const token = value.length <= MAX_CREDENTIAL_CHARACTERS ? BEARER.exec(value)?.[1] : undefined
  return token === undefined ? { ok: false } : { ok: true, token }
}

/** Runs a handler for callers with a valid access token; everyone else gets 401. */
export function asCaller<Request extends FastifyRequest>(
  authenticate: Authenticate,
  handler: (caller: Caller, request: Request, reply: FastifyReply) => unknown,
): (request: Request, reply: FastifyReply) => Promise<unknown> {
  return async (request, reply) => {
    const bearer = readBearer(request)
    if (bearer.ok && bearer.token === undefined) return sendProblem(reply, 'token_missing')
    const result = bearer.ok ? await authenticate.caller(bearer.token!) : { ok: false as const, reason: 'not_bearer' }
    if (!result.ok) {
      request.log.info({ reason: result.reason }, 'an access token was refused')
      return sendProblem(reply, 'token_invalid')
    }
    return handler(result.caller, request, reply)
  }
}
