import type { TLSSocket } from 'node:tls'
import { Pool } from 'undici'
import type { Log } from '../../shared/log.ts'
import type { Exchange } from './exchange.ts'
import { peerAddress } from './peer.ts'
import { bodyOf, hasBody } from './request-body.ts'
import type { createRequestHeaders } from './request-headers.ts'
import type { RequestMetrics } from './request-metrics.ts'
import { UpstreamAnswer } from './upstream-answer.ts'

/**
 * How long an idle connection to the upstream is kept: milliseconds. Shorter than any common server keeps it (gunicorn's
 * 2 s is the shortest), so that it is this side that closes. undici also looks for a close that has already arrived
 * before it uses a connection again. Nothing is ever sent a second time: whether the upstream has acted on what it was
 * sent can't be known from here.
 */
const KEEP_ALIVE_MS = 1500
const CONNECT_TIMEOUT_MS = 5000

/**
 * The connections to the upstream. Their number is not limited: each belongs to a request that a client is waiting for,
 * and one that queued here behind event streams would wait for ever. Certificates are verified, which is undici's own
 * default and not that of @fastify/reply-from.
 * @param origin scheme, host and port
 */
export function createUpstream(origin: string): Pool {
  return new Pool(origin, {
    connections: null,
    pipelining: 1,
    keepAliveTimeout: KEEP_ALIVE_MS,
    keepAliveMaxTimeout: KEEP_ALIVE_MS,
    keepAliveTimeoutThreshold: 500,
    // A stream may be silent for as long as it likes; the client's end or a revocation ends it.
    bodyTimeout: 0,
    connect: { timeout: CONNECT_TIMEOUT_MS },
  })
}

export interface ForwardParts {
  upstream: Pool
  requestHeaders: ReturnType<typeof createRequestHeaders>
  metrics: RequestMetrics
  isDraining(): boolean
  log: Log
}

/**
 * Sends an admitted request to the upstream and its answer to the client.
 * @param upgrade asks the upstream for another protocol on the connection
 */
export type Forward = (exchange: Exchange, upgrade?: 'websocket') => void

export function createForward({ upstream, requestHeaders, metrics, isDraining, log }: ForwardParts): Forward {
  const answerParts = {
    isDraining,
    onUpstreamError(code: string, err: Error, { admitted }: Exchange) {
      metrics.upstreamError(code)
      log.warn({ err, route: admitted.route.name }, 'the upstream failed')
    },
  }

  return (exchange, upgrade) => {
    const { request, response, admitted } = exchange
    const { route, target, identity } = admitted
    const { socket } = request
    const peer = { address: peerAddress(socket), encrypted: (socket as TLSSocket).encrypted === true }
    const made = requestHeaders(request.rawHeaders, peer, identity)
    if (!made.ok) {
      exchange.fail('invalid_request', 'denied', made.reason)
      return
    }
    const answer = new UpstreamAnswer(exchange, answerParts)
    const body = hasBody(request) ? bodyOf(request, route.bodyLimit) : null
    if (body) {
      request.once('end', () => answer.startTimer(route.timeoutMs))
      // Only now is the client asked to send it (RFC 9110 section 10.1.1).
      if (request.headers.expect !== undefined) response.writeContinue()
    }
    upstream.dispatch(
      {
        method: request.method as 'GET',
        path: target,
        headers: made.headers,
        body,
        upgrade,
        headersTimeout: body ? 0 : route.timeoutMs,
      },
      answer,
    )
  }
}
