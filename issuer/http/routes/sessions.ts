import type { Static } from '@sinclair/typebox'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { Authenticate } from '../../domain/authenticate.ts'
import type { OwnSessions } from '../../domain/own-sessions.ts'
import { publicSession } from '../../domain/session.ts'
import { asCaller } from '../authenticate.ts'
import { sendProblem } from '../problems.ts'
import type { RefreshCookie } from '../refresh-cookie.ts'
import { bearerAuth, LogoutAnswer, problems, SessionParams, SessionsAnswer } from '../schemas.ts'
import { sendEnded } from './auth.ts'

export interface SessionRoutes {
  authenticate: Authenticate
  ownSessions: OwnSessions
  cookie: RefreshCookie
}

type WithSid = FastifyRequest<{ Params: Static<typeof SessionParams> }>

/** A user's own devices. */
export function addSessionRoutes(app: FastifyInstance, { authenticate, ownSessions, cookie }: SessionRoutes): void {
  const tags = ['sessions']
  app.get(
    '/auth/sessions',
    { schema: { tags, summary: 'Own sessions', security: bearerAuth, response: { 200: SessionsAnswer, ...problems } } },
    asCaller(authenticate, async (caller) => {
      const listed = await ownSessions.list(caller)
      return { sessions: listed.map(({ session, current }) => ({ ...publicSession(session), current })) }
    }),
  )
  app.delete(
    '/auth/sessions/:sid',
    {
      schema: {
        tags,
        summary: 'End one of the own sessions',
        security: bearerAuth,
        params: SessionParams,
        response: { 200: LogoutAnswer, 202: LogoutAnswer, ...problems },
      },
    },
    asCaller<WithSid>(authenticate, async (caller, request, reply) => {
      const { sid } = request.params
      const ended = await ownSessions.end(caller, sid)
      if (!ended) return sendProblem(reply, 'not_found')
      if (sid === caller.claims.sid) cookie.clear(reply)
      return sendEnded(reply, ended, 'the session has ended')
    }),
  )
}
