import type { FastifyInstance } from 'fastify'
import type { PasswordHasher } from '../domain/ports.ts'
import { sendProblem } from './problems.ts'

/** The routes on which every request that is in order costs a hash. */
const HASHING_ROUTES = new Set([
  'POST /auth/login',
  'POST /login',
  'POST /auth/register',
  'POST /register',
  'POST /users',
  'POST /users/',
])

/**
 * While the hashing lane is full, refuses what would have to hash before its body is read, counted or looked up: of a
 * storm of logins most are refused, and what one of those costs decides how long everyone else waits.
 */
export function addShedding(app: FastifyInstance, hasher: Pick<PasswordHasher, 'fullForS'>): void {
  app.addHook('onRequest', async (request, reply) => {
    if (!HASHING_ROUTES.has(`${request.method} ${request.routeOptions.url}`)) return
    const seconds = hasher.fullForS()
    if (seconds !== undefined) return sendProblem(reply.header('retry-after', seconds), 'overloaded')
  })
}
