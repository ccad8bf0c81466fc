import type { TLSSocket } from 'node:tls'
import { expected, type Log } from '../../shared/log.ts'
import type { Exchange } from './exchange.ts'
import { peerAddress } from './peer.ts'
import { bodyOf, hasBody } from './request-body.ts'
import type { createRequestHeaders } from './request-headers.ts'
import type { RequestMetrics } from './request-metrics.ts'
import { UpstreamAnswer } from './upstream-answer.ts'
import type { Upstreams } from './upstreams.ts'

export interface ForwardParts {
  upstreams: Upstreams
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

export function createForward({ upstreams, requestHeaders, metrics, isDraining, log }: ForwardParts): Forward {
  const answerParts = {
    isDraining,
    onUpstreamError(code: string, err: Error, { admitted }: Exchange) {
      metrics.upstreamError(code)
      log.warn({ err: expected(err), route: admitted.route.name }, 'the upstream failed')
    },
  }

  return (exchange, upgrade) => {
    const { request, response, admitted } = exchange
    const { route, target, identity } = admitted
    const connections = upstreams.of(route)
    if (upgrade && !connections.carriesUpgrades) {
      exchange.fail('invalid_request', 'denied', 'upgrade_to_http2')
      return
    }
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
    connections.dispatch(
      {
        method: request.method!,
        path: target,
        headers: made.headers,
        body,
        upgrade,
        headersTimeout: body ? 0 : route.timeoutMs,
        servername: undefined,
      },
      answer,
    )
  }
}
