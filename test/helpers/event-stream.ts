import Fastify from 'fastify'
import type { Test } from 'tap'
import { createEventStream, type EventStream, type EventStreamOptions } from '../../issuer/adapters/event-stream.ts'
import { createLedgerDigest } from '../../issuer/adapters/ledger-digest.ts'
import { addRevocationRoutes } from '../../issuer/http/routes/revocations.ts'
import { createIssuerStream, type IssuerStream } from '../../sidecar/feeds/issuer-stream.ts'
import type { KeyFetcher } from '../../sidecar/feeds/jwks.ts'
import { readServerSentEvents, type ServerSentEvent } from '../../sidecar/feeds/server-sent-events.ts'
import { type Base, base, ISSUER, memoryLedger, noMoreKeys, type Receiver, signer, signingKey } from './revocations.ts'

export const FEED_TOKEN = 'a feed token that only the tests know'
export const streamKey = signingKey()
/** How long the access tokens of this issuer live: seconds. */
export const LIFETIME_S = 300

export interface RunningStream {
  url: string
  stream: EventStream
  ledger: ReturnType<typeof memoryLedger>
  parts: Base
  close(): Promise<void>
}

/** An issuer with nothing but its event stream, on a port of its own. */
export async function startEventStream(t: Test, more: Partial<EventStreamOptions> = {}): Promise<RunningStream> {
  const parts = base(t)
  const ledger = memoryLedger()
  const stream = createEventStream({
    ledger,
    sign: signer(streamKey),
    clock: { now: () => Date.now() },
    instance: 'a',
    issuer: ISSUER,
    tailMs: 10,
    heartbeatMs: 30,
    ...parts,
    ...more,
  })
  const app = Fastify()
  const clock = more.clock ?? { now: () => Date.now() }
  const digest = createLedgerDigest({ ledger: more.ledger ?? ledger, instance: 'a', clock, lifetimeS: LIFETIME_S })
  addRevocationRoutes(app, { stream, digest, feedTokens: [FEED_TOKEN] })
  const address = await app.listen({ host: '127.0.0.1', port: 0 })
  const close = () => app.close().then(() => {})
  t.teardown(close)
  return { url: `${address}/revocations`, stream, ledger, parts, close }
}

/** Reads a stream event by event, as a sidecar would; it ends with the test. */
export async function readStream(t: Test, url: string, lastEventId?: string) {
  const ending = new AbortController()
  t.teardown(() => ending.abort())
  const response = await fetch(url, {
    signal: ending.signal,
    headers: { authorization: `Bearer ${FEED_TOKEN}`, ...(lastEventId && { 'last-event-id': lastEventId }) },
  })
  const events = readServerSentEvents(response.body!)
  const next = async (): Promise<ServerSentEvent> => {
    const { value, done } = await events.next()
    if (done) throw new Error('the stream has ended')
    return value
  }
  return { response, next, end: () => ending.abort() }
}

/** The sidecar's end of the stream. */
export function readInto(
  to: Receiver,
  { log, lifecycle }: Base,
  url: string,
  keys: Pick<KeyFetcher, 'settle'> = noMoreKeys,
): IssuerStream {
  const stream = createIssuerStream({
    url,
    feedToken: FEED_TOKEN,
    intake: to.intake,
    keys,
    onProgress: (completeUntilMs) => void to.freshness.advance('stream', completeUntilMs),
    idleMs: 1000,
    log,
    lifecycle,
  })
  stream.open()
  return stream
}
