import type { Static } from '@sinclair/typebox'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { AdministerRoles, RoleResult } from '../../domain/administer-roles.ts'
import { PERMISSIONS } from '../../domain/permissions.ts'
import { publicRole } from '../../domain/role.ts'
import { type PermissionGuard, withPermission } from '../authenticate.ts'
import { sendProblem } from '../problems.ts'
import { bearerAuth, problems } from '../schemas.ts'
import {
  CreateRoleBody,
  DeletedRoleAnswer,
  RoleAnswer,
  RoleListAnswer,
  RoleParams,
  UpdateRoleBody,
} from '../schemas-admin.ts'

export interface AdminRoleRoutes extends PermissionGuard {
  administerRoles: AdministerRoles
}

type ByName = FastifyRequest<{ Params: Static<typeof RoleParams> }>
type WithRole = { Body: Static<typeof CreateRoleBody> }
type WithChange = { Params: Static<typeof RoleParams>; Body: Static<typeof UpdateRoleBody> }

const describe = (summary: string, answers: object, more: object = {}) => ({
  schema: { tags: ['admin'], summary, security: bearerAuth, ...more, response: { ...answers, ...problems } },
})

/** Roles and the permissions they grant, for administrators. */
export function addAdminRoleRoutes(app: FastifyInstance, routes: AdminRoleRoutes): void {
  const { administerRoles: roles } = routes
  const params = RoleParams

  app.get(
    '/admin/roles',
    describe('All roles, and the permissions that this issuer asks for', { 200: RoleListAnswer }),
    withPermission(routes, 'roles:read', async () => ({
      roles: (await roles.list()).map(publicRole),
      permissions: PERMISSIONS,
    })),
  )
  app.post<WithRole>(
    '/admin/roles',
    describe('Create a role', { 201: RoleAnswer }, { body: CreateRoleBody }),
    withPermission<FastifyRequest<WithRole>>(routes, 'roles:write', async ({ id, grants }, request, reply) => {
      const { name, description = '', permissions = [] } = request.body
      return sendRole(reply, await roles.create({ name, description, permissions }, { id, grants }), 201)
    }),
  )
  app.get(
    '/admin/roles/:name',
    describe('One role', { 200: RoleAnswer }, { params }),
    withPermission<ByName>(routes, 'roles:read', async (_who, request, reply) => {
      const role = await roles.get(request.params.name)
      return role ? publicRole(role) : sendProblem(reply, 'not_found')
    }),
  )
  app.put<WithChange>(
    '/admin/roles/:name',
    describe(
      'Change a role: it holds from the next refresh of each session; access tokens keep what they have until they expire',
      { 200: RoleAnswer },
      { params, body: UpdateRoleBody },
    ),
    withPermission<FastifyRequest<WithChange>>(routes, 'roles:write', async ({ id, grants }, request, reply) =>
      sendRole(reply, await roles.update(request.params.name, request.body, { id, grants })),
    ),
  )
  app.delete(
    '/admin/roles/:name',
    describe('Delete a role, and take it from the users who have it', { 200: DeletedRoleAnswer }, { params }),
    withPermission<ByName>(routes, 'roles:write', async ({ id, grants }, request, reply) => {
      const result = await roles.delete(request.params.name, { id, grants })
      if (!result.ok) return sendProblem(reply, result.code, 'errors' in result ? { errors: result.errors } : {})
      const { users, complete } = result
      return { message: 'the role is deleted', users, complete }
    }),
  )
}

function sendRole(reply: FastifyReply, result: RoleResult, status = 200): FastifyReply {
  if (!result.ok) return sendProblem(reply, result.code, 'errors' in result ? { errors: result.errors } : {})
  return reply.code(status).send(publicRole(result.role))
}
