import type { IncomingMessage, ServerResponse } from 'node:http'
import type { AccessClaims } from '../../shared/access-token.ts'
import { type IdentityHeaderNames, identityHeaders } from '../../shared/identity-headers.ts'
import type { ProblemCode } from '../../shared/problem.ts'
import { readOriginalRequest } from '../domain/original-request.ts'
import { endUnread } from './denials.ts'
import { createForgeryFinder } from './forgeries.ts'
import { type IsTrusted, peerAddress } from './peer.ts'
import { isBodyPending } from './request-body.ts'
import { createVerdicts, type VerdictParts } from './verdict.ts'

export interface ForwardAuthParts extends VerdictParts {
  identityHeaders: IdentityHeaderNames
  /** Whose questions are answered. */
  isTrusted: IsTrusted
}

/** Answers one question. @param target of the question, as it was sent */
export type ForwardAuth = (request: IncomingMessage, response: ServerResponse, target: string) => void

const PATH = '/verify'

/** Whether a request to the admin port is a question of a proxy's. */
export function isForwardAuth(target: string): boolean {
  return target === PATH || target.startsWith(`${PATH}/`) || target.startsWith(`${PATH}?`)
}

/**
 * The second door: a proxy asks about each request before it forwards it (Envoy's ext_authz, nginx's `auth_request`,
 * Traefik's ForwardAuth, Caddy's `forward_auth`), and gets the same decision and the same identity headers as a request
 * through the proxy lane. 200 lets the request in; everything else refuses it. A body is not looked at.
 *
 * The request itself does not come by here, so nothing can be taken out of it. Two things keep a client's own identity
 * headers from the service: a question that carries one, under whatever alias, is refused; and the answer has every
 * identity header, empty where there is nothing to say, so that a proxy that copies them overwrites (CVE-2026-30851,
 * CVE-2026-88011).
 */
export function createForwardAuth({ identityHeaders: names, isTrusted, ...parts }: ForwardAuthParts): ForwardAuth {
  const { metrics, log } = parts
  const verdicts = createVerdicts(parts, 'forward_auth')
  const forgeryIn = createForgeryFinder(names)
  const fieldsOf = createAnswerFields(names)

  const answer: ForwardAuth = (request, response, target) => {
    const startedAt = performance.now()
    const { method = '', rawHeaders } = request
    const refuse = (code: ProblemCode, reason: string) =>
      verdicts.refuse(request, response, { allow: false, code, reason, route: undefined }, startedAt)

    if (!isTrusted(peerAddress(request.socket))) return refuse('forbidden', 'caller_untrusted')
    const forgery = forgeryIn(rawHeaders)
    if (forgery !== undefined) return refuse('invalid_request', forgery)
    const own = { method, target: target.startsWith(`${PATH}/`) ? target.slice(PATH.length) : undefined }
    const original = readOriginalRequest(own, rawHeaders)
    if (!original.ok) return refuse('invalid_request', original.reason)

    verdicts.reach(
      { method: original.method, target: original.target, rawHeaders },
      (decision, nowMs) => {
        if (request.socket.destroyed) return
        if (!decision.allow) {
          verdicts.refuse(request, response, decision, startedAt)
          return
        }
        const { route, stale, identity } = decision
        if (stale) verdicts.reportStale(route, nowMs)
        metrics.count(route.name, 'served', '', performance.now() - startedAt, 'forward_auth')
        admit(request, response, fieldsOf(identity?.claims))
      },
      () => request.socket.destroy(),
    )
  }

  return (request, response, target) => {
    try {
      answer(request, response, target)
    } catch (err) {
      log.error({ err }, 'a request failed here')
      // The proxy would pass on what an answer says about it.
      request.socket.destroy()
    }
  }
}

function admit(request: IncomingMessage, response: ServerResponse, fields: readonly string[]): void {
  const pending = isBodyPending(request)
  const headers = [...fields, 'Content-Length', '0', 'Cache-Control', 'no-store']
  response.writeHead(200, pending ? [...headers, 'Connection', 'close'] : headers)
  if (pending) {
    response.flushHeaders()
    endUnread(request, response)
  } else {
    response.end()
  }
}

/** Every identity header, empty where the token says nothing; those of one token are the same for each of its requests. */
function createAnswerFields(names: IdentityHeaderNames): (claims: AccessClaims | undefined) => readonly string[] {
  const known = new WeakMap<AccessClaims, readonly string[]>()
  const fieldsFor = (values: ReadonlyMap<string, string>) =>
    Object.values(names).flatMap((name) => [name, values.get(name) ?? ''])
  const none = fieldsFor(new Map())
  return (claims) => {
    if (claims === undefined) return none
    let fields = known.get(claims)
    if (!fields) {
      fields = fieldsFor(new Map(identityHeaders(claims, names)))
      known.set(claims, fields)
    }
    return fields
  }
}
