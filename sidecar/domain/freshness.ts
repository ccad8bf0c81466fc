import { type Clock, LEEWAY_S } from '../../shared/clock.ts'

/**
 * How far what is known about revocations reaches: every one committed before `completeUntil` has been read. Any source
 * by itself carries the whole proof, so the one that is furthest counts.
 */
export interface Freshness {
  /**
   * A source has read everything that was committed before `completeUntilMs`. It never goes back. An instant further in
   * the future than clocks may differ is not believed.
   * @returns whether it was believed
   */
  advance(source: string, completeUntilMs: number): boolean
  /** Milliseconds; of one source or of all; 0 before anything is known. */
  completeUntil(source?: string): number
  /** The metric: milliseconds, never negative; infinite before anything is known. */
  ageMs(nowMs: number): number
  /** Whether revocations are known up to the staleness bound. */
  isFresh(nowMs: number): boolean
}

const LEEWAY_MS = LEEWAY_S * 1000

/**
 * @param options `maxStalenessMs`: milliseconds. By the sidecar's own clock it is exact: an issuer's clock that is ahead by
 * the leeway adds that to the true time, and nothing more may.
 */
export function createFreshness({ maxStalenessMs, clock }: { maxStalenessMs: number; clock: Clock }): Freshness {
  const sources = new Map<string, number>()
  let furthest = 0

  const isBelievable = (untilMs: number, nowMs: number) => untilMs > 0 && untilMs <= nowMs + LEEWAY_MS

  return {
    advance(source, untilMs) {
      const nowMs = clock.now()
      if (!isBelievable(untilMs, nowMs)) return false
      // What is known stays known, unless our own clock was set back and makes it unbelievable.
      for (const [name, known] of sources) if (!isBelievable(known, nowMs)) sources.delete(name)
      sources.set(source, Math.max(untilMs, sources.get(source) ?? 0))
      furthest = Math.max(...sources.values())
      return true
    },
    completeUntil: (source) => (source === undefined ? furthest : (sources.get(source) ?? 0)),
    ageMs: (nowMs) => (furthest === 0 ? Number.POSITIVE_INFINITY : Math.max(0, nowMs - furthest)),
    isFresh: (nowMs) => isBelievable(furthest, nowMs) && nowMs - furthest <= maxStalenessMs,
  }
}
