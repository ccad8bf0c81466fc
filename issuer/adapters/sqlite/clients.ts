import type { DatabaseSync, SQLOutputValue } from 'node:sqlite'
import type { Client } from '../../domain/client.ts'
import type { Clients } from '../../domain/ports.ts'
import { attempt } from './connect.ts'
import { insertInto } from './statements.ts'

const COLUMNS = [
  'id',
  'name',
  'permissions',
  'isActive',
  'epoch',
  'secretHash',
  'previousSecretHash',
  'previousSecretUntil',
  'createdAt',
  'updatedAt',
] as const satisfies (keyof Client)[]

/** Service clients in SQLite. */
export function createSqliteClients(db: DatabaseSync): Clients {
  const insert = db.prepare(insertInto('clients', COLUMNS))
  const byId = db.prepare('SELECT * FROM clients WHERE id = ?')
  const list = db.prepare('SELECT * FROM clients WHERE id > ? ORDER BY id LIMIT ?')
  // What is not given stays as it is.
  const update = db.prepare(
    `UPDATE clients SET name = ifnull(:name, name), permissions = ifnull(:permissions, permissions),
       isActive = ifnull(:isActive, isActive), updatedAt = ifnull(:updatedAt, updatedAt), epoch = epoch + :raise
     WHERE id = :id RETURNING *`,
  )
  // On the right-hand side a column is what it was before.
  const rotate = db.prepare(
    `UPDATE clients SET previousSecretHash = iif(:previousUntil IS NULL, NULL, secretHash),
       previousSecretUntil = :previousUntil, secretHash = :secretHash, updatedAt = :nowMs, epoch = epoch + :raise
     WHERE id = :id RETURNING *`,
  )
  const remove = db.prepare('DELETE FROM clients WHERE id = ?')
  return {
    insert: (client) =>
      attempt(() => {
        insert.run({ ...client, permissions: JSON.stringify(client.permissions), isActive: Number(client.isActive) })
      }),
    byId: (id) => attempt(() => toClient(byId.get(id))),
    list: (after, limit) => attempt(() => list.all(after ?? '', limit).map((row) => toClient(row)!)),
    update: (id, { name, permissions, isActive, updatedAt }, raiseEpoch) =>
      attempt(() =>
        toClient(
          update.get({
            id,
            name: name ?? null,
            permissions: permissions === undefined ? null : JSON.stringify(permissions),
            isActive: isActive === undefined ? null : Number(isActive),
            updatedAt: updatedAt ?? null,
            raise: Number(raiseEpoch),
          }),
        ),
      ),
    rotateSecret: (id, { secretHash, previousUntil, nowMs }, raiseEpoch) =>
      attempt(() => toClient(rotate.get({ id, secretHash, previousUntil, nowMs, raise: Number(raiseEpoch) }))),
    delete: (id) => attempt(() => remove.run(id).changes > 0),
  }
}

function toClient(row: Record<string, SQLOutputValue> | undefined): Client | undefined {
  if (!row) return undefined
  const permissions = JSON.parse(String(row.permissions)) as string[]
  return { ...row, permissions, isActive: row.isActive === 1 } as unknown as Client
}
