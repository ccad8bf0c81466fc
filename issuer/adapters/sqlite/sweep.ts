import type { DatabaseSync } from 'node:sqlite'
import type { Clock } from '../../../shared/clock.ts'

// A transaction of this many rows holds the write lock, and the event loop, for a few milliseconds.
const BATCH = 500
const INTERVAL_MS = 60_000

/**
 * Deletes what has expired, now and every minute: sessions and mailed tokens that ended, ledger entries nobody needs any more.
 * @param failed told when a sweep did not work; the next one tries again
 * @returns stops it
 */
export function startSweep(db: DatabaseSync, clock: Clock, failed: (error: unknown) => void): () => void {
  const statements = [
    'DELETE FROM sessions WHERE sid IN (SELECT sid FROM sessions WHERE idleExpiresAt <= ? LIMIT ?)',
    'DELETE FROM oneTimeTokens WHERE hash IN (SELECT hash FROM oneTimeTokens WHERE expiresAt <= ? LIMIT ?)',
    'DELETE FROM ledger WHERE seq IN (SELECT seq FROM ledger WHERE keepUntilMs <= ? LIMIT ?)',
  ].map((sql) => db.prepare(sql))
  let next: NodeJS.Timeout
  const sweep = () => {
    let more = false
    try {
      for (const statement of statements) more = statement.run(clock.now(), BATCH).changes === BATCH || more
    } catch (error) {
      failed(error)
    }
    // With more to delete it goes on at once, but requests come first.
    next = setTimeout(sweep, more ? 10 : INTERVAL_MS).unref()
  }
  sweep()
  return () => clearTimeout(next)
}
