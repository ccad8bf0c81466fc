import { type Clock, LEEWAY_S } from '../../shared/clock.ts'
import type { KeyFor } from '../../shared/jws.ts'
import type { Log } from '../../shared/log.ts'
import { counter, type Metrics } from '../../shared/metrics.ts'
import type { Revocation } from '../../shared/revocation.ts'
import { openSecurityEvent, peekSecurityEvent, type SecurityEvent } from '../../shared/security-event.ts'

export interface IntakeOptions {
  ring: {
    keyFor: KeyFor
    /** @param exp how long that has to be remembered: seconds */
    revoke(kid: string, exp: number): void
  }
  revocations: {
    /** @returns whether it is new */
    add(revocation: Revocation): boolean
    /** Whether adding it would change nothing. */
    has(revocation: Revocation): boolean
  }
  /** Told of each revocation that is new, so that open connections can be ended. */
  onRevocation(revocation: Revocation): void
  /** The `iss` that events have to have. */
  issuer: string
  /** A proof of completeness older than this makes nothing fresh: milliseconds. */
  maxStalenessMs: number
  clock: Clock
  log: Log
  metrics: Metrics
}

export type Feed = 'kafka' | 'stream'
export type Proof = Exclude<SecurityEvent, { type: 'revocation' }>

/** What became of one event. `proof` is for the feed to judge, for only it knows what came before. */
export type Read =
  | { outcome: 'applied'; kid: string }
  | { outcome: 'proof'; proof: Proof; kid: string }
  /** Nothing to gain from it, whoever wrote it: not even its signature was checked. */
  | { outcome: 'outdated' }
  | { outcome: 'repeated' }
  | { outcome: 'key_unknown'; kid: string }
  | { outcome: 'refused'; reason: Refusal }

export type Refusal =
  | 'event_malformed'
  | 'event_type'
  | 'signature_invalid'
  | 'key_absent'
  | 'in_the_future'
  /** The clock was ahead for a while, and events were passed over that are not over after all: read all of it again. */
  | 'clock_set_back'
  /** A heartbeat that is about another feed than the one that brought it. */
  | 'other_feed'
  | 'snapshot_mismatch'

/** Where every event comes in, whichever feed brought it. */
export interface Intake {
  /** Verifies one Security Event Token and applies it if it is a revocation. `key_unknown` is not counted yet. */
  read(token: string, feed: Feed): Read
  /** Enters a revocation that is known to be the issuer's. */
  apply(revocation: Revocation, feed: Feed): void
  /** Counts a refusal, and logs it once a minute for each feed and reason, without its content. */
  refuse(reason: Refusal, feed: Feed): void
}

const REPORT_EVERY_MS = 60_000

export function createIntake(options: IntakeOptions): Intake {
  const { ring, revocations, onRevocation, issuer, maxStalenessMs, clock, log } = options
  const reported = new Map<string, number>()
  /** Of what was passed over as outdated, the latest expiry: milliseconds. */
  const passedOver = new Map<Feed, number>()
  const events = counter(
    options.metrics,
    'revocation_events_total',
    'Events that the feeds of revocations brought, by feed, kind and outcome.',
    ['feed', 'kind', 'outcome'],
  )

  const apply = (revocation: Revocation, feed: Feed) => {
    const isNew = revocations.add(revocation)
    events.inc({ feed, kind: revocation.kind, outcome: isNew ? 'applied' : 'repeated' })
    if (!isNew) return
    if (revocation.kind === 'key') ring.revoke(revocation.kid, revocation.exp)
    onRevocation(revocation)
  }

  const refuse = (reason: Refusal, feed: Feed): Read => {
    events.inc({ feed, kind: 'unknown', outcome: reason })
    const subject = `${feed} ${reason}`
    const now = performance.now()
    if (now - (reported.get(subject) ?? Number.NEGATIVE_INFINITY) >= REPORT_EVERY_MS) {
      reported.set(subject, now)
      log.warn({ feed, reason }, 'an event of the feed was refused')
    }
    return { outcome: 'refused', reason }
  }

  /** Whether the event, were it genuine, could change nothing. The end of a snapshot does, however old it is. */
  const isOutdated = (event: SecurityEvent, nowMs: number) => {
    if (event.type === 'revocation') return event.revocation.exp * 1000 <= nowMs
    return event.type === 'heartbeat' && event.completeUntilMs < nowMs - maxStalenessMs - LEEWAY_S * 1000
  }

  return {
    apply,
    refuse,
    read(token, feed) {
      const nowMs = clock.now()
      const claimed = peekSecurityEvent(token, issuer)
      if (!claimed) return refuse('event_malformed', feed)
      if (isOutdated(claimed, nowMs)) {
        const kind = claimed.type === 'revocation' ? claimed.revocation.kind : claimed.type
        events.inc({ feed, kind, outcome: 'outdated' })
        if (claimed.type === 'revocation') {
          passedOver.set(feed, Math.max(claimed.revocation.exp * 1000, passedOver.get(feed) ?? 0))
        }
        return { outcome: 'outdated' }
      }
      // A replay from Kafka is full of what the snapshot has brought; checking a signature costs more than all the rest.
      if (claimed.type === 'revocation' && revocations.has(claimed.revocation)) {
        events.inc({ feed, kind: claimed.revocation.kind, outcome: 'repeated' })
        return { outcome: 'repeated' }
      }
      const opened = openSecurityEvent(token, ring.keyFor, issuer)
      if (!opened.ok) {
        if (opened.refusal === 'key_unknown') return { outcome: 'key_unknown', kid: opened.kid ?? '' }
        return refuse(opened.refusal, feed)
      }
      const { event, kid } = opened
      if (event.type === 'revocation') {
        apply(event.revocation, feed)
        return { outcome: 'applied', kid }
      }
      // A clock that far ahead would keep this sidecar serving long after the feed has stopped.
      if (event.completeUntilMs > nowMs + LEEWAY_S * 1000) return refuse('in_the_future', feed)
      if (nowMs < (passedOver.get(feed) ?? 0)) {
        passedOver.delete(feed)
        return refuse('clock_set_back', feed)
      }
      if (event.type === 'heartbeat' && event.feed === 'stream' && feed !== 'stream') return refuse('other_feed', feed)
      events.inc({ feed, kind: event.type, outcome: 'applied' })
      return { outcome: 'proof', proof: event, kid }
    },
  }
}
