import type { Static } from '@sinclair/typebox'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { AdministerUsers } from '../../domain/administer-users.ts'
import type { ChangePassword } from '../../domain/change-password.ts'
import type { RoleGrants } from '../../domain/grants.ts'
import type { Profile, ProfileResult } from '../../domain/profile.ts'
import { publicUser } from '../../domain/user.ts'
import { asCaller, type PermissionGuard, withPermission } from '../authenticate.ts'
import { sendProblem } from '../problems.ts'
import type { RefreshCookie } from '../refresh-cookie.ts'
import { bearerAuth, LogoutAnswer, problems, UserAnswer } from '../schemas.ts'
import { EmptyBody, OwnProfileAnswer, PasswordBody, ProfileBody, UserParams } from '../schemas-admin.ts'
import { clientFacts, sendEnded } from './auth.ts'

export interface UserRoutes extends PermissionGuard {
  profile: Profile
  changePassword: ChangePassword
  administerUsers: AdministerUsers
  roleGrants: RoleGrants
  cookie: RefreshCookie
}

type WithId = { Params: Static<typeof UserParams> }
type ById = FastifyRequest<WithId>
type WithProfile = { Body: Static<typeof ProfileBody> }
type WithPassword = { Body: Static<typeof PasswordBody> }

const describe = (summary: string, answers: object, more: object = {}) => ({
  schema: { tags: ['users'], summary, security: bearerAuth, ...more, response: { ...answers, ...problems } },
})

/** Users: everyone's own profile, and that of others for those who may. */
export function addUserRoutes(app: FastifyInstance, routes: UserRoutes): void {
  addOwnProfile(app, routes)
  addUsersById(app, routes)
}

const ended = { 200: LogoutAnswer, 202: LogoutAnswer }

function addOwnProfile(app: FastifyInstance, routes: UserRoutes): void {
  const { authenticate, profile, changePassword, roleGrants, cookie } = routes
  app.get(
    '/users/me',
    describe('Own profile, with what the roles permit', { 200: OwnProfileAnswer }),
    asCaller(authenticate, async ({ user }) => {
      const { permissions } = await roleGrants.of(user.roles)
      return { ...publicUser(user), permissions }
    }),
  )
  app.put<WithProfile>(
    '/users/me',
    describe(
      'Change e-mail address or user name; a changed address has to be verified again',
      { 200: UserAnswer },
      {
        body: ProfileBody,
      },
    ),
    asCaller<FastifyRequest<WithProfile>>(authenticate, async ({ user }, request, reply) =>
      sendProfile(reply, await profile.update(user, request.body, user.id, clientFacts(request))),
    ),
  )
  app.delete(
    '/users/me',
    describe('Deactivate the own account; every session ends', ended),
    asCaller(authenticate, async ({ user }, _request, reply) => {
      const result = await profile.deactivate(user, user.id)
      if (!result.ok) return sendProblem(reply, result.code)
      cookie.clear(reply)
      return sendEnded(reply, result.ended, 'the account is deactivated')
    }),
  )
  app.post<WithPassword>(
    '/users/me/password',
    describe('Change the password; every other session ends, this one goes on', ended, { body: PasswordBody }),
    asCaller<FastifyRequest<WithPassword>>(authenticate, async (caller, request, reply) => {
      const { current_password: current, new_password: password } = request.body
      const result = await changePassword(caller, { current, password, client: clientFacts(request) })
      if (!result.ok && result.code === 'too_many_requests') reply.header('retry-after', result.retryAfterS)
      if (!result.ok) return sendProblem(reply, result.code, 'errors' in result ? { errors: result.errors } : {})
      return sendEnded(reply, result.ended, 'the password is changed')
    }),
  )
}

function addUsersById(app: FastifyInstance, routes: UserRoutes): void {
  const { administerUsers, profile, cookie } = routes
  const params = UserParams
  const isSelf = (id: string, request: ById) => request.params.id === id

  app.get<WithId>(
    '/users/:id',
    describe('A user: oneself, or with the permission', { 200: UserAnswer }, { params }),
    withPermission<ById>(
      routes,
      'users:read',
      async (_who, request, reply) => {
        const user = await administerUsers.get(request.params.id)
        return user ? publicUser(user) : sendProblem(reply, 'not_found')
      },
      isSelf,
    ),
  )
  app.put<WithId & WithProfile>(
    '/users/:id',
    describe(
      'Change e-mail address or user name: of oneself, or with the permission',
      { 200: UserAnswer },
      {
        params,
        body: ProfileBody,
      },
    ),
    withPermission<FastifyRequest<WithId & WithProfile>>(
      routes,
      'users:write',
      async ({ id, principal, grants }, request, reply) => {
        const { params, body } = request
        const client = clientFacts(request)
        const own = 'user' in principal && principal.user.id === params.id ? principal.user : undefined
        if (own) return sendProfile(reply, await profile.update(own, body, id, client))
        return sendProfile(reply, await administerUsers.updateProfile(params.id, body, { id, grants }, client))
      },
      isSelf,
    ),
  )
  app.delete<WithId>(
    '/users/:id',
    describe('Oneself: deactivate, as DELETE /users/me. Others, with the permission: delete for good', ended, {
      params,
    }),
    withPermission<ById>(
      routes,
      'users:delete',
      async ({ id, principal, grants }, request, reply) => {
        const own = 'user' in principal && principal.user.id === request.params.id ? principal.user : undefined
        const result = own
          ? await profile.deactivate(own, id)
          : await administerUsers.delete(request.params.id, { id, grants })
        if (!result.ok) return sendProblem(reply, result.code)
        if (own) cookie.clear(reply)
        return sendEnded(reply, result.ended, own ? 'the account is deactivated' : 'the user is deleted')
      },
      isSelf,
    ),
  )
  app.put<WithId>(
    '/users/:id/verify',
    {
      ...describe('Take the e-mail address of a user for verified', { 200: UserAnswer }, { params, body: EmptyBody }),
      preValidation: async (request: FastifyRequest) => {
        if (request.body === undefined) request.body = {}
      },
    },
    withPermission<ById>(routes, 'users:write', async ({ id, grants }, request, reply) => {
      const result = await administerUsers.update(request.params.id, { isVerified: true }, { id, grants })
      if (!result.ok) return sendProblem(reply, result.code)
      return publicUser(result.user)
    }),
  )
}

function sendProfile(reply: FastifyReply, result: ProfileResult | { ok: false; code: 'forbidden' }) {
  if (!result.ok) return sendProblem(reply, result.code, 'errors' in result ? { errors: result.errors } : {})
  return publicUser(result.user)
}
