import type { IncomingHttpHeaders } from 'node:http'
import type { Duplex, Readable } from 'node:stream'

/** How long making a connection may take: milliseconds. */
export const CONNECT_TIMEOUT_MS = 5000

/** One request for an upstream. */
export interface UpstreamRequest {
  method: string
  /** The target: what was matched. */
  path: string
  /** Names and values in turn. */
  headers: string[]
  body: Readable | null
  /** Asks for another protocol on the connection. */
  upgrade: 'websocket' | undefined
  /** How long the answer may take to begin: milliseconds; 0: someone else looks at the clock. */
  headersTimeout: number
  /** The name that certificates are checked against; for the connections to fill in. */
  servername: string | undefined
}

/** What can be done about an answer that is under way. */
export interface AnswerController {
  abort(reason: Error): void
  pause(): void
  resume(): void
}

/** Takes the answer to one request: 1xx heads, a head, pieces, the end; or an error at any time. */
export interface AnswerHandler {
  /** `waiting`: nothing has been sent yet; `over`: nor is it to be any more; `begun`: bytes may have been sent. */
  readonly state: 'waiting' | 'over' | 'begun'
  /** From now on bytes may have been sent. */
  onRequestStart(controller: AnswerController): void
  onResponseStart(controller: AnswerController, status: number, headers: IncomingHttpHeaders): void
  onRequestUpgrade(controller: AnswerController, status: number, headers: IncomingHttpHeaders, socket: Duplex): void
  onResponseData(controller: AnswerController, chunk: Buffer): void
  onResponseEnd(controller: AnswerController, trailers: IncomingHttpHeaders): void
  onResponseError(controller: AnswerController | undefined, error: Error): void
}

/**
 * The connections to one upstream. A request is sent at most once: whether the upstream has acted on what it was sent
 * can't be known from here. One that had not begun to be sent when its connection ended goes on another.
 */
export interface UpstreamConnections {
  /** Sends a request; the answer, or why there is none, goes to the handler. */
  dispatch(request: UpstreamRequest, answer: AnswerHandler): void
  /** Whether a request may ask for another protocol: HTTP/2 has no such thing (RFC 9113 section 8.6). */
  readonly carriesUpgrades: boolean
  /** Connections there are, those being made included. */
  readonly size: number
  /** Takes no more requests, lets those under way finish and ends each connection then. */
  close(): void
  /** Ends all at once. */
  destroy(): void
}

/** How the connections are made. */
export interface ConnectionOptions {
  /** Certificate authorities to trust instead of the usual ones: PEM. */
  ca: string | undefined
  /** How many connections there may be at once. */
  maxConnections: number
}

/** Every connection that may be is in use. */
export class TooManyConnections extends Error {
  readonly code = 'too_many_connections'
  constructor() {
    super('every connection to the upstream is in use')
  }
}
