import type { Writable } from 'node:stream'
import type { Clock } from '../../shared/clock.ts'
import { type Lifecycle, pause } from '../../shared/lifecycle.ts'
import { expected, type Log } from '../../shared/log.ts'
import { counter, gauge, type Metrics } from '../../shared/metrics.ts'
import { type Revocation, revocationId } from '../../shared/revocation.ts'
import { peekSecurityEvent, type SecurityEvent } from '../../shared/security-event.ts'
import type { Ledger, LedgerCursor, LedgerEntry, Publisher } from '../domain/ports.ts'
import { createRecentEvents } from './recent-events.ts'
import { createSharedSnapshots } from './shared-snapshots.ts'
import { readSnapshot } from './snapshot.ts'
import { createSubscriber, type Frame, type Subscriber } from './subscriber.ts'
import { createTurns, handOut } from './turns.ts'

/** How long the tail goes on for a sidecar that lost its connection, so that it need not begin anew: milliseconds. */
const RETURN_WITHIN_MS = 10_000

/** No revocation lasts until then, so the first read gives a place and no entries: those come by the snapshots. */
const NEVER_S = Number.MAX_SAFE_INTEGER

/**
 * Snapshots read at once for one reader alone, when slow ones hold all that may be shared. Each takes some 20 MB while it
 * is read, and the more there are, the later every one of them ends.
 */
export const MAX_SNAPSHOTS = 16
/**
 * How long in all a snapshot may wait for its reader and count as one of those: milliseconds. Far shorter than the others
 * wait for theirs: a sidecar that hears nothing for 10 s gives up, and comes back as the last.
 */
const READER_WAIT_MS = 2000

export interface EventStreamOptions {
  ledger: Pick<Ledger, 'since' | 'live'>
  sign(event: SecurityEvent): string
  clock: Clock
  /** Which issuer process this is; a part of every event's id. */
  instance: string
  /** The `iss` of our own events. */
  issuer: string
  /** How often the ledger is read for what other issuers recorded: milliseconds. */
  tailMs: number
  heartbeatMs: number
  log: Log
  lifecycle: Lifecycle
  metrics: Metrics
}

export interface EventStream {
  /**
   * Sends the feed to one sidecar as Server-Sent Events: a snapshot, unless `lastEventId` is still within reach, then
   * every revocation and heartbeat, until either side ends it.
   */
  subscribe(out: Writable, lastEventId?: string): void
  /** Lets revocations that this issuer has just recorded go out at once; the tail would find them later. */
  notify(entries: Pick<LedgerEntry, 'revocation'>[]): void
  /** For an issuer without Kafka: the ledger is the log, its commit is the acknowledgement. */
  publisher: Publisher
  /** Ends every subscription. */
  close(): void
}

/**
 * The issuer's own feed of revocations. It reads the ledger only while somebody listens. A heartbeat says: all that was
 * committed before the last read began has been sent on this connection before it.
 */
