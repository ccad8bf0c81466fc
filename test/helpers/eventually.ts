import { setTimeout as sleep } from 'node:timers/promises'

export interface EventuallyOptions {
  /** How long to go on trying, in ms (default 20 000: it costs nothing where all is well, and machines stand still at times). */
  within?: number
  /** Pause between two attempts, in ms (default 20). */
  every?: number
  /** What is awaited, for the error's text. */
  message?: string
}

/**
 * Calls `condition` until it returns something truthy and returns that. An attempt that throws counts as "not yet".
 * Past the deadline it throws an error that says what the last attempt returned or threw.
 */
export async function eventually<T>(
  condition: () => T | Promise<T>,
  options: EventuallyOptions = {},
): Promise<Exclude<T, false | null | undefined | 0 | ''>> {
  const { within = 20_000, every = 20, message = 'the condition' } = options
  const deadline = performance.now() + within
  for (;;) {
    let last: string
    let cause: unknown
    try {
      const value = await condition()
      if (value) return value as Exclude<T, false | null | undefined | 0 | ''>
      last = `the last attempt gave ${String(value)}`
    } catch (error) {
      cause = error
      last = `the last attempt threw ${String(error)}`
    }
    if (performance.now() >= deadline) throw new Error(`${message}: not within ${within} ms; ${last}`, { cause })
    await sleep(every)
  }
}
