import type { DatabaseSync, SQLOutputValue } from 'node:sqlite'
import type { Roles } from '../../domain/ports.ts'
import type { Role } from '../../domain/role.ts'
import { attempt } from './connect.ts'
import { insertInto } from './statements.ts'

const COLUMNS = ['name', 'description', 'permissions', 'createdAt', 'updatedAt'] as const satisfies (keyof Role)[]

/** Roles in SQLite. */
export function createSqliteRoles(db: DatabaseSync): Roles {
  const all = db.prepare('SELECT * FROM roles ORDER BY name')
  const insert = db.prepare(`${insertInto('roles', COLUMNS)} ON CONFLICT DO NOTHING`)
  // What is not given stays as it is.
  const update = db.prepare(
    `UPDATE roles SET description = ifnull(:description, description),
       permissions = ifnull(:permissions, permissions), updatedAt = ifnull(:updatedAt, updatedAt)
     WHERE name = :name RETURNING *`,
  )
  const remove = db.prepare('DELETE FROM roles WHERE name = ?')
  return {
    all: () => attempt(() => all.all().map((row) => toRole(row)!)),
    insert: (role) => attempt(() => insert.run({ ...role, permissions: JSON.stringify(role.permissions) }).changes > 0),
    update: (name, { description = null, permissions, updatedAt = null }) =>
      attempt(() =>
        toRole(
          update.get({
            name,
            description,
            permissions: permissions === undefined ? null : JSON.stringify(permissions),
            updatedAt,
          }),
        ),
      ),
    delete: (name) => attempt(() => remove.run(name).changes > 0),
  }
}

function toRole(row: Record<string, SQLOutputValue> | undefined): Role | undefined {
  return row && ({ ...row, permissions: JSON.parse(String(row.permissions)) } as unknown as Role)
}
