import type { ServerOptions as TlsServerOptions } from 'node:https'
import Fastify, { type FastifyInstance } from 'fastify'
import type { Log } from '../../shared/log.ts'
import { counter, histogram, type Metrics } from '../../shared/metrics.ts'
import { NO_SCHEMAS } from '../../shared/no-schemas.ts'
import { addOperationRoutes, type Operations } from '../../shared/operations.ts'
import { type AdmissionAnswer, answerOf, readReview } from './domain/admission-review.ts'
import { type InjectionRules, inject } from './domain/inject.ts'

export interface WebhookParts {
  rules: InjectionRules
  tls: TlsServerOptions
  log: Log
  metrics: Metrics
}

/** What an API server accepts of a client, and so the largest object it can ask about: bytes. */
const MAX_BODY_BYTES = 3 * 1024 * 1024
/** An API server waits 30 s at most for a webhook; a handshake or a request that takes longer is nobody's: milliseconds. */
const REQUEST_TIMEOUT_MS = 30_000
/** An API server keeps its connections for 90 s; it is it who closes: milliseconds. */
const KEEP_ALIVE_MS = 120_000

/** The admission webhook: `POST /mutate` with an AdmissionReview (admission.k8s.io/v1), over TLS. */
export function buildWebhook({ rules, tls, log, metrics }: WebhookParts): FastifyInstance {
  const count = createAdmissionMetrics(metrics)
  const app = Fastify({
    ...NO_SCHEMAS,
    logger: false,
    bodyLimit: MAX_BODY_BYTES,
    requestTimeout: REQUEST_TIMEOUT_MS,
    keepAliveTimeout: KEEP_ALIVE_MS,
    return503OnClosing: false,
    https: { ...tls, handshakeTimeout: REQUEST_TIMEOUT_MS },
  }) as unknown as FastifyInstance
  // Fastify's own would refuse members that are dangerous to copy; nothing here copies by name.
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('application/json', { parseAs: 'string' }, (_request, body, done) => {
    try {
      done(null, JSON.parse(body as string))
    } catch {
      done(Object.assign(new Error('the body is not JSON'), { statusCode: 400 }))
    }
  })
  app.setErrorHandler((error: Error & { statusCode?: number }, _request, reply) => {
    const { statusCode = 500, message } = error
    if (statusCode >= 500) log.error({ err: error }, 'a review failed here')
    count('invalid', false)
    return reply.code(statusCode).send({ error: statusCode >= 500 ? 'internal error' : message })
  })
  app.post('/mutate', async (request, reply): Promise<AdmissionAnswer> => {
    const startedAt = performance.now()
    const read = readReview(request.body)
    if (read.kind === 'invalid') throw Object.assign(new Error(read.reason), { statusCode: 400 })
    if (read.kind === 'answered') {
      const { allowed } = read.answer.response
      if (!allowed) log.warn({ reason: read.reason }, 'a review was refused unread')
      count(allowed ? 'unchanged' : 'invalid', false)
      return read.answer
    }
    const { uid, namespace, name, dryRun, object } = read.request
    const verdict = inject(rules, object)
    const { outcome } = verdict
    count(outcome, dryRun, performance.now() - startedAt)
    const reason = 'message' in verdict ? { reason: verdict.message } : {}
    log[outcome === 'refused' ? 'warn' : 'info']({ outcome, namespace, pod: name, dryRun, ...reason }, 'pod reviewed')
    reply.header('cache-control', 'no-store')
    return answerOf(uid, verdict)
  })
  return app
}

function createAdmissionMetrics(metrics: Metrics) {
  const reviews = counter(metrics, 'injector_reviews_total', 'Pods reviewed, by what became of them.', [
    'outcome',
    'dry_run',
  ])
  const durations = histogram(
    metrics,
    'injector_review_seconds',
    'How long deciding about a Pod took.',
    [],
    [0.0005, 0.001, 0.005, 0.025, 0.1],
  )
  return (outcome: string, dryRun: boolean, ms?: number) => {
    reviews.inc({ outcome, dry_run: String(dryRun) })
    if (ms !== undefined) durations.observe(ms / 1000)
  }
}

/** Health and metrics, without TLS and on a port of their own: the kubelet and Prometheus ask. */
export function buildAdmin(operations: Operations): FastifyInstance {
  const app = Fastify({ ...NO_SCHEMAS, logger: false, forceCloseConnections: true })
  addOperationRoutes(app, operations)
  return app
}
