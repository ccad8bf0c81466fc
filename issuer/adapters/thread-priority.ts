import { readdirSync, readFileSync } from 'node:fs'
import { setPriority } from 'node:os'

/** Hashing gets what the event loop leaves, and at least a tenth of a core that both want (nice value). */
const POOL_PRIORITY = 10

/**
 * Lets the event loop go before the threads of libuv's pool that there are: a request that takes a fraction of a
 * millisecond otherwise waits, at each of its steps, until a thread that hashes has used up its slice of some
 * milliseconds. Only Linux gives threads priorities of their own; elsewhere it does nothing.
 */
export function lowerPoolPriority(): void {
  try {
    for (const id of readdirSync('/proc/self/task')) {
      const name = readFileSync(`/proc/self/task/${id}/comm`, 'utf8')
      if (name.startsWith('libuv-worker')) setPriority(Number(id), POOL_PRIORITY)
    }
  } catch {
    // No Linux, or a sandbox that forbids it: slower under load, and nothing else.
  }
}
