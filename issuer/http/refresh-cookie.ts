import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Clock } from '../../shared/clock.ts'

/** How a refresh token travels: as a cookie that scripts can't read, or in the body for clients that have none. */
export type Transport = 'cookie' | 'body'

/** The refresh token of a request, and how it came; the answer goes the same way. */
export type RefreshCredential =
  | { ok: true; token: string; transport: Transport }
  | { ok: true; token: undefined; transport: undefined }
  | { ok: false }

export interface RefreshCookie {
  /** @returns not ok when the request carries two that differ */
  read(request: FastifyRequest, fromBody: string | undefined): RefreshCredential
  /** @param expiresAt when the token is void: milliseconds since the Unix epoch */
  set(reply: FastifyReply, token: string, expiresAt: number): void
  clear(reply: FastifyReply): void
}

/**
 * `__Host-` binds the cookie to this very host over TLS (RFC 6265bis section 4.1.3.2). Browsers take that on plain http
 * for no host, so a developer's loopback has a cookie of another name.
 */
export function createRefreshCookie(secure: boolean, clock: Clock): RefreshCookie {
  const name = secure ? '__Host-refresh_token' : 'refresh_token'
  const attributes = { path: '/', httpOnly: true, secure, sameSite: 'strict' } as const
  return {
    read(request, fromBody) {
      // A second cookie of the name can only have been planted; which one a parser takes is chance.
      const count = (request.headers.cookie ?? '').split(';').filter((pair) => pair.split('=', 1)[0]!.trim() === name)
      const cookie = request.cookies[name] || undefined
      if (count.length > 1 || (cookie !== undefined && fromBody !== undefined && cookie !== fromBody)) {
        return { ok: false }
      }
      if (cookie !== undefined) return { ok: true, token: cookie, transport: 'cookie' }
      if (fromBody !== undefined) return { ok: true, token: fromBody, transport: 'body' }
      return { ok: true, token: undefined, transport: undefined }
    },
    set(reply, token, expiresAt) {
      const maxAge = Math.max(0, Math.floor((expiresAt - clock.now()) / 1000))
      reply.setCookie(name, token, { ...attributes, maxAge })
    },
    clear: (reply) => void reply.clearCookie(name, attributes),
  }
}
