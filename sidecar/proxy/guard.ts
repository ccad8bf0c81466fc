import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Decision, RequestFacts } from '../domain/decide.ts'
import { Exchange } from './exchange.ts'
import type { OpenStreams } from './open-streams.ts'
import { announcesMoreThan } from './request-body.ts'
import { createVerdicts, type Refusal, type VerdictParts } from './verdict.ts'

export interface GuardParts extends VerdictParts {
  openStreams: OpenStreams
}

/**
 * Decides about a request. One that is refused is answered here; one that is admitted is entered in the open streams and
 * goes on with `proceed`.
 */
export type Guard = (request: IncomingMessage, response: ServerResponse, proceed: (exchange: Exchange) => void) => void

const NOT_HTTP_1: Refusal = { allow: false, code: 'invalid_request', reason: 'http_version', route: undefined }

export function createGuard({ openStreams, ...parts }: GuardParts): Guard {
  const { metrics, clock } = parts
  const { reach, refuse, reportStale } = createVerdicts(parts, 'proxy')
  const onClose = (exchange: Exchange) => {
    openStreams.done(exchange)
    const { admitted, outcome, reason, startedAt } = exchange
    // How long a tunnel was open says nothing about how fast answers come.
    metrics.count(admitted.route.name, outcome, reason, exchange.isTunnel ? undefined : performance.now() - startedAt)
  }

  return (request, response, proceed) => {
    const startedAt = performance.now()

    // From the decision to the entry in the open streams nothing may wait: a revocation between them would be missed.
    const settle = (decision: Decision, nowMs: number) => {
      if (request.socket.destroyed) return
      if (!decision.allow) {
        refuse(request, response, decision, startedAt)
        return
      }
      const { route, stale } = decision
      if (announcesMoreThan(request, route.bodyLimit)) {
        const refusal: Refusal = { allow: false, code: 'payload_too_large', reason: 'body_announced', route }
        refuse(request, response, refusal, startedAt)
        return
      }
      if (stale) reportStale(route, nowMs)
      const exchange = new Exchange(request, response, decision, nowMs, onClose)
      openStreams.open(exchange)
      proceed(exchange)
    }

    // HTTP/0.9 has no fields and so no token; only the parser still knows it.
    if (request.httpVersionMajor === 1) reach(factsOf(request), settle, () => request.socket.destroy())
    else settle(NOT_HTTP_1, clock.now())
  }
}

/** A request whose `url` Fastify's `rewriteUrl` has replaced. */
interface RewrittenRequest extends IncomingMessage {
  originalUrl?: string
}

/** The request as plain values; the target is what the client sent. */
function factsOf(request: RewrittenRequest): RequestFacts {
  return {
    method: request.method ?? '',
    target: request.originalUrl ?? request.url ?? '',
    rawHeaders: request.rawHeaders,
  }
}
