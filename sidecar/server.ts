import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { ServerOptions as TlsServerOptions } from 'node:https'
import type { Duplex } from 'node:stream'
import httpProxy from '@fastify/http-proxy'
import Fastify, { type FastifyInstance, type FastifyRequest } from 'fastify'
import type { Clock } from '../shared/clock.ts'
import { closeServer, spareUnsentAnswers } from '../shared/close-server.ts'
import { pause } from '../shared/lifecycle.ts'
import type { Log } from '../shared/log.ts'
import { NO_SCHEMAS } from '../shared/no-schemas.ts'
import { giveUpStalledClients } from '../shared/stalled-clients.ts'
import type { DecisionState } from './domain/decide.ts'
import { METHODS } from './domain/target.ts'
import { createClientErrorHandler } from './proxy/client-errors.ts'
import { denialText } from './proxy/denials.ts'
import type { Exchange } from './proxy/exchange.ts'
import { createForward } from './proxy/forward.ts'
import { createGuard } from './proxy/guard.ts'
import type { OpenStreams } from './proxy/open-streams.ts'
import { createPipelining } from './proxy/pipelining.ts'
import { createRequestHeaders, type RequestHeaderRules } from './proxy/request-headers.ts'
import type { RequestMetrics } from './proxy/request-metrics.ts'
import type { Upstreams } from './proxy/upstreams.ts'
import type { KeyLookUp } from './proxy/verdict.ts'
import { acceptUpgrades } from './proxy/websocket.ts'

/** What a client may take its time with: milliseconds. */
export interface ClientTimeouts {
  /** For the head of a request. */
  headersMs: number
  /** For the whole of a request, its body included. */
  requestMs: number
  /** For taking the next part of an answer that waits for it. */
  stallMs: number
  /** How often the first two are looked at. */
  checkMs: number
}

export interface ProxyParts {
  state: DecisionState
  keys: KeyLookUp
  upstreams: Upstreams
  /** For HTTPS; without it the proxy speaks plain HTTP. */
  tls?: TlsServerOptions | undefined
  headerRules: RequestHeaderRules
  openStreams: OpenStreams
  metrics: RequestMetrics
  timeouts: ClientTimeouts
  isDraining(): boolean
  clock: Clock
  log: Log
}

/** The largest head of a request, all fields and the target together: bytes. */
const MAX_HEAD_BYTES = 16 * 1024
/** Longer than the load balancers before it keep an idle connection (60 s), so that it is they who close. */
const KEEP_ALIVE_MS = 72_000
/** What is left this long after it was ended is cut: milliseconds. */
const CUT_AFTER_MS = 1500

interface AdmittedRequest extends FastifyRequest {
  exchange: Exchange | undefined
}

/**
 * The general lane. The way of a request: Node reads it (client-errors.ts answers what is not HTTP), the guard decides,
 * the request is forwarded, and the answer is written as it comes.
 *
 * @fastify/http-proxy carries the lane with a `handler` of our own in place of its `reply.from`, which parses and rebuilds
 * the target, asks again after a 503, leaves upstream requests running when clients go, sends no body with GET, and tells
 * the client the upstream's address.
 */
export function buildProxy(parts: ProxyParts): FastifyInstance {
  const { metrics, log } = parts
  const guard = createGuard(parts)
  const forward = createForward({ ...parts, requestHeaders: createRequestHeaders(parts.headerRules) })
  const pipelining = createPipelining()
  const countUnread = (reason: string) => metrics.count('none', 'denied', reason)

  const serverOptions = {
    maxHeaderSize: MAX_HEAD_BYTES,
    headersTimeout: parts.timeouts.headersMs,
    connectionsCheckingInterval: parts.timeouts.checkMs,
    insecureHTTPParser: false,
  }
  const tls = parts.tls && { ...serverOptions, ...parts.tls, handshakeTimeout: parts.timeouts.headersMs }
  const app = Fastify({
    ...NO_SCHEMAS,
    // Every request has one route here: the router is not to decode, match or refuse anything before the guard has.
    rewriteUrl: () => '/',
    return503OnClosing: false,
    keepAliveTimeout: KEEP_ALIVE_MS,
    requestTimeout: parts.timeouts.requestMs,
    clientErrorHandler: createClientErrorHandler(countUnread),
    ...(tls ? { https: tls } : { http: serverOptions }),
  }) as FastifyInstance
  const server = app.server as Server
  // Node drops the fields beyond this number unseen (CVE-2026-58044); the head's size bounds them already.
  server.maxHeadersCount = 0
  giveUpStalledClients(server, parts.timeouts.stallMs)
  spareUnsentAnswers(server)

  // Bodies are nobody's business here: no method has one that Fastify would read or judge by its content type.
  for (const method of METHODS) app.addHttpMethod(method, { hasBody: false, overrideExisting: true })

  app.decorateRequest('exchange', undefined)
  app.addHook('onRequest', (request, reply, done) => {
    const decide = () =>
      guard(request.raw, reply.raw, (exchange) => {
        ;(request as AdmittedRequest).exchange = exchange
        done()
      })
    if (!pipelining.inTurn(request.raw, reply.raw, decide)) countUnread('pipelined')
  })
  app.register(httpProxy, {
    // Asked for, but not used.
    upstream: 'http://localhost',
    routes: ['/'],
    httpMethods: [...METHODS],
    proxyPayloads: false,
    handler: (request, reply) => {
      reply.hijack()
      forward((request as AdmittedRequest).exchange!)
    },
  })
  app.setErrorHandler((err, _request, reply) => {
    log.error({ err }, 'a request failed here')
    reply.raw.destroy()
  })

  acceptUpgrades(server, { guard, forward, pipelining, onRefused: countUnread, log })
  server.on('checkContinue', (request: IncomingMessage, response: ServerResponse) => app.routing(request, response))
  server.on('connect', (request: IncomingMessage, socket: Duplex) => {
    countUnread('method')
    // Node has let go of this socket: an error that nobody listens to would end the process.
    socket.on('error', () => socket.destroy())
    pipelining.afterAnswers(request, () => socket.end(denialText('method_not_allowed'), () => socket.destroy()))
  })
  return app
}

export interface DrainTimes {
  /** How long connections are still accepted, while load balancers take note: milliseconds. */
  delayMs: number
  /** How long what is open then has to finish: milliseconds. */
  deadlineMs: number
}

/**
 * Ends the proxy in good order: goes on accepting for a while, then accepts no more and lets what is open finish; what
 * has not by the deadline is ended, WebSockets with 1001.
 */
export async function drain(app: FastifyInstance, openStreams: OpenStreams, times: DrainTimes): Promise<void> {
  await pause(times.delayMs)
  const deadline = setTimeout(() => {
    openStreams.endAll('draining')
    setTimeout(() => app.server.closeAllConnections(), CUT_AFTER_MS).unref()
  }, times.deadlineMs)
  await closeServer(app)
  clearTimeout(deadline)
}
