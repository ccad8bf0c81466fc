import { Agent, request } from 'undici'
import { keepOpen } from '../../shared/keep-open.ts'
import type { Lifecycle } from '../../shared/lifecycle.ts'
import { expected, type Log } from '../../shared/log.ts'
import type { Intake, Proof } from './intake.ts'
import type { KeyFetcher } from './jwks.ts'
import { readServerSentEvents, type ServerSentEvent } from './server-sent-events.ts'
import { createSnapshotCheck, type SnapshotCheck } from './snapshot-check.ts'

export interface IssuerStreamOptions {
  /** The issuer's feed: an absolute URL. */
  url: string
  /** PEM of a certificate authority to trust for it instead of the usual ones. */
  ca?: string | undefined
  feedToken: string
  intake: Intake
  keys: Pick<KeyFetcher, 'settle'>
  /** Told up to when this feed is complete: milliseconds. */
  onProgress(completeUntilMs: number): void
  /** A stream that is silent for this long is broken, for heartbeats come each second: milliseconds. */
  idleMs: number
  /** Whether a stream that broke may be taken up where it broke; without it each begins with a snapshot. */
  resume?: boolean
  log: Log
  lifecycle: Lifecycle
}

export interface IssuerStream {
  /** Begins to read and stays connected until {@link close}. */
  open(): void
  close(): void
  readonly isOpen: boolean
  /** Whether a whole snapshot has been read. */
  complete(): boolean
}

/**
 * Reads the issuer's own feed (Server-Sent Events). A snapshot and the stream after it are a complete feed. Whatever
 * does not add up ends the connection, and the next begins with a snapshot.
 */
export function createIssuerStream(options: IssuerStreamOptions): IssuerStream {
  const { log, lifecycle, idleMs } = options
  const connecting = { timeout: idleMs, ca: options.ca }
  const agent = new Agent({ connections: 1, connect: connecting, headersTimeout: idleMs, bodyTimeout: idleMs })
  let reading: AbortController | undefined
  let last: Promise<void> = Promise.resolve()
  let complete = false
  let reported = false
  let resumeFrom: string | undefined

  const session = async (working: () => void, signal: AbortSignal) => {
    const body = await connect(options, agent, signal, resumeFrom)
    const connection = createConnection(options, signal, resumeFrom)
    let intact = false
    try {
      for await (const event of readServerSentEvents(body)) {
        intact = false
        const completeUntilMs = await connection.read(event)
        intact = true
        if (completeUntilMs !== undefined) proven(completeUntilMs, working)
      }
      throw new Error('the issuer ended the stream')
    } finally {
      body.destroy()
      // One that broke may be taken up where it broke; one with a flaw in it begins anew.
      resumeFrom = options.resume !== false && intact && connection.proven() ? connection.lastId() : undefined
    }
  }

  const proven = (completeUntilMs: number, working: () => void) => {
    working()
    complete = true
    if (reported) log.info('the stream of the issuer can be read again')
    reported = false
    options.onProgress(completeUntilMs)
  }

  const close = () => {
    reading?.abort()
    reading = undefined
  }
  lifecycle.onClose('issuer stream', async () => {
    close()
    await last
    await agent.destroy()
  })

  return {
    open() {
      if (reading || lifecycle.signal.aborted) return
      reading = new AbortController()
      const signal = AbortSignal.any([reading.signal, lifecycle.signal])
      const before = last
      last = before.then(() =>
        keepOpen(
          (working) => session(working, signal),
          signal,
          (err) => {
            if (!reported) log.warn({ err: expected(err) }, 'the stream of the issuer cannot be read; trying on')
            reported = true
          },
        ),
      )
    },
    close,
    get isOpen() {
      return reading !== undefined
    },
    complete: () => complete,
  }
}

async function connect({ url, feedToken }: IssuerStreamOptions, dispatcher: Agent, signal: AbortSignal, from?: string) {
  const { statusCode, headers, body } = await request(url, {
    dispatcher,
    signal,
    headers: {
      accept: 'text/event-stream',
      authorization: `Bearer ${feedToken}`,
      ...(from !== undefined && { 'last-event-id': from }),
    },
  })
  // A redirect is not followed: the credential is for this address only.
  if (statusCode === 200 && String(headers['content-type']).startsWith('text/event-stream')) return body
  body.on('error', () => {}).destroy()
  const why = statusCode === 401 ? ': FEED_TOKEN has to be the same here and there' : ''
  throw new Error(`the issuer answered ${statusCode} instead of a stream${why}`)
}

/** One connection to the stream, event by event. */
export interface Connection {
  /** @returns up to when the feed is complete, if the event proves it: milliseconds */
  read(event: ServerSentEvent): Promise<number | undefined>
  /** Whether what was read so far, with what came on earlier connections, leaves nothing out. */
  proven(): boolean
  /** The place of the last event that was applied. */
  lastId(): string | undefined
}

/**
 * @param signal the end of the connection
 * @param from the place at which an earlier connection broke; without one it has to begin with a snapshot
 */
export function createConnection(
  { intake, keys }: Pick<IssuerStreamOptions, 'intake' | 'keys'>,
  signal: AbortSignal,
  from?: string,
): Connection {
  // Until a snapshot begins, the issuer is going on from where we were.
  let proven = from !== undefined
  let snapshot: SnapshotCheck | undefined
  let lastId = from

  const readSet = async (token: string) => {
    for (;;) {
      const read = intake.read(token, 'stream')
      if (read.outcome === 'applied' || read.outcome === 'outdated' || read.outcome === 'repeated') return undefined
      if (read.outcome === 'proof') return judge(read.proof)
      if (read.outcome === 'refused')
        throw new Error(`the stream carries an event that is not the issuer's: ${read.reason}`)
      if ((await keys.settle(read.kid, signal)) === 'known') continue
      if (!signal.aborted) intake.refuse('key_absent', 'stream')
      throw new Error('the stream carries an event of an unknown key')
    }
  }

  const judge = (proof: Proof) => {
    if (proof.type === 'heartbeat') return proven ? proof.completeUntilMs : undefined
    snapshot ??= createSnapshotCheck()
    if (!snapshot.matches(proof)) {
      intake.refuse('snapshot_mismatch', 'stream')
      throw new Error('the snapshot is not what the issuer signed')
    }
    for (const revocation of snapshot.held()) intake.apply(revocation, 'stream')
    snapshot = undefined
    proven = true
    return proof.completeUntilMs
  }

  return {
    async read({ type, data, id }) {
      if (type === 'entries') {
        proven = false
        snapshot ??= createSnapshotCheck()
        for (const revocation of snapshot.add(data)) intake.apply(revocation, 'stream')
        return undefined
      }
      if (type !== 'set') return undefined
      const completeUntilMs = await readSet(data)
      lastId = id
      return completeUntilMs
    },
    proven: () => proven,
    lastId: () => lastId,
  }
}
