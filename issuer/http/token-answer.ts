import type { FastifyReply } from 'fastify'
import type { Clock } from '../../shared/clock.ts'
import type { Tokens } from '../domain/issue-tokens.ts'
import { publicUser, type User } from '../domain/user.ts'
import type { RefreshCookie, Transport } from './refresh-cookie.ts'

/** Answers with tokens: the access token in the body and the `Authorization` header, the refresh token one way only. */
export type SendTokens = (
  reply: FastifyReply,
  status: number,
  tokens: Tokens,
  transport: Transport,
  user?: User,
) => FastifyReply

export function createSendTokens(cookie: RefreshCookie, clock: Clock): SendTokens {
  return (reply, status, tokens, transport, user) => {
    if (transport === 'cookie') cookie.set(reply, tokens.refreshToken, tokens.refreshExpiresAt)
    return reply
      .code(status)
      .header('cache-control', 'no-store')
      .header('authorization', `Bearer ${tokens.accessToken}`)
      .send({
        access_token: tokens.accessToken,
        token_type: 'Bearer',
        expires_in: tokens.expiresInS,
        ...(transport === 'body' && { refresh_token: tokens.refreshToken }),
        refresh_expires_in: Math.max(0, Math.floor((tokens.refreshExpiresAt - clock.now()) / 1000)),
        ...(user && { user: publicUser(user) }),
      })
  }
}
