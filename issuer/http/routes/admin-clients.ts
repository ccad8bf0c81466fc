import type { Static } from '@sinclair/typebox'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { Clock } from '../../../shared/clock.ts'
import type { AdministerClients, ClientResult } from '../../domain/administer-clients.ts'
import type { Administrator } from '../../domain/administrator.ts'
import { publicClient } from '../../domain/client.ts'
import type { Ended } from '../../domain/revoke.ts'
import { type PermissionGuard, type Permitted, withPermission } from '../authenticate.ts'
import { sendProblem } from '../problems.ts'
import { bearerAuth, problems } from '../schemas.ts'
import {
  ChangedClientAnswer,
  ClientAnswer,
  ClientEndAnswer,
  ClientListAnswer,
  ClientListQuery,
  ClientParams,
  ClientSecretAnswer,
  CreateClientBody,
  RotateSecretBody,
  UpdateClientBody,
} from '../schemas-oauth.ts'

export interface AdminClientRoutes extends PermissionGuard {
  administerClients: AdministerClients
  clock: Clock
}

const PAGE = 50
const DAY_S = 86_400

type WithId = { Params: Static<typeof ClientParams> }
type ListRequest = FastifyRequest<{ Querystring: Static<typeof ClientListQuery> }>
type CreateRequest = FastifyRequest<{ Body: Static<typeof CreateClientBody> }>
type UpdateRequest = FastifyRequest<WithId & { Body: Static<typeof UpdateClientBody> }>
type RotateRoute = WithId & { Body: Static<typeof RotateSecretBody> }
type RotateRequest = FastifyRequest<RotateRoute>

/** Service clients. A secret is in the answer that makes it, and in no other. */
export function addAdminClientRoutes(app: FastifyInstance, routes: AdminClientRoutes): void {
  const { administerClients: clients, clock } = routes
  const describe = (summary: string, answers: object, more: object = {}) => ({
    schema: { tags: ['admin'], summary, security: bearerAuth, ...more, response: { ...answers, ...problems } },
  })
  const params = ClientParams

  const send = (reply: FastifyReply, result: ClientResult<{ secret?: string; ended?: Ended | undefined }>) => {
    if (!result.ok) return sendProblem(reply, result.code, 'errors' in result ? { errors: result.errors } : {})
    const { client, secret, ended } = result
    if (ended && !ended.propagated) reply.code(202)
    return reply.send({
      ...publicClient(client, clock.now()),
      ...(secret && { client_secret: secret }),
      ...(ended && { propagated: ended.propagated }),
    })
  }

  app.get(
    '/admin/clients',
    describe('Service clients, page by page', { 200: ClientListAnswer }, { querystring: ClientListQuery }),
    withPermission<ListRequest>(routes, 'clients:read', async (_who, request) => {
      const { after, limit } = request.query
      const size = Number(limit ?? PAGE)
      const found = await clients.list(after, size + 1)
      const page = found.slice(0, size)
      const next = found.length > size ? page.at(-1)!.id : null
      return { clients: page.map((client) => publicClient(client, clock.now())), next }
    }),
  )
  app.post(
    '/admin/clients',
    describe('Create a service client', { 201: ClientSecretAnswer }, { body: CreateClientBody }),
    withPermission<CreateRequest>(routes, 'clients:write', async (who, request, reply) => {
      const { name, permissions = [] } = request.body
      return send(reply.code(201), await clients.create({ name, permissions }, administrator(who)))
    }),
  )
  app.get(
    '/admin/clients/:clientId',
    describe('One service client', { 200: ClientAnswer }, { params }),
    withPermission<FastifyRequest<WithId>>(routes, 'clients:read', async (_who, request, reply) => {
      const client = await clients.get(request.params.clientId)
      return send(reply, client ? { ok: true, client } : { ok: false, code: 'not_found' })
    }),
  )
  app.put(
    '/admin/clients/:clientId',
    describe(
      'Change a service client. When it loses a permission or is switched off, its tokens end.',
      { 200: ChangedClientAnswer, 202: ChangedClientAnswer },
      { params, body: UpdateClientBody },
    ),
    withPermission<UpdateRequest>(routes, 'clients:write', async (who, request, reply) => {
      const { is_active: isActive, ...rest } = request.body
      const change = { ...rest, ...(isActive !== undefined && { isActive }) }
      return send(reply, await clients.update(request.params.clientId, change, administrator(who)))
    }),
  )
  app.post<RotateRoute>(
    '/admin/clients/:clientId/secret',
    {
      ...describe(
        'A new secret',
        { 200: ClientSecretAnswer, 202: ClientSecretAnswer },
        { params, body: RotateSecretBody },
      ),
      preValidation: async (request) => {
        if (request.body === undefined) request.body = {}
      },
    },
    withPermission<RotateRequest>(routes, 'clients:write', async (who, request, reply) => {
      const { overlap = DAY_S } = request.body
      return send(reply, await clients.rotateSecret(request.params.clientId, overlap * 1000, administrator(who)))
    }),
  )
  app.delete(
    '/admin/clients/:clientId',
    describe('Delete a service client and end its tokens', { 200: ClientEndAnswer, 202: ClientEndAnswer }, { params }),
    withPermission<FastifyRequest<WithId>>(routes, 'clients:write', async (who, request, reply) => {
      const result = await clients.delete(request.params.clientId, administrator(who))
      if (!result.ok) return sendProblem(reply, result.code)
      const { propagated } = result.ended
      return reply.code(propagated ? 200 : 202).send({ message: 'the client is deleted', propagated })
    }),
  )
}

function administrator({ id, grants }: Permitted): Administrator {
  return { id, grants }
}
