import { setTimeout as sleep } from 'node:timers/promises'
import type { Db } from 'mongodb'

/** Far longer than it takes: milliseconds. */
const PATIENCE_MS = 2000

/**
 * Drops what a test has left behind. A client that was killed within a transaction leaves it open, for a minute at most.
 * MongoDB waits for its end; SecantusDB 0.7.0b3 tries again and again, answers nobody meanwhile and so never finds that
 * the minute is over: there, transactions are aborted. Whoever runs one at that moment repeats it.
 */
export async function dropDatabase(db: Db): Promise<void> {
  const admin = db.client.db('admin')
  const { secantusVersion } = await admin.command({ buildInfo: 1 })
  const dropping = new AbortController()
  const abortOthers = async () => {
    for (;;) {
      await sleep(PATIENCE_MS, undefined, { signal: dropping.signal })
      if (secantusVersion) await admin.command({ killAllSessions: [] })
    }
  }
  const aborting = abortOthers().catch((error) => {
    if (!dropping.signal.aborted) throw error
  })
  await Promise.race([db.dropDatabase(), aborting]).finally(() => dropping.abort())
}
