import { accessSync, closeSync, constants, openSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { makeFolder } from '../../../shared/make-folder.ts'
import { unavailable } from '../unavailable.ts'

// Another process writes for milliseconds; one that holds the lock longer than this is stuck. The wait blocks the
// event loop, so it has to stay short: milliseconds.
const BUSY_TIMEOUT_MS = 2000

/**
 * Opens `sallyport.db` in the folder, creating both: readable by the owner alone. Several processes may open it.
 * @param prepare brings its tables up to date
 * @throws the file system's error, with `code` and `path`, when the folder or the file can't be created or written
 */
export function openSqlite(folder: string, prepare: (db: DatabaseSync) => void): DatabaseSync {
  makeFolder(folder)
  // SQLite says no more than "unable to open database file"; these two say what is wrong with which path.
  accessSync(folder, constants.W_OK | constants.X_OK)
  const file = join(folder, 'sallyport.db')
  closeSync(openSync(file, 'a+', 0o600))
  const db = new DatabaseSync(file, { timeout: BUSY_TIMEOUT_MS })
  try {
    db.exec('PRAGMA journal_mode = WAL')
    // In WAL mode NORMAL may lose the last commits with the power: the ledger's may not be lost.
    db.exec('PRAGMA synchronous = FULL')
    prepare(db)
    return db
  } catch (error) {
    db.close()
    throw error
  }
}

/** Runs `work` as one transaction that holds the write lock from its beginning; what it throws undoes it. */
export function inTransaction<T>(db: DatabaseSync, work: () => T): T {
  db.exec('BEGIN IMMEDIATE')
  try {
    const result = work()
    db.exec('COMMIT')
    return result
  } catch (error) {
    if (db.isTransaction) db.exec('ROLLBACK')
    throw error
  }
}

// Result codes (sqlite.org/rescode.html) that say that the statement was wrong, not that the file can't be used.
const SQLITE_ERROR = 1
const SQLITE_CONSTRAINT = 19
const SQLITE_MISMATCH = 20
const SQLITE_RANGE = 25

/** Runs a port's operation. @throws StoreUnavailable when the file is locked, full, gone, broken or closed */
export async function attempt<T>(work: () => T): Promise<T> {
  try {
    return work()
  } catch (error) {
    const code = resultCode(error)
    if (code === undefined) throw error
    if ([SQLITE_ERROR, SQLITE_CONSTRAINT, SQLITE_MISMATCH, SQLITE_RANGE].includes(code)) throw error
    throw unavailable('SQLite', error)
  }
}

const CLOSED = -1

function resultCode(error: unknown): number | undefined {
  const { code, errcode, message } = error as Error & { code?: string; errcode?: number }
  if (code === 'ERR_SQLITE_ERROR' && errcode !== undefined) return errcode & 0xff
  // What node:sqlite throws when the database was closed at the end of the process while a request still ran.
  return code === 'ERR_INVALID_STATE' && /not open|finalized/.test(message) ? CLOSED : undefined
}

/** The `table.column` whose uniqueness an insert or update hurt; `undefined` when it was another error. */
export function violatedColumn(error: unknown): string | undefined {
  if (resultCode(error) !== SQLITE_CONSTRAINT) return undefined
  return /^UNIQUE constraint failed: (\S+)$/.exec((error as Error).message)?.[1]
}
