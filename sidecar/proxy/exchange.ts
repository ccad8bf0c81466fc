import type { IncomingMessage, ServerResponse } from 'node:http'
import type { ProblemCode } from '../../shared/problem.ts'
import type { Decision, Identity } from '../domain/decide.ts'
import { deny } from './denials.ts'
import type { EndReason, OpenStream } from './open-streams.ts'
import type { Outcome } from './request-metrics.ts'
import type { Linked } from './young-streams.ts'

export type Admitted = Extract<Decision, { allow: true }>

/** What can be stopped at the upstream's side. */
export interface Abortable {
  abort(reason: Error): void
}

/** What a client is told whose token ends while its request waits for the upstream. */
const END_PROBLEM: Record<EndReason, ProblemCode> = {
  revoked: 'token_invalid',
  expired: 'token_invalid',
  revocations_stale: 'revocations_stale',
  draining: 'draining',
}

/** One admitted request on its way through: what was decided, the client's end, and the upstream's as soon as it is there. */
export class Exchange implements OpenStream {
  readonly request: IncomingMessage
  readonly response: ServerResponse
  readonly admitted: Admitted
  readonly openedMs: number
  /** For the duration: milliseconds of the monotonic clock. */
  readonly startedAt: number
  previousYoung: Linked | undefined = undefined
  nextYoung: Linked | undefined = undefined
  isYoung = false
  outcome: Outcome = 'served'
  reason = ''
  #upstream: Abortable | undefined
  #endTunnel: ((reason: EndReason) => void) | undefined
  #closed = false
  readonly #onClose: (exchange: Exchange) => void

  /**
   * @param openedMs when it was decided: milliseconds since the epoch
   * @param onClose told once, when the answer is out or the client has gone
   */
  constructor(
    request: IncomingMessage,
    response: ServerResponse,
    admitted: Admitted,
    openedMs: number,
    onClose: (exchange: Exchange) => void,
  ) {
    this.request = request
    this.response = response
    this.admitted = admitted
    this.openedMs = openedMs
    this.startedAt = performance.now()
    this.#onClose = onClose
    response.once('close', () => this.close())
  }

  get identity(): Identity | undefined {
    return this.admitted.identity
  }

  get endsWhenStale(): boolean {
    return this.identity !== undefined && this.admitted.route.staleness === 'closed'
  }

  /** The client has its answer, another than the upstream's, or has gone: nothing of the upstream's is wanted any more. */
  get isOver(): boolean {
    return this.#closed || this.outcome !== 'served'
  }

  get isTunnel(): boolean {
    return this.#endTunnel !== undefined
  }

  /** From now on the end of this exchange ends the request to the upstream. */
  attach(upstream: Abortable): void {
    if (this.isOver) upstream.abort(new Error('the request is over'))
    else this.#upstream = upstream
  }

  /** The upstream has no more part in this. */
  detach(): void {
    this.#upstream = undefined
  }

  /** The connection is no longer HTTP; whoever carries it now calls {@link close}. */
  becomeTunnel(end: (reason: EndReason) => void): void {
    this.#upstream = undefined
    this.#endTunnel = end
  }

  /** Only the first reason counts: a tunnel has a moment for its farewell, and may be found once more in that time. */
  end(reason: EndReason): void {
    if (this.isOver) return
    if (!this.#endTunnel) {
      this.fail(END_PROBLEM[reason], 'ended', reason)
      return
    }
    this.outcome = 'ended'
    this.reason = reason
    this.#endTunnel(reason)
  }

  /**
   * Answers with a problem; where the answer has begun it can only be broken off, for an end would pass for the whole.
   * Only the first counts: its answer may still be on its way when the next reason comes.
   */
  fail(code: ProblemCode, outcome: Outcome, reason: string): void {
    if (this.isOver) return
    this.outcome = outcome
    this.reason = reason
    const { request, response } = this
    if (response.headersSent) {
      breakOff(response)
    } else {
      deny(request, response, code)
    }
    this.#abort(`ended: ${reason}`)
  }

  close(): void {
    if (this.#closed) return
    this.#closed = true
    if (!this.#endTunnel && !this.response.writableFinished && this.outcome === 'served') {
      this.outcome = 'ended'
      this.reason = 'client_gone'
    }
    this.#abort('the client has gone')
    this.#onClose(this)
  }

  #abort(reason: string): void {
    const upstream = this.#upstream
    this.#upstream = undefined
    upstream?.abort(new Error(reason))
  }
}

/**
 * Ends a connection so that the client sees that something is missing. An answer that is delimited by the end of the
 * connection (HTTP/1.0) needs a reset for that.
 */
function breakOff(response: ServerResponse): void {
  const { socket } = response
  if (socket && response.req.httpVersion === '1.0') socket.resetAndDestroy()
  response.destroy()
}
