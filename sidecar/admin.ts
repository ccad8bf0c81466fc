import Fastify, { type FastifyInstance } from 'fastify'
import { addOperationRoutes, type Operations } from '../shared/operations.ts'
import type { RevocationList } from './domain/revocation-list.ts'

export interface AdminParts extends Operations {
  revocations: Pick<RevocationList, 'counts'>
}

/** What only operators reach: health, metrics, and how many revocations are live. */
export function buildAdmin({ revocations, ...operations }: AdminParts): FastifyInstance {
  const app = Fastify({ logger: false, forceCloseConnections: true })
  addOperationRoutes(app, operations)
  app.get('/revocations', async (_request, reply) => {
    const { session, user, key } = revocations.counts
    return reply.header('cache-control', 'no-store').send({ session, user, key })
  })
  return app
}
