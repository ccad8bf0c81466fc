import type { FastifyInstance } from 'fastify'
import type { Authenticate } from '../../domain/authenticate.ts'
import { publicUser } from '../../domain/user.ts'
import { asCaller } from '../authenticate.ts'
import { bearerAuth, problems, UserAnswer } from '../schemas.ts'

/** The caller's own profile. */
export function addUserRoutes(app: FastifyInstance, { authenticate }: { authenticate: Authenticate }): void {
  app.get(
    '/users/me',
    {
      schema: {
        tags: ['users'],
        summary: 'Own profile',
        security: bearerAuth,
        response: { 200: UserAnswer, ...problems },
      },
    },
    asCaller(authenticate, async ({ user }) => publicUser(user)),
  )
}
