import type { Clock } from '../../shared/clock.ts'
import {
  agreedLifetimeS,
  type IssuerReport,
  isAtWork,
  longestLifetimeS,
  MAX_LIFETIME_S,
  mattersStill,
  REPORTS_LEASE_MS,
  SETTLE_MS,
} from './issuer-report.ts'
import { type IssuerReports, StoreUnavailable } from './ports.ts'

/** How far back {@link Peers.agreedLifetimeS} holds: milliseconds. */
export const AGREED_SINCE_MS = 130_000

/** What this issuer knows of the others, in memory. */
export interface Peers {
  /**
   * How long an access token may live that is issued now: seconds. It is the configured lifetime or, until everyone
   * knows of that, a shorter one that everyone reckons with.
   * @throws StoreUnavailable when others may take this issuer for gone
   */
  ownLifetimeS(): number
  /** The longest that a token can live that is or will be valid: seconds. Whatever concerns tokens lasts for that. */
  longestLifetimeS(): number
  /** The same, as far as others have said it, however long ago: for what has to be known for longer than an outage. */
  reportedLifetimeS(): number
  /** What {@link longestLifetimeS} has been at least, at every issuer, for {@link AGREED_SINCE_MS}: seconds. */
  agreedLifetimeS(): number
  /** Whether an issuer that has Kafka has reported of late, so that there may be sidecars that read nothing else. */
  someHaveKafka(): boolean
  /** The lifetimes that other issuers at work give their tokens: seconds. */
  lifetimesAtWork(): number[]
  /** Whether what was read last is recent enough to work with. */
  areKnown(): boolean
  /** Reports, and reads what the others report. @throws StoreUnavailable; what was known stays in use for its lease */
  exchange(): Promise<void>
}

/**
 * Issuers of one store may have different settings, if only while they are restarted one by one. Each tells the others
 * before its first token how long its tokens live. It writes first and reads then, so of two that come at once one at
 * least knows of the other; and who finds others at work waits until they have read it too.
 */
export function createPeers(
  { issuerReports, clock }: { issuerReports: IssuerReports; clock: Clock },
  own: { instance: string; lifetimeS: number; kafka: boolean },
): Peers {
  let others: readonly IssuerReport[] = []
  let settledAt = Number.POSITIVE_INFINITY
  let readAt = Number.NEGATIVE_INFINITY

  // A clock that was set back says as little as one that has gone on.
  const areKnown = () => Math.abs(clock.now() - readAt) <= REPORTS_LEASE_MS

  return {
    ownLifetimeS() {
      if (!areKnown()) throw new StoreUnavailable('the reports of issuers', new Error('they were read too long ago'))
      const nowMs = clock.now()
      return settledAt <= nowMs ? own.lifetimeS : Math.min(own.lifetimeS, agreedLifetimeS(others, nowMs, nowMs))
    },
    longestLifetimeS() {
      return areKnown() ? Math.max(own.lifetimeS, longestLifetimeS(others, clock.now())) : MAX_LIFETIME_S
    },
    reportedLifetimeS: () => Math.max(own.lifetimeS, longestLifetimeS(others, clock.now(), 0)),
    agreedLifetimeS() {
      const nowMs = clock.now()
      return agreedLifetimeS([...others, { ...own, settledAt, at: nowMs }], nowMs - AGREED_SINCE_MS, nowMs)
    },
    someHaveKafka: () => others.some((report) => report.kafka && mattersStill(report, clock.now())),
    lifetimesAtWork: () =>
      others.filter((report) => isAtWork(report, clock.now())).flatMap(({ lifetimeS }) => lifetimeS ?? []),

    areKnown,
    async exchange() {
      const began = clock.now()
      const lapsed = !areKnown()
      const settles = lapsed ? began + SETTLE_MS : settledAt
      const reports = await issuerReports.exchange({ ...own, settledAt: settles })
      others = reports.filter(({ instance }) => instance !== own.instance)
      // Whoever comes after this reads what was written before it.
      const alone = !others.some((report) => isAtWork(report, clock.now()))
      settledAt = lapsed && alone ? began : settles
      readAt = began
    },
  }
}
