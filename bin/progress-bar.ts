/** What is printed about something that takes its time. */
export interface ProgressBar {
  /** @param share from 0 to 1, or `undefined` when nobody knows the end */
  update(share: number | undefined, text: string): void
  /** Ends the bar's line. */
  end(): void
}

const WIDTH = 30
const ON_TERMINAL_MS = 100
const IN_LOG_MS = 5000

/** On a terminal one line that changes, elsewhere a line every few seconds. */
export function createProgressBar(out: NodeJS.WriteStream, now: () => number = () => performance.now()): ProgressBar {
  let shownAt = Number.NEGATIVE_INFINITY
  let open = false
  return {
    update(share, text) {
      if (now() - shownAt < (out.isTTY ? ON_TERMINAL_MS : IN_LOG_MS) && share !== 1) return
      shownAt = now()
      const percent = share === undefined ? '' : `${Math.floor(share * 100)}%`.padStart(4)
      if (!out.isTTY) return void out.write(`${percent.trim()} ${text}\n`.trimStart())
      const filled = Math.round((share ?? 0) * WIDTH)
      const bar = share === undefined ? '' : `[${'#'.repeat(filled)}${'.'.repeat(WIDTH - filled)}]`
      const line = `${bar}${percent} ${text}`.trimStart()
      out.write(`\r${line.slice(0, Math.max(20, (out.columns ?? 80) - 1))}\x1b[K`)
      open = true
    },
    end() {
      if (open) out.write('\n')
      open = false
    },
  }
}
