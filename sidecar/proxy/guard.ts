import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Clock } from '../../shared/clock.ts'
import type { Log } from '../../shared/log.ts'
import { type Decision, type DecisionState, decide, type RequestFacts } from '../domain/decide.ts'
import type { Route } from '../domain/route.ts'
import { deny } from './denials.ts'
import { Exchange } from './exchange.ts'
import type { OpenStreams } from './open-streams.ts'
import { peerAddress } from './peer.ts'
import { announcesMoreThan } from './request-body.ts'
import type { RequestMetrics } from './request-metrics.ts'

/** Asks the issuer for keys. */
export interface KeyLookUp {
  lookUp(kid: string): Promise<'known' | 'absent' | 'unavailable'>
}

export interface GuardParts {
  state: DecisionState
  keys: KeyLookUp
  openStreams: OpenStreams
  metrics: RequestMetrics
  clock: Clock
  log: Log
}

/**
 * Decides about a request. One that is refused is answered here; one that is admitted is entered in the open streams and
 * goes on with `proceed`.
 */
export type Guard = (request: IncomingMessage, response: ServerResponse, proceed: (exchange: Exchange) => void) => void

/** How often it is logged that requests are served without knowing what was revoked; all are counted: milliseconds. */
const STALE_REPORT_MS = 60_000

type Refusal = Extract<Decision, { allow: false }>

const NOT_HTTP_1: Refusal = { allow: false, code: 'invalid_request', reason: 'http_version', route: undefined }

export function createGuard({ state, keys, openStreams, metrics, clock, log }: GuardParts): Guard {
  const onClose = (exchange: Exchange) => {
    openStreams.done(exchange)
    const { admitted, outcome, reason, startedAt } = exchange
    // How long a tunnel was open says nothing about how fast answers come.
    metrics.count(admitted.route.name, outcome, reason, exchange.isTunnel ? undefined : performance.now() - startedAt)
  }

  let staleReportedMs = Number.NEGATIVE_INFINITY
  const reportStale = (route: Route, nowMs: number) => {
    metrics.stale(route.name)
    if (Math.abs(nowMs - staleReportedMs) < STALE_REPORT_MS) return
    staleReportedMs = nowMs
    log.warn({ route: route.name }, 'serving without knowing what was revoked')
  }

  const refuse = (request: IncomingMessage, response: ServerResponse, refusal: Refusal, startedAt: number) => {
    const { reason, route } = refusal
    const code = reason === 'method' ? 'method_not_allowed' : refusal.code
    const name = route?.name ?? 'none'
    metrics.count(name, 'denied', reason, performance.now() - startedAt)
    log.info({ route: name, code, reason, peer: peerAddress(request.socket) }, 'request refused')
    deny(request, response, code, reason === 'scope_missing' ? { scopes: route?.scopes } : {})
  }

  return (request, response, proceed) => {
    const startedAt = performance.now()
    const facts = factsOf(request)

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

    const nowMs = clock.now()
    // HTTP/0.9 has no fields and so no token; only the parser still knows it.
    const decision = request.httpVersionMajor === 1 ? decide(facts, state, nowMs) : NOT_HTTP_1
    if (decision.allow || decision.missingKid === undefined) {
      settle(decision, nowMs)
      return
    }
    const settleUnknownKey = (found: 'known' | 'absent' | 'unavailable') => {
      const laterMs = clock.now()
      if (found === 'known') settle(decide(facts, state, laterMs), laterMs)
      // The issuer was asked and has no such key: the token is none of its own.
      else if (found === 'absent') settle({ ...decision, code: 'token_invalid', reason: 'key_absent' }, laterMs)
      else settle(decision, laterMs)
    }
    keys
      .lookUp(decision.missingKid)
      .then(settleUnknownKey, () => settleUnknownKey('unavailable'))
      .catch((err) => {
        log.error({ err }, 'a request failed here')
        request.socket.destroy()
      })
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
