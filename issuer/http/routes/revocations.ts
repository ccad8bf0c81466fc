import { createHash, timingSafeEqual } from 'node:crypto'
import type { Writable } from 'node:stream'
import type { FastifyInstance, FastifyReply } from 'fastify'
import { PROBLEM_TYPE, type ProblemCode, problemDocument } from '../../../shared/problem.ts'

/** The feed as this route needs it. */
export interface RevocationStream {
  subscribe(out: Writable, lastEventId?: string): void
  close(): void
}

export interface RevocationRoutes {
  stream: RevocationStream
  /** The credential of the sidecars; without one the feed is off. */
  feedToken: string | undefined
}

/**
 * `GET /revocations`: the feed as Server-Sent Events (HTML Living Standard, section 9.2), for whoever has the bearer
 * credential. Every stream ends when the server closes.
 */
export function addRevocationRoutes(app: FastifyInstance, { stream, feedToken }: RevocationRoutes): void {
  const expected = feedToken === undefined ? undefined : sha256(`Bearer ${feedToken}`)
  app.addHook('preClose', async () => stream.close())
  // No HEAD: it would open a stream that nobody reads.
  app.get('/revocations', { exposeHeadRoute: false, schema: { hide: true } as object }, (request, reply) => {
    if (!expected) return refuse(reply, 'not_found')
    if (!timingSafeEqual(sha256(request.headers.authorization ?? ''), expected)) {
      return refuse(reply.header('www-authenticate', 'Bearer realm="sallyport"'), 'token_invalid')
    }
    const lastEventId = request.headers['last-event-id']
    reply.hijack()
    reply.raw.writeHead(200, {
      'content-type': 'text/event-stream',
      'cache-control': 'no-store',
      // Proxies that buffer would hold events back.
      'x-accel-buffering': 'no',
    })
    reply.raw.flushHeaders()
    stream.subscribe(reply.raw, typeof lastEventId === 'string' ? lastEventId.slice(0, 256) : undefined)
  })
}

function refuse(reply: FastifyReply, code: ProblemCode): FastifyReply {
  const problem = problemDocument(code)
  return reply.code(problem.status).header('cache-control', 'no-store').type(PROBLEM_TYPE).send(JSON.stringify(problem))
}

/** Comparing digests takes the same time whatever differs, the length included. */
function sha256(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}
