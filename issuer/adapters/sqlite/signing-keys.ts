import type { DatabaseSync } from 'node:sqlite'
import type { SigningKeys } from '../../domain/ports.ts'
import type { StoredSigningKey } from '../../domain/signing-key.ts'
import { attempt } from './connect.ts'
import { insertInto } from './statements.ts'

const COLUMNS = [
  'kid',
  'alg',
  'state',
  'sealedPrivateKey',
  'createdAt',
  'retiredAt',
] as const satisfies (keyof StoredSigningKey)[]

/** Signing keys in SQLite; a partial unique index lets one of them be current. */
export function createSqliteSigningKeys(db: DatabaseSync): SigningKeys {
  const all = db.prepare('SELECT * FROM signingKeys ORDER BY createdAt, kid')
  const insert = db.prepare(`${insertInto('signingKeys', COLUMNS)} ON CONFLICT DO NOTHING`)
  return {
    all: () => attempt(() => all.all().map((row) => ({ ...row }) as unknown as StoredSigningKey)),
    insertFirst: (key) => attempt(() => insert.run({ ...key }).changes > 0),
  }
}
