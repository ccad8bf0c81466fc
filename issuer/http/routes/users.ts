import type { Static } from '@sinclair/typebox'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { AdministerUsers } from '../../domain/administer-users.ts'
import type { ChangePassword } from '../../domain/change-password.ts'
import type { RoleGrants } from '../../domain/grants.ts'
import type { OwnProfileResult, UpdateOwnProfile } from '../../domain/own-profile.ts'
import type { Profile } from '../../domain/profile.ts'
import { publicUser } from '../../domain/user.ts'
import { asCaller, type PermissionGuard, withPermission } from '../authenticate.ts'
import { sendProblem } from '../problems.ts'
import type { RefreshCookie } from '../refresh-cookie.ts'
import { bearerAuth, LogoutAnswer, problems, UserAnswer } from '../schemas.ts'
import { EmptyBody, OwnProfileAnswer, PasswordBody, ProfileBody, UserParams } from '../schemas-admin.ts'
import { clientFacts, sendEnded } from './auth.ts'

export interface UserRoutes extends PermissionGuard {
  profile: Profile
  updateOwnProfile: UpdateOwnProfile
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

const confirmation = {
  ...problems['4xx'],
  description: 'password_required, password_wrong: another address of the own account takes the present password',
}

function addOwnProfile(app: FastifyInstance, routes: UserRoutes): void {
  const { authenticate, profile, updateOwnProfile, changePassword, roleGrants, cookie } = routes
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
      'Change e-mail address or user name; another address takes the password, and has to be verified again',
      { 200: UserAnswer, 403: confirmation },
      { body: ProfileBody },
    ),
    asCaller<FastifyRequest<WithProfile>>(authenticate, async ({ user }, request, reply) =>
      sendProfile(reply, await updateOwnProfile(user, readChange(request.body), clientFacts(request))),
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
  const { administerUsers, profile, updateOwnProfile, cookie } = routes
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
      'Change e-mail address or user name: of oneself, as PUT /users/me, or with the permission',
      { 200: UserAnswer, 403: confirmation },
      { params, body: ProfileBody },
    ),
    withPermission<FastifyRequest<WithId & WithProfile>>(
      routes,
      'users:write',
      async ({ id, principal, grants }, request, reply) => {
        const { params, body } = request
        const client = clientFacts(request)
        const own = 'user' in principal && principal.user.id === params.id ? principal.user : undefined
        const { currentPassword, ...change } = readChange(body)
        if (own) return sendProfile(reply, await updateOwnProfile(own, readChange(body), client))
        if (currentPassword !== undefined) return sendProblem(reply, 'invalid_request', { errors: [NOT_OWN] })
        return sendProfile(reply, await administerUsers.updateProfile(params.id, change, { id, grants }, client))
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

const NOT_OWN = 'body/current_password: only for the own account'

function readChange({ current_password: currentPassword, ...change }: Static<typeof ProfileBody>) {
  return { ...change, ...(currentPassword !== undefined && { currentPassword }) }
}

function sendProfile(reply: FastifyReply, result: OwnProfileResult | { ok: false; code: 'forbidden' }) {
  if (!result.ok && result.code === 'too_many_requests') reply.header('retry-after', result.retryAfterS)
  if (!result.ok) return sendProblem(reply, result.code, 'errors' in result ? { errors: result.errors } : {})
  return publicUser(result.user)
}
