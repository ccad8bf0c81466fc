import type { IncomingMessage } from 'node:http'
import type { FastifyInstance } from 'fastify'
import type { Log } from '../shared/log.ts'
import type { Operations } from '../shared/operations.ts'
import { createOperationsServer } from '../shared/operations-server.ts'
import type { RevocationList } from './domain/revocation-list.ts'
import { type ForwardAuth, isForwardAuth } from './proxy/forward-auth.ts'

export interface AdminParts extends Operations {
  revocations: Pick<RevocationList, 'counts'>
  forwardAuth: ForwardAuth
  log: Log
}

/** A request whose `url` Fastify's `rewriteUrl` has been asked about. */
interface AskedRequest extends IncomingMessage {
  originalUrl?: string
}

/** What only operators and proxies reach: health, metrics, how many revocations are live, and the second door. */
export function buildAdmin({ revocations, forwardAuth, ...operations }: AdminParts): FastifyInstance {
  const app = createOperationsServer(operations, {
    // The router is not to decode, match or refuse a question: what follows the prefix is another request's target.
    rewriteUrl: (request) => (isForwardAuth(request.url ?? '') ? '/' : (request.url ?? '')),
  })
  // Node drops the fields beyond this number unseen; the head's size bounds them already.
  app.server.maxHeadersCount = 0
  // Here and not in a route: no method, body or content type of a question is Fastify's business.
  app.addHook('onRequest', (request, reply, done) => {
    const target = (request.raw as AskedRequest).originalUrl ?? ''
    if (isForwardAuth(target)) forwardAuth(request.raw, reply.raw, target)
    else done()
  })
  app.get('/revocations', async (_request, reply) => {
    const { session, user, key } = revocations.counts
    return reply.header('cache-control', 'no-store').send({ session, user, key })
  })
  return app
}
