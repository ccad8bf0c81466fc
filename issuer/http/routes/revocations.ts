import { createHash, timingSafeEqual } from 'node:crypto'
import type { OutgoingHttpHeaders } from 'node:http'
import type { Writable } from 'node:stream'
import { Type } from '@sinclair/typebox'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { LedgerDigest } from '../../../shared/revocation-digest.ts'
import { sendProblem } from '../problems.ts'
import { exactly } from '../schemas.ts'

/** The feed as this route needs it. */
export interface RevocationStream {
  subscribe(out: Writable, lastEventId?: string): void
  close(): void
}

export interface RevocationRoutes {
  stream: RevocationStream
  /** The digest of what the ledger had before `cut`: seconds. */
  digest(
    cut: number,
  ): { ok: true; digest: Promise<LedgerDigest> } | { ok: false; code: 'invalid_request' | 'overloaded' }
  /** The credentials of the sidecars, each of which is enough: two while it is being changed. Without one the feed is off. */
  feedTokens: readonly string[]
}

/** The instant that sidecars have agreed on: seconds since the Unix epoch. */
const NO_CUT = 'querystring/cut: in the future, or too far back'
const DigestQuery = exactly({
  cut: Type.String({ pattern: '^[1-9][0-9]{0,11}$', description: 'a whole number of seconds since the Unix epoch' }),
})

/**
 * For whoever has the bearer credential:
 * `GET /revocations`: the feed as Server-Sent Events (HTML Living Standard, section 9.2). Every stream ends when the
 * server closes.
 * `GET /revocations/digest`: what a sidecar compares its list with, so that what the feed has lost is found.
 */
export function addRevocationRoutes(app: FastifyInstance, { stream, digest, feedTokens }: RevocationRoutes): void {
  const expected = feedTokens.map((token) => sha256(`Bearer ${token}`))
  app.addHook('preClose', async () => stream.close())

  // Before anything of the request is looked at.
  const onRequest = async (request: FastifyRequest, reply: FastifyReply) => {
    if (expected.length === 0) return sendProblem(reply, 'not_found')
    const { authorization } = request.headers
    if (authorization === undefined) return sendProblem(reply, 'token_missing')
    const given = sha256(authorization)
    if (!expected.some((digest) => timingSafeEqual(given, digest))) return sendProblem(reply, 'token_invalid')
  }
  // No HEAD: it would open a stream that nobody reads.
  const common = { exposeHeadRoute: false, onRequest }

  app.get('/revocations', { ...common, schema: { hide: true } as object }, (request, reply) => {
    const lastEventId = request.headers['last-event-id']
    reply.hijack()
    reply.raw.writeHead(200, {
      ...(reply.getHeaders() as OutgoingHttpHeaders),
      'content-type': 'text/event-stream',
      'cache-control': 'no-store',
      // Proxies that buffer would hold events back.
      'x-accel-buffering': 'no',
    })
    reply.raw.flushHeaders()
    stream.subscribe(reply.raw, typeof lastEventId === 'string' ? lastEventId.slice(0, 256) : undefined)
  })

  const schema = { hide: true, querystring: DigestQuery } as object
  app.get<{ Querystring: { cut: string } }>('/revocations/digest', { ...common, schema }, async (request, reply) => {
    const asked = digest(Number(request.query.cut))
    if (!asked.ok) return sendProblem(reply, asked.code, asked.code === 'invalid_request' ? { errors: [NO_CUT] } : {})
    return reply.header('cache-control', 'no-store').send(await asked.digest)
  })
}

/** Comparing digests takes the same time whatever differs, the length included. */
function sha256(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}
