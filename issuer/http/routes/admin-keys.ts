import type { Static } from '@sinclair/typebox'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { Clock } from '../../../shared/clock.ts'
import type { KeySet } from '../../domain/key-set.ts'
import type { RevokeKey } from '../../domain/revoke-key.ts'
import type { RotateKeys } from '../../domain/rotate-keys.ts'
import { type KeyRules, publicKeyState } from '../../domain/signing-key.ts'
import { type PermissionGuard, withPermission } from '../authenticate.ts'
import { sendProblem } from '../problems.ts'
import { bearerAuth, problems } from '../schemas.ts'
import { KeyListAnswer, KeyParams, RevokeKeyAnswer, RotateKeyAnswer, RotateKeyBody } from '../schemas-keys.ts'

export interface AdminKeyRoutes extends PermissionGuard {
  keySet: KeySet
  rotateKeys: RotateKeys
  revokeKey: RevokeKey
  clock: Clock
  keyRules: Pick<KeyRules, 'lifetimeS'>
}

type RotateRoute = { Body: Static<typeof RotateKeyBody> }
type RevokeRoute = { Params: Static<typeof KeyParams> }

/** The signing keys, without restarting anything. */
export function addAdminKeyRoutes(app: FastifyInstance, routes: AdminKeyRoutes): void {
  const { keySet, rotateKeys, revokeKey, clock, keyRules } = routes
  const common = { tags: ['admin'], security: bearerAuth }
  app.get(
    '/admin/keys',
    { schema: { ...common, summary: 'Signing keys', response: { 200: KeyListAnswer, ...problems } } },
    withPermission(routes, 'keys:read', async () => {
      await keySet.reload()
      return { keys: keySet.stored().map((key) => publicKeyState(key, clock.now(), keyRules.lifetimeS)) }
    }),
  )
  app.post<RotateRoute>(
    '/admin/keys/rotate',
    {
      schema: {
        ...common,
        summary: 'Let the next signing key take over, as soon as every verifier can know it',
        body: RotateKeyBody,
        response: { 202: RotateKeyAnswer, ...problems },
      },
      preValidation: async (request) => {
        if (request.body === undefined) request.body = {}
      },
    },
    withPermission<FastifyRequest<RotateRoute>>(routes, 'keys:write', async (who, request, reply) => {
      const result = await rotateKeys.rotate({ immediately: request.body.now ?? false, by: who.id })
      if (!result.ok) return sendProblem(reply, result.code, { detail: result.detail })
      const effectiveAt = new Date(result.effectiveAt).toISOString()
      return reply.code(202).send({ kid: result.kid, effective_at: effectiveAt })
    }),
  )
  app.post<RevokeRoute>(
    '/admin/keys/:kid/revoke',
    {
      schema: {
        ...common,
        summary: 'Declare a signing key compromised: no token or event it signed is believed any more',
        params: KeyParams,
        response: { 200: RevokeKeyAnswer, 202: RevokeKeyAnswer, ...problems },
      },
    },
    withPermission<FastifyRequest<RevokeRoute>>(routes, 'keys:write', async (who, request, reply) => {
      const result = await revokeKey(request.params.kid, who.id)
      if (!result.ok) return sendProblem(reply, result.code)
      const { current, propagated } = result
      return reply.code(propagated ? 200 : 202).send({ message: 'the key is revoked', current, propagated })
    }),
  )
}
