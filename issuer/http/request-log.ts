import type { FastifyInstance } from 'fastify'
import type { Log } from '../../shared/log.ts'
import { histogram, type Metrics } from '../../shared/metrics.ts'

// W3C Trace Context section 3.2; all zeros mean that there is no trace.
const TRACEPARENT = /^(?!ff)[\da-f]{2}-(?!0{32})[\da-f]{32}-(?!0{16})[\da-f]{16}-[\da-f]{2}$/
const QUIET = new Set(['/livez', '/readyz', '/health', '/metrics'])

/**
 * One line and one measurement for each request, by route. Never the target, a header or a body: all three can carry
 * secrets.
 */
export function addRequestLog(app: FastifyInstance, metrics: Metrics): void {
  const seconds = histogram(
    metrics,
    'http_request_duration_seconds',
    'How long answering took, by route.',
    ['method', 'route', 'status'],
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
  )
  // Every field of the line is chosen below, so nothing has to be looked for in it; that would be seven eighths of its
  // cost.
  const lines = (app.log as Log).child({}, { redact: [] })
  app.addHook('onRequest', (request, reply, done) => {
    reply.header('x-request-id', request.id)
    done()
  })
  app.addHook('onResponse', (request, reply, done) => {
    const { method } = request
    const route = request.routeOptions.url ?? 'none'
    const status = reply.statusCode
    const ms = reply.elapsedTime
    seconds.observe({ method, route, status }, ms / 1000)
    const { traceparent } = request.headers
    const line = {
      reqId: request.id,
      method,
      route,
      status,
      ms: Math.round(ms * 10) / 10,
      ...(typeof traceparent === 'string' && TRACEPARENT.test(traceparent) && { traceparent }),
    }
    lines[QUIET.has(route) ? 'debug' : 'info'](line, 'request')
    done()
  })
}
