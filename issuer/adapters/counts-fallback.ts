import { withDeadline } from '../../shared/lifecycle.ts'
import { counter, type Metrics } from '../../shared/metrics.ts'
import type { GuessCounts, RequestCounts } from '../domain/ports.ts'

type Counts = RequestCounts & GuessCounts

// A Redis that answers at all does so within a millisecond or two: milliseconds.
const DEADLINE_MS = 250

/**
 * Counts that never fail: while the shared ones are away each process counts by itself. Limits then hold for each
 * replica, and nobody is kept waiting or locked out because of a store that only counts.
 */
export function withLocalFallback(shared: Counts, local: Counts, metrics: Metrics): Counts {
  const failures = counter(metrics, 'shared_counts_failures_total', 'Counts that this process had to keep by itself.')
  const either = async <T>(ask: (counts: Counts) => Promise<T>): Promise<T> => {
    try {
      return await withDeadline(ask(shared), DEADLINE_MS)
    } catch {
      failures.inc()
      return ask(local)
    }
  }
  return {
    hit: (key, windowMs) => either((counts) => counts.hit(key, windowMs)),
    claim: (guess, nowMs) => either((counts) => counts.claim(guess, nowMs)),
    settle: (guess, outcome, nowMs) => either((counts) => counts.settle(guess, outcome, nowMs)),
  }
}
