import type { SQLInputValue } from 'node:sqlite'
import { endOfPrefix, MAX_SCANNED, ORDER_FIELDS, type UserQuery } from '../../domain/user-query.ts'

export interface Select {
  sql: string
  parameters: Record<string, SQLInputValue>
}

/**
 * The users in the order of the query, from its place on, at most one more than may be looked at. One index gives the
 * range and the order; the filters it does not serve are left to the reader, so that nothing is ever sorted or counted.
 */
export function selectUsers(query: UserQuery): Select {
  return query.order === 'created' ? newestFirst(query) : byPrefix(query, ORDER_FIELDS[query.order])
}

const LIMIT = `LIMIT ${MAX_SCANNED + 1}`

function newestFirst({ role, tier, isActive, isVerified, after }: UserQuery): Select {
  const parameters: Select['parameters'] = after ? { key: after.key, id: after.id } : {}
  if (role !== undefined) {
    return {
      // CROSS JOIN is SQLite's word for "in this order".
      sql: `SELECT users.* FROM userRoles CROSS JOIN users ON users.id = userRoles.userId
        WHERE userRoles.role = :role ${after ? 'AND (userRoles.createdAt, userRoles.userId) < (:key, :id)' : ''}
        ORDER BY userRoles.createdAt DESC, userRoles.userId DESC ${LIMIT}`,
      parameters: { ...parameters, role },
    }
  }
  // The first one that is given leads: the fewest users share it.
  const [leading] = Object.entries({ tier, isActive, isVerified }).filter(([, value]) => value !== undefined)
  const [column, value] = leading ?? []
  const where = column === undefined ? '' : `WHERE ${column} = :value`
  const further = after ? `${column === undefined ? 'WHERE' : 'AND'} (createdAt, id) < (:key, :id)` : ''
  if (value !== undefined) parameters.value = typeof value === 'boolean' ? Number(value) : value
  return {
    sql: `SELECT * FROM users ${where} ${further} ORDER BY createdAt DESC, id DESC ${LIMIT}`,
    parameters,
  }
}

function byPrefix({ prefix = '', after }: UserQuery, field: 'emailKey' | 'usernameKey'): Select {
  return {
    sql: `SELECT * FROM users WHERE ${field} >= :first AND ${field} < :end ${after ? `AND ${field} > :key` : ''}
      ORDER BY ${field} ${LIMIT}`,
    parameters: { first: prefix, end: endOfPrefix(prefix), ...(after && { key: after.key }) },
  }
}
