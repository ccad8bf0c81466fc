import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Clock } from '../../shared/clock.ts'
import type { Log } from '../../shared/log.ts'
import { type Decision, type DecisionState, decide, type RequestFacts } from '../domain/decide.ts'
import type { Route } from '../domain/route.ts'
import { deny } from './denials.ts'
import { peerAddress } from './peer.ts'
import type { Door, RequestMetrics } from './request-metrics.ts'

/** Asks the issuer for keys. */
export interface KeyLookUp {
  lookUp(kid: string): Promise<'known' | 'absent' | 'unavailable'>
}

export interface VerdictParts {
  state: DecisionState
  keys: KeyLookUp
  metrics: RequestMetrics
  clock: Clock
  log: Log
}

export type Refusal = Extract<Decision, { allow: false }>

/** What both doors do about a request: decide, refuse, and say so. */
export interface Verdicts {
  /**
   * Decides at once, or, where the key of the token is not known, when the issuer has been asked for it.
   * @param settle told in the very turn in which it is decided: nothing waits between a decision and what follows from
   * it, or a revocation between the two would be missed
   * @param onError told when `settle` failed after waiting
   */
  reach(facts: RequestFacts, settle: (decision: Decision, nowMs: number) => void, onError: () => void): void
  /** Answers a request that is refused, counts it and logs why. @param startedAt milliseconds of the monotonic clock */
  refuse(request: IncomingMessage, response: ServerResponse, refusal: Refusal, startedAt: number): void
  /** Counts, and logs now and then, that a request is served without knowing what was revoked. */
  reportStale(route: Route, nowMs: number): void
}

/** How often it is logged that requests are served without knowing what was revoked; all are counted: milliseconds. */
const STALE_REPORT_MS = 60_000

export function createVerdicts({ state, keys, metrics, clock, log }: VerdictParts, door: Door): Verdicts {
  let staleReportedMs = Number.NEGATIVE_INFINITY
  return {
    reach(facts, settle, onError) {
      const nowMs = clock.now()
      const decision = decide(facts, state, nowMs)
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
          onError()
        })
    },

    refuse(request, response, { code, reason, route }, startedAt) {
      const name = route?.name ?? 'none'
      metrics.count(name, 'denied', reason, performance.now() - startedAt, door)
      log.info({ door, route: name, code, reason, peer: peerAddress(request.socket) }, 'request refused')
      deny(request, response, code, reason === 'scope_missing' ? { scopes: route?.scopes } : {})
    },

    reportStale(route, nowMs) {
      metrics.stale(route.name)
      if (Math.abs(nowMs - staleReportedMs) < STALE_REPORT_MS) return
      staleReportedMs = nowMs
      log.warn({ route: route.name }, 'serving without knowing what was revoked')
    },
  }
}
