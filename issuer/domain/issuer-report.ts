import { LEEWAY_S } from '../../shared/clock.ts'

/** What one issuer process says of itself to the others of its store. Times are milliseconds since the Unix epoch. */
export interface IssuerReport {
  instance: string
  /** How long its access tokens live: seconds; `undefined`: it is of a version that did not say. */
  lifetimeS: number | undefined
  /** Whether it writes revocations to Kafka. */
  kafka: boolean
  /** From when on no issuer works with what it had read before this report was there. */
  settledAt: number
  /** When it said so last, by the store's clock. */
  at: number
}

/** The longest lifetime that may be configured: what counts where it is not known what others do. Seconds. */
export const MAX_LIFETIME_S = 3600

/** How long an issuer works with the reports it has read, and with its own: milliseconds. */
export const REPORTS_LEASE_MS = 30_000

/**
 * How long the ledger may take to record an entry: milliseconds. A refresh that asks the ledger until then issues a
 * token that is so much younger than the revocation's time; the entry outlives that token too.
 */
export const RECORD_DEADLINE_MS = 30_000

/**
 * After which time what is recorded reckons with a report, and what an issuer did that has not reported since is over:
 * milliseconds. The rest is for the clocks, the issuer's, the store's and the reader's, and for slow calls.
 */
export const SETTLE_MS = REPORTS_LEASE_MS + RECORD_DEADLINE_MS + 6 * LEEWAY_S * 1000

/** Whether tokens that its issuer has issued can be valid: until a lifetime after it has to have stopped. */
export function mattersStill({ at, lifetimeS = MAX_LIFETIME_S }: IssuerReport, nowMs: number): boolean {
  return at + lifetimeS * 1000 + SETTLE_MS > nowMs
}

/** Whether its issuer may be at work. */
export function isAtWork({ at }: IssuerReport, nowMs: number): boolean {
  return at + SETTLE_MS > nowMs
}

/**
 * The longest lifetime of those whose tokens can be valid: seconds; 0 when there are none.
 * @param unsaidS what is reckoned for those who did not say: seconds
 */
export function longestLifetimeS(reports: readonly IssuerReport[], nowMs: number, unsaidS = MAX_LIFETIME_S): number {
  return Math.max(
    0,
    ...reports.filter((report) => mattersStill(report, nowMs)).map(({ lifetimeS = unsaidS }) => lifetimeS),
  )
}

/**
 * What {@link longestLifetimeS} is at least, at every issuer that was at work between the two instants: seconds. Each
 * reckons with its own lifetime, and with what was settled before.
 */
export function agreedLifetimeS(reports: readonly IssuerReport[], sinceMs: number, nowMs: number): number {
  // Stricter than `mattersStill`, as another's clock may be ahead.
  const counts = ({ settledAt, at, lifetimeS = 0 }: IssuerReport) =>
    settledAt <= sinceMs && at + lifetimeS * 1000 > nowMs
  const atWork = lifetimes(reports.filter((report) => isAtWork(report, sinceMs)))
  return Math.max(...lifetimes(reports.filter(counts)), atWork.length === 0 ? MAX_LIFETIME_S : Math.min(...atWork))
}

function lifetimes(reports: readonly IssuerReport[]): number[] {
  return reports.flatMap(({ lifetimeS }) => lifetimeS ?? [])
}
