import { LRUCache } from 'lru-cache'
import type { Clock } from '../../../shared/clock.ts'
import type { GuessCounts, RequestCounts } from '../../domain/ports.ts'
import { addFailure, claimGuess, FAILURE_RULES, type Failures, takeBackFailure } from '../../domain/throttle.ts'

export type Counts = RequestCounts & GuessCounts

// Some 30 MB when full. Whoever fills it, and so pushes others' counts out, has been counted himself by then.
const MOST_KEYS = 100_000

const NONE: Failures = { forgottenAt: 0, openAt: 0 }

/** Counts in this process: for one issuer alone, or while Redis is away. */
export function createMemoryCounts(clock: Clock): Counts {
  const windows = new LRUCache<string, { count: number; endsAt: number }>({ max: MOST_KEYS })
  const failures = new LRUCache<string, Failures>({ max: MOST_KEYS })
  const failuresOf = (key: string) => failures.get(key) ?? NONE
  return {
    async hit(key, windowMs) {
      const now = clock.now()
      const known = windows.get(key)
      const window = known && now < known.endsAt ? known : { count: 0, endsAt: now + windowMs }
      window.count++
      windows.set(key, window)
      return { count: window.count, endsInMs: window.endsAt - now }
    },

    async claim({ account, network }, nowMs) {
      const { openAt } = failuresOf(network)
      if (nowMs < openAt) return openAt - nowMs
      const pairKey = `${account} ${network}`
      const claimed = claimGuess(failuresOf(pairKey), failuresOf(account), nowMs)
      if ('pair' in claimed) {
        failures.set(pairKey, claimed.pair)
        failures.set(account, claimed.account)
      }
      return claimed.waitMs
    },

    async settle({ account, network }, outcome, nowMs) {
      if (outcome === 'wrong') {
        failures.set(network, addFailure(failuresOf(network), FAILURE_RULES.network, nowMs))
        return
      }
      const pairKey = `${account} ${network}`
      failures.set(account, takeBackFailure(failuresOf(account), FAILURE_RULES.account, nowMs))
      if (outcome === 'right') failures.delete(pairKey)
      else failures.set(pairKey, takeBackFailure(failuresOf(pairKey), FAILURE_RULES.pair, nowMs))
    },
  }
}
