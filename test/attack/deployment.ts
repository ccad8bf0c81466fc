import type { webcrypto } from 'node:crypto'
import type { RecordedRequest } from './recorder.ts'
import type { Endpoint } from './wire.ts'

/** A login of its own, for rows that end it. */
export interface Session {
  token: string
  /** Logs out; resolves when the issuer has answered. */
  logout(): Promise<void>
}

/** What is attacked, and what is known about it. */
export interface Deployment {
  endpoint: Endpoint
  /** For the `Host` field. */
  host: string
  /** The path that is asked for. */
  path: string
  /** A token that is good there. */
  token?: string
  claims?: Record<string, unknown>
  /** Whether the path is refused (401) without a token. */
  guarded: boolean
  /** Whether it is served: to anybody, or with the token. */
  admits: boolean
  /** Whether the service behind it answers with the fields it received. */
  echoes: boolean
  /** The status of an ordinary answer to GET there. */
  servedStatus: number
  /** Of ordinary answers to other methods, which the service may not have. */
  otherStatuses?: readonly number[]
  /** Where a WebSocket can be opened. */
  websocketPath?: string
  /** The issuer's public keys. */
  keys?: (webcrypto.JsonWebKey & { kid?: string })[]
  login?(): Promise<Session>
  /** How long an answer may take: milliseconds. */
  patienceMs: number
  /** How long what is meant to take for ever may take: milliseconds. */
  slowMs: number
  /** Within which a revocation has to be known: milliseconds. */
  revocationMs: number
  /** What the service behind it received, where that can be seen. */
  recorder?: Recorder
}

export interface Recorder {
  /** What came since the last time it was asked. */
  take(): RecordedRequest[]
}

/** A deployment, and what marks the bytes of one row. */
export interface Shot extends Deployment {
  /** In the field `X-Attack` of the row's request. */
  marker: string
  /** A whole request that the service should never see as one. */
  hidden: string
}
