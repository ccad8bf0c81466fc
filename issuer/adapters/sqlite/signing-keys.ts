import type { DatabaseSync } from 'node:sqlite'
import type { SigningKeys } from '../../domain/ports.ts'
import type { StoredSigningKey } from '../../domain/signing-key.ts'
import { differences } from '../key-differences.ts'
import { attempt, inTransaction } from './connect.ts'
import { insertInto } from './statements.ts'

const COLUMNS = [
  'kid',
  'alg',
  'state',
  'sealedPrivateKey',
  'createdAt',
  'signsFrom',
  'retiredAt',
  'revokedAt',
] as const satisfies (keyof StoredSigningKey)[]

/** Signing keys in SQLite; a partial unique index lets one of them be current. */
export function createSqliteSigningKeys(db: DatabaseSync): SigningKeys {
  const select = db.prepare(`SELECT ${COLUMNS} FROM signingKeys ORDER BY createdAt, kid`)
  const all = () => select.all().map((row) => ({ ...row }) as unknown as StoredSigningKey)
  const remove = db.prepare('DELETE FROM signingKeys WHERE kid = ?')
  const insert = db.prepare(insertInto('signingKeys', COLUMNS))
  return {
    all: () => attempt(all),
    change: (decide) =>
      attempt(() =>
        inTransaction(db, () => {
          const before = all()
          const after = decide(before)
          const { removed, stored } = differences(before, after)
          for (const { kid } of [...removed, ...stored]) remove.run(kid)
          for (const key of stored) insert.run({ ...key })
          return after
        }),
      ),
  }
}
