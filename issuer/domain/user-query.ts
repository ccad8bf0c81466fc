import { fold, readEmail } from './normal-form.ts'
import type { User } from './user.ts'

/** In which order users are listed: newest first, or by the normal form of their address or name. */
export type UserOrder = 'created' | 'email' | 'username'

/** A place in a list, between two users: that of the last one seen. It stays right whatever comes or goes. */
export interface UserPosition {
  /** `createdAt` or the normal form, as the order has it. */
  key: number | string
  /** Decides between users created in the same millisecond. */
  id: string
}

export interface UserQuery {
  order: UserOrder
  /** What the address or the name begins with, in its normal form; with the orders of these only. */
  prefix?: string
  role?: string
  tier?: string
  isActive?: boolean
  isVerified?: boolean
  after?: UserPosition
  limit: number
}

export interface UserPage {
  users: User[]
  /** Where to go on; `undefined` at the end of the list. */
  next: UserPosition | undefined
}

/**
 * So many users are looked at for one page, and not more: a filter that hardly anyone passes makes many short pages
 * rather than one request that reads a million users.
 */
export const MAX_SCANNED = 2000

/** The field that gives the order. */
export const ORDER_FIELDS = { created: 'createdAt', email: 'emailKey', username: 'usernameKey' } as const

/** @returns the place of a user in the given order */
export function positionOf(user: Pick<User, 'id' | 'createdAt' | 'emailKey' | 'usernameKey'>, order: UserOrder) {
  return { key: user[ORDER_FIELDS[order]]!, id: user.id }
}

export function passesFilters(user: User, { role, tier, isActive, isVerified }: UserQuery): boolean {
  return (
    (role === undefined || user.roles.includes(role)) &&
    (tier === undefined || user.tier === tier) &&
    (isActive === undefined || user.isActive === isActive) &&
    (isVerified === undefined || user.isVerified === isVerified)
  )
}

/** The first text after all those that begin with the prefix, in the order of code points. */
export function endOfPrefix(prefix: string): string {
  return `${prefix}\u{10ffff}`
}

const MAX_CURSOR_CHARACTERS = 1024

/** A position as clients carry it; what is in it is nobody's business. */
export function writeCursor(order: UserOrder, { key, id }: UserPosition): string {
  return Buffer.from(JSON.stringify([order, key, id])).toString('base64url')
}

/** @returns `undefined` when it is no cursor of this order */
export function readCursor(order: UserOrder, cursor: string): UserPosition | undefined {
  if (cursor.length > MAX_CURSOR_CHARACTERS || !/^[\w-]+$/.test(cursor)) return undefined
  try {
    const parts = JSON.parse(Buffer.from(cursor, 'base64url').toString()) as unknown
    if (!Array.isArray(parts) || parts.length !== 3) return undefined
    const [of, key, id] = parts as unknown[]
    if (of !== order || typeof id !== 'string') return undefined
    const right = order === 'created' ? Number.isSafeInteger(key) : typeof key === 'string' && key.isWellFormed()
    return right && id.isWellFormed() ? { key: key as UserPosition['key'], id } : undefined
  } catch {
    return undefined
  }
}

export interface UserSearch {
  /** What the address begins with. */
  email?: string
  /** What the user name begins with. */
  username?: string
  role?: string
  tier?: string
  isActive?: boolean
  isVerified?: boolean
  limit?: number
  /** A cursor. */
  after?: string
}

const DEFAULT_LIMIT = 50

/** Reads what somebody looks for. A search gives the order too: only then is it a range of one index. */
export function readUserQuery(search: UserSearch): { ok: true; query: UserQuery } | { ok: false; errors: string[] } {
  const { email, username, after, limit = DEFAULT_LIMIT, ...filters } = search
  if (email !== undefined && username !== undefined) {
    return { ok: false, errors: ['email, username: only one of them can be searched for'] }
  }
  const order = email !== undefined ? 'email' : username !== undefined ? 'username' : 'created'
  const position = after === undefined ? undefined : readCursor(order, after)
  if (after !== undefined && !position) return { ok: false, errors: ['after: not the `next` of such a list'] }
  const text = email ?? username
  // A whole address has its own normal form; of a part, what can be said is how it is folded.
  const prefix = text === undefined ? undefined : ((email && readEmail(email)?.key) ?? fold(text))
  const query: UserQuery = { order, limit, ...filters }
  if (prefix !== undefined) query.prefix = prefix
  if (position) query.after = position
  return { ok: true, query }
}
