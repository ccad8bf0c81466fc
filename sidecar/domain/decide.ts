import type { AccessClaims } from '../../shared/access-token.ts'
import { readBearer } from '../../shared/bearer.ts'
import type { ProblemCode } from '../../shared/problem.ts'
import type { Freshness } from './freshness.ts'
import { checkPolicy } from './policy.ts'
import type { RevocationList } from './revocation-list.ts'
import type { Route } from './route.ts'
import type { RouteTable } from './routes.ts'
import { readTarget } from './target.ts'
import type { Verifier } from './verify.ts'

/** A request as plain values; no framework's object gets this far. */
export interface RequestFacts {
  method: string
  /** The request target, byte for byte as it was sent. */
  target: string
  /** Names and values in turn, as received. */
  rawHeaders: readonly string[]
}

/** Who the request comes from. */
export interface Identity {
  claims: AccessClaims
  /** The key that signed the token. */
  kid: string
}

export type Decision =
  | {
      allow: true
      route: Route
      /** What was matched, which is what is forwarded. */
      target: string
      identity: Identity | undefined
      /** Served although it can't be known whether the token was revoked: the route's policy is `open`. */
      stale: boolean
    }
  | {
      allow: false
      code: ProblemCode
      /** For the log and the metrics, never for the client. */
      reason: string
      route: Route | undefined
      /** The key that was not known: fetching keys may change the decision. */
      missingKid?: string
    }

/** What decisions rest on. Every part answers at once: nothing here waits. */
export interface DecisionState {
  routes: RouteTable
  verifier: Verifier
  revocations: RevocationList
  freshness: Freshness
}

/**
 * Decides about one request: target, route, bearer, verify, revoked?, fresh?, policy.
 * @param nowMs the present: milliseconds
 */
export function decide(request: RequestFacts, state: DecisionState, nowMs: number): Decision {
  const target = readTarget(request.method, request.target)
  if (!target.ok) {
    const code = target.reason === 'method' ? 'method_not_allowed' : 'invalid_target'
    return { allow: false, code, reason: target.reason, route: undefined }
  }

  const route = state.routes.match(request.method, target.path)
  const deny = (code: ProblemCode, reason: string, missingKid?: string): Decision => ({
    allow: false,
    code,
    reason,
    route,
    ...(missingKid !== undefined && { missingKid }),
  })
  const allow = (identity: Identity | undefined, stale: boolean): Decision => ({
    allow: true,
    route,
    target: target.value,
    identity,
    stale,
  })
  if (route.access === 'public') return allow(undefined, false)

  const bearer = readBearer(request.rawHeaders)
  if (!bearer.ok) return deny('token_invalid', bearer.reason)
  if (bearer.token === undefined) {
    return route.access === 'optional' ? allow(undefined, false) : deny('token_missing', 'token_missing')
  }

  const verified = state.verifier.verify(bearer.token, nowMs)
  if (!verified.ok) {
    if (verified.refusal !== 'key_unknown') return deny('token_invalid', verified.refusal)
    // A revoked key is no longer in the ring, but that is a verdict: the client has to get another token.
    return verified.kid !== undefined && state.revocations.revokesKey(verified.kid)
      ? deny('token_invalid', 'token_revoked')
      : deny('keys_unavailable', 'key_unknown', verified.kid)
  }

  const { claims, kid } = verified
  if (state.revocations.revokes(claims, kid)) return deny('token_invalid', 'token_revoked')

  const stale = !state.freshness.isFresh(nowMs)
  if (stale && route.staleness === 'closed') return deny('revocations_stale', 'revocations_stale')

  const objection = checkPolicy(route, claims)
  return objection ? deny('forbidden', objection) : allow({ claims, kid }, stale)
}
