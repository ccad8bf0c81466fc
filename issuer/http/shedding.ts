import type { FastifyInstance } from 'fastify'
import type { PasswordHasher } from '../domain/ports.ts'
import { sendProblem } from './problems.ts'

/** The routes on which every POST that is in order costs a hash. */
const HASHING_ROUTES = new Set(['/auth/login', '/login', '/auth/register', '/register', '/users', '/users/'])

/**
 * While the hashing lane is full, refuses what would have to hash before its body is read, counted or looked up: of a
 * storm of logins most are refused, and what one of those costs decides how long everyone else waits.
 */
export function addShedding(app: FastifyInstance, hasher: Pick<PasswordHasher, 'fullForS'>): void {
  app.addHook('onRequest', (request, reply, done) => {
    const isHashing = request.method === 'POST' && HASHING_ROUTES.has(request.routeOptions.url ?? '')
    const seconds = isHashing ? hasher.fullForS() : undefined
    if (seconds === undefined) return done()
    void sendProblem(reply.header('retry-after', seconds), 'overloaded')
  })
}
