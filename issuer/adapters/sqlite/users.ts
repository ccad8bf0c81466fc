import type { DatabaseSync, SQLInputValue, SQLOutputValue } from 'node:sqlite'
import type { Users } from '../../domain/ports.ts'
import type { User } from '../../domain/user.ts'
import { attempt, violatedColumn } from './connect.ts'
import { insertInto } from './statements.ts'

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
  return {
    insert: (user) =>
      attempt(() =>
        unlessTaken(() => {
          insert.run(toRow(user))
          return { ok: true } as const
        }),
      ),
    byId: (id) => attempt(() => toUser(byId.get(id))),
    byEmailKey: (key) => attempt(() => toUser(byEmailKey.get(key))),
    byUsernameKey: (key) => attempt(() => toUser(byUsernameKey.get(key))),
    update: (id, change) =>
      attempt(() => {
        const row = toRow(change)
        const assignments = Object.keys(row).map((name) => `${name} = :${name}`)
        if (assignments.length === 0) return toUser(byId.get(id))
        const update = db.prepare(`UPDATE users SET ${assignments.join(', ')} WHERE id = :userId RETURNING *`)
        return unlessTaken(() => toUser(update.get({ ...row, userId: id })))
      }),
    raiseEpoch: (id) => attempt(() => (raiseEpoch.get(id) as { epoch: number } | undefined)?.epoch),
  }
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

function unlessTaken<T>(write: () => T): T | { ok: false; taken: 'email' | 'username' } {
  try {
    return write()
  } catch (error) {
    const taken = TAKEN[violatedColumn(error) as keyof typeof TAKEN]
    if (taken === undefined) throw error
    return { ok: false, taken }
  }
}
