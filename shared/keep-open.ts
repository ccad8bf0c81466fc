import { pause } from './lifecycle.ts'

/**
 * Opens a connection again and again for as long as it is wanted: after each end it waits, longer after each failure in a
 * row (at most 3 s, with jitter), and opens a new one.
 * @param session opens, works, and returns or throws when it has come to its end; `working` resets the waiting
 * @param onFailure told of each session that threw, unless it was ended by `signal`
 */
export async function keepOpen(
  session: (working: () => void) => Promise<void>,
  signal: AbortSignal,
  onFailure: (error: unknown) => void,
): Promise<void> {
  let failures = 0
  while (!signal.aborted) {
    try {
      await session(() => {
        failures = 0
      })
    } catch (error) {
      if (!signal.aborted) onFailure(error)
    }
    const longest = Math.min(100 * 2 ** failures++, 3000)
    await pause(longest / 2 + (Math.random() * longest) / 2, signal)
  }
}
