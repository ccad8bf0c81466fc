import type { DatabaseSync } from 'node:sqlite'
import { setImmediate } from 'node:timers/promises'
import { type Revocation, revocationId } from '../../../shared/revocation.ts'
import type { Ledger, LedgerEntry } from '../../domain/ports.ts'
import { attempt, inTransaction } from './connect.ts'

const BATCH = 1000
/** A negative LIMIT is none. */
const ALL = -1

interface Row {
  seq: number
  id: string
  revocation: string
  keepUntilMs: number
}

/**
 * The ledger in SQLite. Its writers hold the file's one write lock, so entries become visible in the order of their
 * numbers: the number of the last one read is a place to go on from, and whoever reads sees all that was committed.
 */
export function createSqliteLedger(db: DatabaseSync): Ledger {
  const insert = db.prepare(
    'INSERT INTO ledger (id, revocation, exp, keepUntilMs) VALUES (?, ?, ?, ?) ON CONFLICT (id) DO NOTHING',
  )
  const known = db.prepare('SELECT revocation FROM ledger WHERE id = ?')
  const exists = db.prepare('SELECT 1 FROM ledger WHERE id = ?')
  const unpublished = db.prepare('SELECT * FROM ledger WHERE publishedAt IS NULL AND exp > ? ORDER BY exp, seq LIMIT ?')
  const mark = db.prepare(
    "UPDATE ledger SET publishedAt = CAST(unixepoch('subsec') * 1000 AS INTEGER) WHERE id = ? AND publishedAt IS NULL",
  )
  const last = db.prepare('SELECT max(seq) AS seq FROM ledger')
  const lastSeq = () => (last.get() as { seq: number | null }).seq ?? 0
  const between = db.prepare('SELECT * FROM ledger WHERE seq > ? AND seq <= ? AND exp > ? ORDER BY seq LIMIT ?')
  return {
    record: (entries) =>
      attempt(() =>
        inTransaction(db, () =>
          entries.map(({ id, revocation, keepUntilMs }) => {
            const { changes } = insert.run(id, JSON.stringify(revocation), revocation.exp, keepUntilMs)
            if (changes !== 0) return revocation
            return JSON.parse((known.get(id) as { revocation: string }).revocation) as Revocation
          }),
        ),
      ),
    isSessionRevoked: (sid) =>
      attempt(() => exists.get(revocationId({ kind: 'session', sid, sub: '', exp: 0 })) !== undefined),
    unpublished: (_instance, limit, nowS = 0) =>
      attempt(() => (unpublished.all(nowS, limit) as unknown as Row[]).map(toEntry)),
    markPublished: (ids) =>
      attempt(() =>
        inTransaction(db, () => {
          for (const id of ids) mark.run(id)
        }),
      ),
    since: (_instance, cursor, nowS) =>
      attempt(() => {
        const from = (cursor as number | undefined) ?? 0
        // Deletions can leave the last number behind the cursor.
        const to = Math.max(from, lastSeq())
        return { entries: (between.all(from, to, nowS, ALL) as unknown as Row[]).map(toEntry), cursor: to }
      }),
    async *live(_instance, nowS) {
      let from = 0
      // What is recorded meanwhile is not awaited: the end would move with every page.
      const to = await attempt(lastSeq)
      for (;;) {
        const rows = await attempt(() => between.all(from, to, nowS, BATCH) as unknown as Row[])
        const lastRow = rows.at(-1)
        if (!lastRow) return
        yield rows.map((row) => toEntry(row).revocation)
        // The next page is read without waiting for anything; requests come first.
        await setImmediate()
        from = lastRow.seq
      }
    },
  }
}

function toEntry({ id, revocation, keepUntilMs }: Row): LedgerEntry {
  return { id, revocation: JSON.parse(revocation) as Revocation, keepUntilMs }
}
