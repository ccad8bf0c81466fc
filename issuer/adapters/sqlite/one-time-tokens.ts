import type { DatabaseSync } from 'node:sqlite'
import type { OneTimeToken } from '../../domain/one-time-token.ts'
import type { OneTimeTokens } from '../../domain/ports.ts'
import { attempt } from './connect.ts'
import { insertInto } from './statements.ts'

const COLUMNS = ['hash', 'sub', 'purpose', 'state', 'expiresAt'] as const satisfies (keyof OneTimeToken)[]

/** Mailed tokens in SQLite; the sweep deletes those that expired. */
export function createSqliteOneTimeTokens(db: DatabaseSync): OneTimeTokens {
  const insert = db.prepare(insertInto('oneTimeTokens', COLUMNS))
  const find = db.prepare('SELECT * FROM oneTimeTokens WHERE hash = ?')
  const take = db.prepare('DELETE FROM oneTimeTokens WHERE hash = ?')
  return {
    insert: (token) => attempt(() => void insert.run({ ...token })),
    find: (hash) =>
      attempt(() => {
        const row = find.get(hash)
        return row && ({ ...row } as unknown as OneTimeToken)
      }),
    take: (hash) => attempt(() => take.run(hash).changes > 0),
  }
}
