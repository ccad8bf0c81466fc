export interface Part {
  close(): Promise<void>
}

/**
 * Starts parts one after the other and runs them until Ctrl-C or SIGTERM, then ends them, last started first. A signal
 * that comes while they start counts as well; a second one ends the process at once.
 * @param start starts everything, and hands over each part as soon as it runs; `signal` is aborted when it is to stop
 * @throws what `start` throws, after the parts that ran have ended
 */
export async function runUntilSignal(
  start: (started: (part: Part) => void, signal: AbortSignal) => Promise<void>,
): Promise<void> {
  const parts: Part[] = []
  const closeAll = async () => {
    for (const part of parts.reverse()) await part.close()
  }
  const ending = new AbortController()
  const signalled = new Promise<void>((resolve) => {
    const first = () => {
      process.removeListener('SIGINT', first).removeListener('SIGTERM', first)
      process.once('SIGINT', () => process.exit(130))
      process.once('SIGTERM', () => process.exit(143))
      ending.abort()
      resolve()
    }
    process.on('SIGINT', first).on('SIGTERM', first)
  })
  try {
    await start((part) => parts.push(part), ending.signal)
  } catch (error) {
    await closeAll()
    if (!ending.signal.aborted) throw error
  }
  await signalled
  await closeAll()
  process.exit(0)
}
