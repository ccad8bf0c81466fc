import type { IncomingMessage } from 'node:http'
import type { ServerOptions as TlsServerOptions } from 'node:https'
import Fastify, { type FastifyInstance } from 'fastify'
import type { Log } from '../../shared/log.ts'
import { counter, histogram, type Metrics } from '../../shared/metrics.ts'
import { NO_SCHEMAS } from '../../shared/no-schemas.ts'
import { type AdmissionAnswer, answerOf, readReview } from './domain/admission-review.ts'
import { type InjectionRules, inject } from './domain/inject.ts'
import { type BodyProblem, createReadBody } from './review-body.ts'

export interface WebhookParts {
  rules: InjectionRules
  tls: TlsServerOptions
  log: Log
  metrics: Metrics
}

/** API servers are a handful, and keep a few connections each. */
const MAX_CONNECTIONS = 256
/** An API server's request is there within milliseconds; what takes longer only keeps a connection from others: milliseconds. */
const REQUEST_TIMEOUT_MS = 10_000
/** How long a handshake and the head of a request may take, each: milliseconds. */
const HEAD_TIMEOUT_MS = 5000
/** An API server keeps its connections for 90 s; it is it who closes: milliseconds. */
const KEEP_ALIVE_MS = 120_000

/** The admission webhook: `POST /mutate` with an AdmissionReview (admission.k8s.io/v1), over TLS. */
export function buildWebhook({ rules, tls, log, metrics }: WebhookParts): FastifyInstance {
  const count = createAdmissionMetrics(metrics)
  const exposed = counter(
    metrics,
    'injector_exposed_total',
    'Pods that got the sidecar although their service looks as if others reach it around that.',
  )
  const app = Fastify({
    ...NO_SCHEMAS,
    logger: false,
    requestTimeout: REQUEST_TIMEOUT_MS,
    keepAliveTimeout: KEEP_ALIVE_MS,
    return503OnClosing: false,
    https: { ...tls, handshakeTimeout: HEAD_TIMEOUT_MS, headersTimeout: HEAD_TIMEOUT_MS },
  }) as unknown as FastifyInstance
  app.server.maxConnections = MAX_CONNECTIONS
  // Fastify's own would refuse members that are dangerous to copy; nothing here copies by name.
  app.removeAllContentTypeParsers()
  const readBody = createReadBody()
  app.addContentTypeParser('application/json', (_request: unknown, payload: IncomingMessage) => readBody(payload))
  app.setErrorHandler((error: Error & Partial<BodyProblem>, _request, reply) => {
    const { statusCode = 500, message, uid } = error
    if (statusCode === 500) log.error({ err: error }, 'a review failed here')
    else log.warn({ status: statusCode, reason: message }, 'this is no review')
    count('invalid', false)
    // A status would be no answer to an API server, and with failurePolicy Ignore the Pod would come to be.
    if (uid !== undefined) return reply.send(answerOf(uid, { outcome: 'refused', message }))
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
    const verdict = inject(rules, object, namespace)
    const { outcome } = verdict
    count(outcome, dryRun, performance.now() - startedAt)
    const isExposed = 'isExposed' in verdict && verdict.isExposed
    if (isExposed && !dryRun) exposed.inc()
    const reason = 'message' in verdict ? { reason: verdict.message } : {}
    const warnings = 'warnings' in verdict && verdict.warnings.length > 0 ? { warnings: verdict.warnings } : {}
    const level = outcome === 'refused' || isExposed ? 'warn' : 'info'
    log[level]({ outcome, namespace, pod: name, dryRun, ...reason, ...warnings }, 'pod reviewed')
    reply.header('cache-control', 'no-store')
    return answerOf(uid, verdict)
  })
  return app
}

const OUTCOMES = ['injected', 'present', 'opted_out', 'refused', 'unchanged', 'invalid'] as const
type Outcome = (typeof OUTCOMES)[number]

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
  // From 0: the growth of a count that begins with 1 would escape whoever watches it.
  for (const outcome of OUTCOMES) for (const dry_run of ['true', 'false']) reviews.inc({ outcome, dry_run }, 0)
  return (outcome: Outcome, dryRun: boolean, ms?: number) => {
    reviews.inc({ outcome, dry_run: String(dryRun) })
    if (ms !== undefined) durations.observe(ms / 1000)
  }
}
