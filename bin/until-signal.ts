/**
 * Waits for Ctrl-C or SIGTERM, then ends what was started. A second signal ends the process at once.
 * @param close ends everything; the process exits with 0 when it is done
 */
export async function untilSignal(close: () => Promise<void>): Promise<void> {
  await new Promise<void>((resolve) => {
    process.once('SIGINT', resolve)
    process.once('SIGTERM', resolve)
  })
  process.once('SIGINT', () => process.exit(130))
  process.once('SIGTERM', () => process.exit(143))
  await close()
  process.exit(0)
}
