import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { readBearer } from '../../shared/bearer.ts'
import type { Authenticate, Caller, Principal } from '../domain/authenticate.ts'
import type { EffectiveGrants } from '../domain/effective-grants.ts'
import type { Grants } from '../domain/grants.ts'
import type { Permission } from '../domain/permissions.ts'
import { sendProblem } from './problems.ts'

/** Runs a handler for users with a valid access token; services get 403, everyone else 401. */
export function asCaller<Request extends FastifyRequest>(
  authenticate: Authenticate,
  handler: (caller: Caller, request: Request, reply: FastifyReply) => unknown,
): (request: Request, reply: FastifyReply) => Promise<unknown> {
  return async (request, reply) => {
    const bearer = readBearer(request.raw.rawHeaders)
    if (bearer.ok && bearer.token === undefined) return sendProblem(reply, 'token_missing')
    const result = bearer.ok ? await authenticate.caller(bearer.token!) : bearer
    if (!result.ok) {
      request.log.info({ reason: result.reason }, 'an access token was refused')
      return sendProblem(reply, result.reason === 'not_a_user' ? 'forbidden' : 'token_invalid')
    }
    return handler(result.caller, request, reply)
  }
}

/** Somebody who may do what the route asks for: a user, or a service. */
export interface Permitted {
  /** The user's or the client's id. */
  id: string
  principal: Principal
  /** All that this caller may do by this token. */
  grants: Grants
}

export interface PermissionGuard {
  authenticate: Authenticate
  effectiveGrants: EffectiveGrants
}

const PERMISSIONS_OF_HANDLERS = new WeakMap<object, Permission>()

/** Names in each route's schema the permission that its handler asks for. To be called before the routes are added. */
export function addPermissionNames(app: FastifyInstance): void {
  app.addHook('onRoute', (route) => {
    const permission = PERMISSIONS_OF_HANDLERS.get(route.handler)
    if (permission && route.schema) Object.assign(route.schema, { 'x-permission': permission })
  })
}

/**
 * Runs a handler for whoever has the permission now and in the token; others get 403, and 401 without a valid token.
 * @param exempt for whom it runs without: users who act on themselves
 */
export function withPermission<Request extends FastifyRequest>(
  { authenticate, effectiveGrants }: PermissionGuard,
  permission: Permission,
  handler: (who: Permitted, request: Request, reply: FastifyReply) => unknown,
  exempt: (id: string, request: Request) => boolean = () => false,
): (request: Request, reply: FastifyReply) => Promise<unknown> {
  const guarded = async (request: Request, reply: FastifyReply) => {
    const bearer = readBearer(request.raw.rawHeaders)
    if (bearer.ok && bearer.token === undefined) return sendProblem(reply, 'token_missing')
    const result = bearer.ok ? await authenticate.principal(bearer.token!) : bearer
    if (!result.ok) {
      request.log.info({ reason: result.reason }, 'an access token was refused')
      return sendProblem(reply, 'token_invalid')
    }
    const { principal } = result
    const grants = await effectiveGrants(principal)
    const { sub: id } = principal.claims
    if (!grants.permissions.includes(permission) && !exempt(id, request)) return sendProblem(reply, 'forbidden')
    return handler({ id, principal, grants }, request, reply)
  }
  PERMISSIONS_OF_HANDLERS.set(guarded, permission)
  return guarded
}
