import type { Static } from '@sinclair/typebox'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { AdministerUsers } from '../../domain/administer-users.ts'
import { publicSession } from '../../domain/session.ts'
import { publicUser } from '../../domain/user.ts'
import { readUserQuery, writeCursor } from '../../domain/user-query.ts'
import { type PermissionGuard, withPermission } from '../authenticate.ts'
import { sendProblem } from '../problems.ts'
import { bearerAuth, LogoutAnswer, problems, UserAnswer } from '../schemas.ts'
import {
  AdministeredAnswer,
  AdministrationBody,
  UserListAnswer,
  UserListQuery,
  UserParams,
  UserSessionParams,
  UserSessionsAnswer,
} from '../schemas-admin.ts'
import { sendEnded } from './auth.ts'

export interface AdminUserRoutes extends PermissionGuard {
  administerUsers: AdministerUsers
}

type ById = FastifyRequest<{ Params: Static<typeof UserParams> }>
type WithQuery = { Querystring: Static<typeof UserListQuery> }
type WithChange = { Params: Static<typeof UserParams>; Body: Static<typeof AdministrationBody> }
type WithSession = { Params: Static<typeof UserSessionParams> }

const describe = (summary: string, answers: object, more: object = {}) => ({
  schema: { tags: ['admin'], summary, security: bearerAuth, ...more, response: { ...answers, ...problems } },
})

const ended = { 200: LogoutAnswer, 202: LogoutAnswer }

/** Users and their sessions, for administrators. */
export function addAdminUserRoutes(app: FastifyInstance, routes: AdminUserRoutes): void {
  const { administerUsers } = routes
  const params = UserParams

  app.get<WithQuery>(
    '/admin/users',
    describe(
      'Users page by page: newest first, or those whose address or name begins with something, by that',
      { 200: UserListAnswer },
      { querystring: UserListQuery },
    ),
    withPermission<FastifyRequest<WithQuery>>(routes, 'users:read', async (_who, request, reply) => {
      const { is_active, is_verified, limit, ...rest } = request.query
      const read = readUserQuery({
        ...rest,
        ...(is_active && { isActive: is_active === 'true' }),
        ...(is_verified && { isVerified: is_verified === 'true' }),
        ...(limit && { limit: Number(limit) }),
      })
      if (!read.ok) return sendProblem(reply, 'invalid_request', { errors: read.errors })
      const { users, next } = await administerUsers.page(read.query)
      return { users: users.map(publicUser), next: next ? writeCursor(read.query.order, next) : null }
    }),
  )
  app.get(
    '/admin/users/:id',
    describe('One user', { 200: UserAnswer }, { params }),
    withPermission<ById>(routes, 'users:read', async (_who, request, reply) => {
      const user = await administerUsers.get(request.params.id)
      return user ? publicUser(user) : sendProblem(reply, 'not_found')
    }),
  )
  app.put<WithChange>(
    '/admin/users/:id',
    describe(
      'Change roles, tier, status or verification. A role that is taken away, or the end of the account, ends every session',
      { 200: AdministeredAnswer, 202: AdministeredAnswer },
      { params, body: AdministrationBody },
    ),
    withPermission<FastifyRequest<WithChange>>(routes, 'users:write', async ({ id, grants }, request, reply) => {
      const { is_active, is_verified, ...rest } = request.body
      const change = {
        ...rest,
        ...(is_active !== undefined && { isActive: is_active }),
        ...(is_verified !== undefined && { isVerified: is_verified }),
      }
      const result = await administerUsers.update(request.params.id, change, { id, grants })
      if (!result.ok) return sendProblem(reply, result.code, 'errors' in result ? { errors: result.errors } : {})
      const { user, ended } = result
      const more = ended && { invalidated_tokens: ended.sessions, propagated: ended.propagated }
      return reply.code(ended?.propagated === false ? 202 : 200).send({ ...publicUser(user), ...more })
    }),
  )
  app.delete(
    '/admin/users/:id',
    describe('Delete a user for good, after every session has ended', ended, { params }),
    withPermission<ById>(routes, 'users:delete', async ({ id, grants }, request, reply) => {
      const result = await administerUsers.delete(request.params.id, { id, grants })
      if (!result.ok) return sendProblem(reply, result.code)
      return sendEnded(reply, result.ended, 'the user is deleted')
    }),
  )
  addSessions(app, routes)
}

function addSessions(app: FastifyInstance, routes: AdminUserRoutes): void {
  const { administerUsers } = routes
  app.get(
    '/admin/users/:id/sessions',
    describe('The sessions of a user', { 200: UserSessionsAnswer }, { params: UserParams }),
    withPermission<ById>(routes, 'users:read', async (_who, request, reply) => {
      const sessions = await administerUsers.sessions(request.params.id)
      return sessions ? { sessions: sessions.map(publicSession) } : sendProblem(reply, 'not_found')
    }),
  )
  app.delete<WithSession>(
    '/admin/users/:id/sessions/:sid',
    describe('End one session of a user', ended, { params: UserSessionParams }),
    withPermission<FastifyRequest<WithSession>>(routes, 'sessions:end', async ({ id, grants }, request, reply) => {
      const { params } = request
      const result = await administerUsers.endSession(params.id, params.sid, { id, grants })
      return result ? sendEnded(reply, result, 'the session has ended') : sendProblem(reply, 'not_found')
    }),
  )
  app.post(
    '/admin/users/:id/logout',
    describe('End every session of a user', ended, { params: UserParams }),
    withPermission<ById>(routes, 'sessions:end', async ({ id, grants }, request, reply) => {
      const result = await administerUsers.logout(request.params.id, { id, grants })
      return result ? sendEnded(reply, result, 'all sessions have ended') : sendProblem(reply, 'not_found')
    }),
  )
}
