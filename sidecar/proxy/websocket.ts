import { type IncomingMessage, type Server, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { Log } from '../../shared/log.ts'
import { deny } from './denials.ts'
import type { Forward } from './forward.ts'
import type { Guard } from './guard.ts'
import type { Pipelining } from './pipelining.ts'
import { hasBody } from './request-body.ts'

export interface UpgradeParts {
  guard: Guard
  forward: Forward
  pipelining: Pipelining
  onRefused(reason: string): void
  log: Log
}

/**
 * Takes over the server's upgrades. They go the way of every other request: the same decision, the same fields, the same
 * connections to the upstream, whose answer the client gets, be it 101 or a refusal. Only then are the two sockets
 * joined, see tunnel.ts.
 *
 * The WebSocket support of @fastify/http-proxy is not used: it answers 101 and chooses the subprotocol before the
 * upstream was asked, so that a refusal or another choice of the upstream becomes a broken connection; it takes whole
 * messages (up to 100 MiB) into memory and reads on while the other side does not keep up; and what it sends on is a
 * parsed and rebuilt URL.
 */
export function acceptUpgrades(server: Server, { guard, forward, pipelining, onRefused, log }: UpgradeParts): void {
  // It is the client's socket, or a stream over it while a body is still to come.
  server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    // Its errors end in 'close', which is what everything waits for.
    socket.on('error', () => socket.destroy())
    if (pipelining.afterAnswers(request, () => answer(request, socket, head))) onRefused('upgrade')
  })

  const answer = (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    const response = new ServerResponse(request)
    response.shouldKeepAlive = false
    response.assignSocket(socket as Socket)
    response.once('finish', () => socket.end(() => socket.destroy()))
    if (!isWebSocketHandshake(request)) {
      onRefused('upgrade')
      deny(request, response, 'invalid_request')
      return
    }
    if (head.length > 0) socket.unshift(head)
    try {
      guard(request, response, (exchange) => forward(exchange, 'websocket'))
    } catch (err) {
      // Nobody else would catch it, and the process would end.
      log.error({ err }, 'a request failed here')
      socket.destroy()
    }
  }
}

/** RFC 6455 section 4.1. Every other upgrade is refused: what is spoken after it nobody here would understand. */
function isWebSocketHandshake(request: IncomingMessage): boolean {
  const { method, httpVersion, headers } = request
  return (
    method === 'GET' && httpVersion === '1.1' && headers.upgrade?.toLowerCase() === 'websocket' && !hasBody(request)
  )
}
