/** Waits for a turn. @returns how it is ended, which has to happen once */
export type TakeTurn = () => Promise<() => void>

/**
 * Lets so many work at once; the others wait in the order in which they came.
 * @param atOnce at least 1
 */
export function createTurns(atOnce: number): TakeTurn {
  const waiting: (() => void)[] = []
  let working = 0
  const end = () => {
    const next = waiting.shift()
    if (next) next()
    else working--
  }
  return async () => {
    if (working < atOnce) working++
    else await new Promise<void>((resolve) => waiting.push(resolve))
    return end
  }
}
