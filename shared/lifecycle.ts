import type { Log } from './log.ts'

/** What has been started and has to be ended, last started first. */
export interface Lifecycle {
  /** Registers how something ends; `name` is for the log. What comes after the end has begun is ended too. */
  onClose(name: string, close: () => unknown): void
  /** Ends everything once, however often it is called; a part that fails to end does not keep the others. */
  close(): Promise<void>
  /** Aborted when the end begins: loops and waits stop at it. */
  readonly signal: AbortSignal
}

/** @param deadlineMs how long the end may take for each part: milliseconds */
export function createLifecycle(log: Log, deadlineMs = 30_000): Lifecycle {
  const parts: { name: string; close: () => unknown }[] = []
  const ending = new AbortController()
  let closed: Promise<void> | undefined
  const endAll = async () => {
    for (let part = parts.pop(); part; part = parts.pop()) {
      try {
        await withDeadline(Promise.resolve(part.close()), deadlineMs)
      } catch (error) {
        log.error({ err: error, part: part.name }, 'a part did not end cleanly')
      }
    }
  }
  return {
    onClose(name, close) {
      parts.push({ name, close })
      // A start that was under way when the end came must not leave anything behind.
      if (closed) closed = closed.then(endAll)
    },
    close() {
      // Set before the signal, whose listeners may call this again.
      closed ??= Promise.resolve().then(endAll)
      ending.abort()
      return closed
    },
    signal: ending.signal,
  }
}

/** @throws Error when `promise` takes longer than `ms` milliseconds */
export async function withDeadline<T>(promise: Promise<T>, ms: number): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const expired = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not done within ${ms} ms`)), ms)
  })
  try {
    return await Promise.race([promise, expired])
  } finally {
    clearTimeout(timer)
  }
}

/** Waits no less than `ms` milliseconds, or until `signal` is aborted; never throws. */
export function pause(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted) return resolve()
    const done = () => {
      clearTimeout(timer)
      signal?.removeEventListener('abort', done)
      resolve()
    }
    // Timers count in whole milliseconds from the start of the loop's turn, so that each may fire nearly one too early.
    // What is late already would be a warning on stderr.
    const timer = setTimeout(done, ms > 0 ? Math.ceil(ms) + 1 : 0)
    signal?.addEventListener('abort', done, { once: true })
  })
}
