import type { Static } from '@sinclair/typebox'
import type { FastifyInstance } from 'fastify'
import type { OneTimeLinks } from '../../domain/one-time-links.ts'
import type { Purpose } from '../../domain/one-time-token.ts'
import type { ResetPassword } from '../../domain/reset-password.ts'
import type { VerifyEmail } from '../../domain/verify-email.ts'
import { sendProblem } from '../problems.ts'
import { LogoutAnswer, problems } from '../schemas.ts'
import { AddressBody, MessageAnswer, ResetPasswordBody, VerifyEmailBody } from '../schemas-links.ts'
import { clientFacts, sendEnded } from './auth.ts'

export interface OneTimeLinkRoutes {
  links: OneTimeLinks
  verifyEmail: VerifyEmail
  resetPassword: ResetPassword
}

const tags = ['auth']

/** Asking for mailed links, and using them. */
export function addOneTimeLinkRoutes(app: FastifyInstance, routes: OneTimeLinkRoutes): void {
  const { links, verifyEmail, resetPassword } = routes

  const addRequest = (path: string, purpose: Purpose, summary: string) => {
    const schema = { tags, summary, body: AddressBody, response: { 202: MessageAnswer, ...problems } }
    app.post<{ Body: Static<typeof AddressBody> }>(path, { schema }, async (request, reply) => {
      const understood = await links.request(purpose, request.body.email, clientFacts(request))
      if (!understood) return sendProblem(reply, 'invalid_request', { errors: ['email: not an e-mail address'] })
      // The same for everyone: who has an account here is nobody's business.
      return reply.code(202).send({ message: 'if there is something to be mailed to this address, it is on its way' })
    })
  }
  addRequest('/auth/forgot-password', 'reset_password', 'Have a link mailed that sets a new password')
  addRequest('/auth/resend-verification', 'verify_email', 'Have the link mailed again that verifies the address')

  app.post<{ Body: Static<typeof VerifyEmailBody> }>(
    '/auth/verify-email',
    {
      schema: {
        tags,
        summary: 'Verify the e-mail address with the token of a mailed link',
        body: VerifyEmailBody,
        response: { 200: MessageAnswer, ...problems },
      },
    },
    async (request, reply) => {
      if (!(await verifyEmail(request.body.token, clientFacts(request)))) return sendProblem(reply, 'link_invalid')
      return { message: 'the address is verified' }
    },
  )

  app.post<{ Body: Static<typeof ResetPasswordBody> }>(
    '/auth/reset-password',
    {
      schema: {
        tags,
        summary: 'Set a new password with the token of a mailed link; every session ends',
        body: ResetPasswordBody,
        response: { 200: LogoutAnswer, 202: LogoutAnswer, ...problems },
      },
    },
    async (request, reply) => {
      const { token, password } = request.body
      const result = await resetPassword({ token, password, client: clientFacts(request) })
      if (!result.ok) return sendProblem(reply, result.code, 'errors' in result ? { errors: result.errors } : {})
      return sendEnded(reply, result.ended, 'the password is set and all sessions have ended')
    },
  )
}
