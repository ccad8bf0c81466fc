import type { DatabaseSync, SQLInputValue, SQLOutputValue, StatementSync } from 'node:sqlite'
import type { InsertedOfMany, Users } from '../../domain/ports.ts'
import type { User } from '../../domain/user.ts'
import { MAX_SCANNED, passesFilters, positionOf, type UserPage, type UserQuery } from '../../domain/user-query.ts'
import { attempt, inTransaction, violatedColumn } from './connect.ts'
import { insertInto } from './statements.ts'
import { selectUsers } from './user-pages.ts'

/** How each field of a user is stored: as it is, or written and read by these. */
const plain = { write: (value: unknown) => value, read: (value: unknown) => value }
const json = { write: (value: unknown) => JSON.stringify(value), read: (value: unknown) => JSON.parse(String(value)) }
const flag = { write: (value: unknown) => Number(value), read: (value: unknown) => value === 1 }

const COLUMNS: Record<keyof User, typeof plain> = {
  id: plain,
  email: plain,
  emailKey: plain,
  username: plain,
  usernameKey: plain,
  passwordHash: plain,
  epoch: plain,
  roles: json,
  tier: plain,
  isActive: flag,
  isVerified: flag,
  createdAt: plain,
  updatedAt: plain,
  lastLogin: plain,
}
const NAMES = Object.keys(COLUMNS) as (keyof User)[]

/** Users in SQLite. */
export function createSqliteUsers(db: DatabaseSync): Users {
  const insert = db.prepare(insertInto('users', NAMES))
  const byId = db.prepare('SELECT * FROM users WHERE id = ?')
  const byEmailKey = db.prepare('SELECT * FROM users WHERE emailKey = ?')
  const byUsernameKey = db.prepare('SELECT * FROM users WHERE usernameKey = ?')
  const raiseEpoch = db.prepare('UPDATE users SET epoch = epoch + 1 WHERE id = ? RETURNING epoch')
  const raiseEpochs = db.prepare(
    'UPDATE users SET epoch = epoch + ? WHERE id IN (SELECT id FROM users WHERE id > ? ORDER BY id LIMIT ?) RETURNING id',
  )
  const remove = db.prepare('DELETE FROM users WHERE id = ?')
  const takeRole = db.prepare(
    `UPDATE users SET roles = (SELECT json_group_array(value) FROM json_each(users.roles) WHERE value <> :name)
     WHERE id IN (SELECT userId FROM userRoles WHERE role = :name LIMIT :limit)`,
  )
  // As many as there are sets of fields and filters in use: a few dozen.
  const statements = new Map<string, StatementSync>()
  const prepared = (sql: string): StatementSync => {
    const statement = statements.get(sql) ?? db.prepare(sql)
    statements.set(sql, statement)
    return statement
  }
  return {
    insert: (user) =>
      attempt(() =>
        unlessTaken(() => {
          insert.run(toRow(user))
          return { ok: true } as const
        }),
      ),
    insertMany: (many) =>
      attempt(() =>
        inTransaction(db, () =>
          many.map((user): InsertedOfMany => {
            try {
              insert.run(toRow(user))
              return { ok: true }
            } catch (error) {
              const taken = TAKEN_OF_MANY[violatedColumn(error) as keyof typeof TAKEN_OF_MANY]
              if (taken === undefined) throw error
              return { ok: false, taken }
            }
          }),
        ),
      ),
    byId: (id) => attempt(() => toUser(byId.get(id))),
    byEmailKey: (key) => attempt(() => toUser(byEmailKey.get(key))),
    byUsernameKey: (key) => attempt(() => toUser(byUsernameKey.get(key))),
    update: (id, change, { onlyIf = {}, raiseEpoch = false } = {}) =>
      attempt(() => {
        const row = toRow(change)
        const condition = Object.entries(toRow(onlyIf)).map(([name, value]) => [name, `${IF}${name}`, value] as const)
        const assignments = Object.keys(row).map((name) => `${name} = :${name}`)
        if (raiseEpoch) assignments.push('epoch = epoch + 1')
        if (assignments.length === 0) return toUser(byId.get(id))
        const tests = condition.map(([name, parameter]) => `AND ${name} = :${parameter}`).join(' ')
        const update = prepared(`UPDATE users SET ${assignments.join(', ')} WHERE id = :userId ${tests} RETURNING *`)
        const demanded = Object.fromEntries(condition.map(([, parameter, value]) => [parameter, value]))
        return unlessTaken(() => toUser(update.get({ ...row, ...demanded, userId: id })))
      }),
    raiseEpoch: (id) => attempt(() => (raiseEpoch.get(id) as { epoch: number } | undefined)?.epoch),
    raiseEpochs: (by, limit, after = '') =>
      attempt(() => {
        const ids = raiseEpochs.all(by, after, limit).map(({ id }) => String(id))
        return { count: ids.length, last: ids.sort().at(-1) }
      }),
    page: (query) =>
      attempt(() => {
        const { sql, parameters } = selectUsers(query)
        return readPage(prepared(sql).iterate(parameters), query)
      }),
    delete: (id) => attempt(() => remove.run(id).changes > 0),
    takeRole: (name, limit) => attempt(() => Number(takeRole.run({ name, limit }).changes)),
  }
}

const IF = 'if_'

/** Reads until the page is full, the rows are at their end, or enough of them were looked at. */
function readPage(rows: Iterable<Record<string, SQLOutputValue>>, query: UserQuery): UserPage {
  const users: User[] = []
  let last: User | undefined
  let scanned = 0
  for (const row of rows) {
    if (users.length === query.limit || scanned === MAX_SCANNED) {
      return { users, next: positionOf(last!, query.order) }
    }
    scanned++
    last = toUser(row)!
    if (passesFilters(last, query)) users.push(last)
  }
  return { users, next: undefined }
}

/** Only the columns there are: a name in SQL is never one that came from outside. */
function toRow(user: Partial<User>): Record<string, SQLInputValue> {
  const given = NAMES.filter((name) => user[name] !== undefined)
  return Object.fromEntries(given.map((name) => [name, COLUMNS[name].write(user[name]) as SQLInputValue]))
}

function toUser(row: Record<string, SQLOutputValue> | undefined): User | undefined {
  if (!row) return undefined
  return Object.fromEntries(NAMES.map((name) => [name, COLUMNS[name].read(row[name])])) as unknown as User
}

const TAKEN = { 'users.emailKey': 'email', 'users.usernameKey': 'username' } as const
const TAKEN_OF_MANY = { ...TAKEN, 'users.id': 'id' } as const

function unlessTaken<T>(write: () => T): T | { ok: false; taken: 'email' | 'username' } {
  try {
    return write()
  } catch (error) {
    const taken = TAKEN[violatedColumn(error) as keyof typeof TAKEN]
    if (taken === undefined) throw error
    return { ok: false, taken }
  }
}
