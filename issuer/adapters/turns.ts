/** Waits for a turn. @returns how it is ended, which has to happen; again is harmless */
export type TakeTurn = () => Promise<() => void>

/**
 * Lets so many work at once; the others wait in the order in which they came.
 * @param atOnce at least 1
 */
export function createTurns(atOnce: number): TakeTurn {
  const waiting: (() => void)[] = []
  let working = 0
  const begin = () => {
    let over = false
    return () => {
      if (over) return
      over = true
      const next = waiting.shift()
      if (next) next()
      else working--
    }
  }
  return async () => {
    if (working < atOnce) working++
    else await new Promise<void>((resolve) => waiting.push(resolve))
    return begin()
  }
}

/**
 * Gives on what is read in a turn. Whoever takes it may keep the turn waiting for so long in all; then the turn ends, and
 * it goes on without: a few that take nothing, or a little at a time, must not keep the others from theirs.
 * @param waitMs milliseconds
 */
export async function* handOut<T>(items: AsyncIterable<T>, endTurn: () => void, waitMs: number): AsyncGenerator<T> {
  let leftMs = waitMs
  for await (const item of items) {
    const given = performance.now()
    const timer = setTimeout(endTurn, leftMs)
    try {
      yield item
    } finally {
      clearTimeout(timer)
    }
    leftMs = Math.max(0, leftMs - (performance.now() - given))
  }
}
