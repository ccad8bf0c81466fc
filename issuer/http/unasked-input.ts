import type { FastifyInstance } from 'fastify'
import { sendProblem } from './problems.ts'
import { exactly } from './schemas.ts'

const NO_QUERY = exactly({})

/**
 * Refuses what a route does not ask for, as schemas refuse unknown fields: a query where none is known, a body where
 * none is read. `?all=true` that nobody looks at would otherwise seem to have worked. What does not describe its answers
 * is a document or a probe: caches and probers add queries of their own. To be called before the routes are added.
 */
export function addUnaskedInput(app: FastifyInstance): void {
  app.addHook('onRoute', ({ schema }) => {
    if (schema?.response) schema.querystring ??= NO_QUERY
  })
  app.addHook('preValidation', (request, reply, done) => {
    const { body, routeOptions } = request
    // Many clients write an empty object where they have nothing to say.
    if (body === undefined || routeOptions.schema?.body || isEmptyObject(body)) return done()
    void sendProblem(reply, 'invalid_request', { errors: ['body: none is asked for here'] })
  })
}

function isEmptyObject(value: unknown): boolean {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && Object.keys(value).length === 0
}