export function createEventStream(options: EventStreamOptions): EventStream {
  const { ledger, sign, clock, instance, issuer, tailMs, heartbeatMs, log, lifecycle } = options
  const recent = createRecentEvents(instance)
  const subscribers = new Set<Subscriber>()
  const takeTurn = createTurns(MAX_SNAPSHOTS)
  const observe = createObserver(options.metrics, () => subscribers.size)
  const read = () => readSnapshot({ ledger, clock, instance })
  const closing = (event: SecurityEvent, at: number) => recent.frame(sign(event), at)
  const snapshots = createSharedSnapshots({ read, recent, close: closing, onGiven: observe.snapshot })
  let place: { cursor: LedgerCursor } | undefined
  let positioned = Promise.withResolvers<void>()
  let tailing: Promise<void> | undefined
  let closed = false
  let failing = false

  const stopped = () => closed || lifecycle.signal.aborted
  const broadcast = (frame: string) => {
    for (const subscriber of subscribers) subscriber.send(frame)
  }

  const push = (revocation: Revocation, token?: string) => {
    const frame = recent.add(revocationId(revocation), () => token ?? sign({ type: 'revocation', revocation }))
    if (!frame) return
    observe.pushed()
    broadcast(frame)
    // What came before it may be signed with that key, which who comes now may not have any more.
    if (revocation.kind === 'key') snapshots.forget()
  }

  /** Reads what is new. @returns the instant before which everything has now been pushed: milliseconds */
  const readLedger = async () => {
    const completeUntilMs = clock.now()
    // What is new goes out whatever its expiry: our clock may be ahead, and the place never comes back.
    const { entries, cursor } = await ledger.since(instance, place?.cursor, place ? 0 : NEVER_S)
    for (const { revocation } of entries) push(revocation)
    place = { cursor }
    positioned.resolve()
    return completeUntilMs
  }

  const tail = async () => {
    let beatAt = 0
    let leaveAt = 0
    while (!stopped() && (subscribers.size > 0 || performance.now() < leaveAt)) {
      if (subscribers.size > 0) leaveAt = performance.now() + RETURN_WITHIN_MS
      try {
        const completeUntilMs = await readLedger()
        if (performance.now() >= beatAt) {
          beatAt = performance.now() + heartbeatMs
          broadcast(recent.frame(sign({ type: 'heartbeat', feed: 'stream', instance, completeUntilMs })))
        }
        if (failing) log.info('the event stream reads the ledger again')
        failing = false
      } catch (err) {
        if (!failing)
          log.error(
            { err: expected(err) },
            'the event stream cannot read the ledger; it sends no heartbeats until it can',
          )
        failing = true
      }
      await pause(tailMs, lifecycle.signal)
    }
    // What happens from here on is missing in the recent events: whoever comes next begins with a snapshot.
    recent.clear()
    snapshots.forget()
    place = undefined
    positioned = Promise.withResolvers()
  }

  const startTail = () => {
    tailing ??= tail().finally(() => {
      tailing = undefined
      if (subscribers.size > 0 && !stopped()) startTail()
    })
  }

  const subscribe = (out: Writable, lastEventId?: string) => {
    if (stopped()) return void out.destroy()
    const missed = lastEventId === undefined ? undefined : recent.since(lastEventId)
    const gone = Promise.withResolvers<void>()
    const subscriber = createSubscriber(out, (reason) => {
      subscribers.delete(subscriber)
      gone.resolve()
      observe.ended(reason)
      log.info({ reason }, 'a subscriber of the event stream is gone')
    })
    // From here on events are kept for it, so that nothing falls between the snapshot's read and the tail.
    subscribers.add(subscriber)
    log.info({ resumed: missed !== undefined }, 'a subscriber of the event stream has come')
    startTail()
    void begin(subscriber, missed ?? snapshot(subscriber, gone.promise))
  }

  const begin = async (subscriber: Subscriber, frames: Iterable<Frame> | AsyncIterable<Frame>) => {
    try {
      await subscriber.begin(frames)
    } catch (err) {
      log.error({ err: expected(err) }, 'a snapshot cannot be sent')
      subscriber.end('no_snapshot')
    }
  }

  const snapshot = async function* (subscriber: Subscriber, gone: Promise<void>) {
    const came = recent.position()
    // What is committed before the place the tail goes on from has to be in the snapshot.
    await Promise.race([positioned.promise, gone])
    // While the ledger is away sidecars come and go: nothing is kept or read for those who have gone.
    if (!subscriber.ended) yield* snapshots.take(came) ?? snapshotOfItsOwn(subscriber, came)
  }

  const snapshotOfItsOwn = async function* (subscriber: Subscriber, came: number) {
    const endTurn = await takeTurn()
    try {
      if (subscriber.ended) return
      observe.snapshot('ledger')
      const { entries, end } = read()
      yield* handOut(entries, endTurn, READER_WAIT_MS)
      yield closing(end(), came)
    } finally {
      endTurn()
    }
  }

  const close = () => {
    closed = true
    for (const subscriber of subscribers) subscriber.end('closing')
  }
  lifecycle.onClose('event stream', async () => {
    close()
    await tailing
  })

  return {
    subscribe,
    close,
    notify: (entries) => {
      if (subscribers.size > 0) for (const { revocation } of entries) push(revocation)
    },
    publisher: {
      async publish(events) {
        if (subscribers.size === 0) return
        for (const { token } of events) {
          const event = peekSecurityEvent(token, issuer)
          if (event?.type === 'revocation') push(event.revocation, token)
        }
      },
    },
  }
}

function createObserver(metrics: Metrics, subscribers: () => number) {
  const pushed = counter(
    metrics,
    'revocation_stream_events_total',
    'Revocations sent to the subscribers of the stream.',
  )
  const ended = counter(
    metrics,
    'revocation_stream_ended_total',
    'Subscriptions of the stream that ended, by reason.',
    ['reason'],
  )
  const snapshots = counter(
    metrics,
    'revocation_stream_snapshots_total',
    'Snapshots begun to be sent: from the ledger, or shared with others who asked at the same time.',
    ['from'],
  )
  gauge(metrics, 'revocation_stream_subscribers', 'Sidecars that read the event stream of this issuer.', subscribers)
  return {
    pushed: () => pushed.inc(),
    ended: (reason: string) => ended.inc({ reason }),
    snapshot: (from: 'ledger' | 'shared') => snapshots.inc({ from }),
  }
}
