import Fastify, {
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
  type FastifyServerOptions,
} from 'fastify'
import type { Log } from './log.ts'
import { NO_SCHEMAS } from './no-schemas.ts'
import { addOperationRoutes, type Operations } from './operations.ts'
import { PROBLEM_TYPE, type ProblemCode, problemDocument, problemText } from './problem.ts'

const ALLOWED = 'GET, HEAD'

/** A server of its own for health and metrics. All its routes are GET; whatever else is asked of it is a problem document. */
export function createOperationsServer(
  { log, ...operations }: Operations & { log: Log },
  options: Pick<FastifyServerOptions, 'rewriteUrl'> = {},
): FastifyInstance {
  const answerError = (error: { statusCode?: number }, request: FastifyRequest, reply: FastifyReply) => {
    if (request.is404) return answerUnknown(request, reply)
    if (error.statusCode !== undefined && error.statusCode < 500) return send(reply, 'invalid_request')
    log.error({ err: error }, 'a request failed here')
    return send(reply, 'internal_error')
  }
  const app = Fastify({
    ...NO_SCHEMAS,
    ...options,
    logger: false,
    forceCloseConnections: true,
    frameworkErrors: (_error, _request, reply) => send(reply, 'invalid_target'),
  })
  const answerUnknown = (request: FastifyRequest, reply: FastifyReply) => {
    const isKnown = app.hasRoute({ method: 'GET', url: request.url.split('?', 1)[0]! })
    return isKnown ? send(reply.header('allow', ALLOWED), 'method_not_allowed') : send(reply, 'not_found')
  }
  app.setNotFoundHandler(answerUnknown)
  app.setErrorHandler(answerError)
  addOperationRoutes(app, operations)
  return app
}

function send(reply: FastifyReply, code: ProblemCode): FastifyReply {
  const problem = problemDocument(code)
  return reply.code(problem.status).header('cache-control', 'no-store').type(PROBLEM_TYPE).send(problemText(problem))
}
