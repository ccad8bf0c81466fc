import type { FastifyInstance } from 'fastify'
import type { Metrics } from './metrics.ts'

/** One thing that has to hold for the instance to be of use; `ok` false takes it out of the load balancer. */
export interface Check {
  name: string
  ok: boolean
  detail?: string
}

export interface Operations {
  metrics: Metrics
  /** Asked at each call of `/readyz`; has to answer at once or within its own deadline. */
  ready(): Check[] | Promise<Check[]>
}

/**
 * The routes every part has: `/livez` (the process answers), `/readyz` and `/health` (it is of use), `/metrics`
 * (Prometheus text format).
 */
export function addOperationRoutes(app: FastifyInstance, { metrics, ready }: Operations): void {
  app.get('/livez', { schema: { hide: true } as object }, async () => ({ status: 'ok' }))
  for (const path of ['/readyz', '/health']) {
    app.get(path, { schema: { hide: true } as object }, async (_request, reply) => {
      const checks = await ready()
      const ok = checks.every((check) => check.ok)
      return reply
        .code(ok ? 200 : 503)
        .header('cache-control', 'no-store')
        .send({ status: ok ? 'ok' : 'not ready', checks })
    })
  }
  app.get('/metrics', { schema: { hide: true } as object }, async (_request, reply) =>
    reply.header('content-type', metrics.contentType).send(await metrics.metrics()),
  )
}
