/** Where every part reads the time, so that a test can set it. */
export interface Clock {
  /** Milliseconds since the Unix epoch. */
  now(): number
}

export const systemClock: Clock = { now: () => Date.now() }

/** Seconds since the Unix epoch, rounded down: NumericDate of RFC 7519 section 2. */
export function seconds(clock: Clock): number {
  return Math.floor(clock.now() / 1000)
}

/** How far two machines' clocks may be apart, in seconds; `exp` and the freshness bound both allow for it. */
export const LEEWAY_S = 5
