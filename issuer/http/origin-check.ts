import type { FastifyInstance } from 'fastify'
import { sendProblem } from './problems.ts'

const SAFE_METHODS = ['GET', 'HEAD']

/**
 * Refuses requests that a page of another origin made a browser send (cross-site request forgery), and its preflights:
 * the second line behind `SameSite=Strict`, which same-site neighbours pass. Clients that are no browsers send neither
 * header.
 * @param origins that may call: our own and those of the CORS list
 */
export function addOriginCheck(app: FastifyInstance, origins: ReadonlySet<string>): void {
  app.addHook('onRequest', (request, reply, done) => {
    if (SAFE_METHODS.includes(request.method)) return done()
    const { origin, 'sec-fetch-site': site } = request.headers
    const isForeign = site === undefined ? origin !== undefined : site !== 'same-origin' && site !== 'none'
    if (!isForeign || origins.has(origin ?? '')) return done()
    void sendProblem(reply, 'origin_forbidden')
  })
}
