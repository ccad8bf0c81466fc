import type { Collection, Filter } from 'mongodb'
import type { User } from '../../domain/user.ts'
import {
  endOfPrefix,
  MAX_SCANNED,
  ORDER_FIELDS,
  passesFilters,
  positionOf,
  type UserPage,
  type UserPosition,
  type UserQuery,
} from '../../domain/user-query.ts'
import { attempt, MAX_TIME_MS } from './connect.ts'

export type UserDocument = Omit<User, 'id'> & { _id: string }

export function toUser(document: UserDocument | null | undefined): User | undefined {
  if (!document) return undefined
  const { _id, ...rest } = document
  return { id: _id, ...rest }
}

/**
 * One page of users. One index gives the range and the order; the filters that it does not serve are applied to at
 * most MAX_SCANNED users, so that nothing is ever sorted or counted.
 */
export async function readUserPage(users: Collection<UserDocument>, query: UserQuery): Promise<UserPage> {
  const { order, limit } = query
  const page: User[] = []
  let last: User | undefined
  let scanned = 0
  const inOrder = order === 'created' ? newestFirst(users, query) : byPrefix(users, query)
  for await (const user of inOrder) {
    if (page.length === limit || scanned === MAX_SCANNED) return { users: page, next: positionOf(last!, order) }
    scanned++
    last = user
    if (passesFilters(user, query)) page.push(user)
  }
  return { users: page, next: undefined }
}

const FIRST_WINDOW_MS = 60_000
const WINDOW_GROWTH = 16

/**
 * Goes back in time window by window, each 16 times as wide as the one before. A server would do as well with no lower
 * end, if it always took the index for the order too; one that does not would sort all users for every page.
 */
async function* newestFirst(users: Collection<UserDocument>, query: UserQuery): AsyncIterable<User> {
  const leading = leadingFilter(query)
  const size = chunkSize(query)
  const begin = (query.after?.key as number | undefined) ?? Date.now()
  let below = query.after
  for (let width = FIRST_WINDOW_MS; ; ) {
    const floor = begin - width
    const window = createdBelow(leading, below, floor)
    const found = await read(users, window, { createdAt: -1, _id: -1 }, size)
    yield* found
    if (found.length === size) below = positionOf(found.at(-1)!, 'created')
    else if (floor < 0) return
    else {
      // Nobody's id is lower than the empty one: what was created at the floor is behind us.
      below = { key: floor, id: '' }
      width *= WINDOW_GROWTH
    }
  }
}

/** Each branch names all of it, so that each is one range of the index. */
function createdBelow(
  leading: Filter<UserDocument>,
  below: UserPosition | undefined,
  floor: number,
): Filter<UserDocument> {
  const from = floor < 0 ? {} : { $gte: floor }
  if (!below) return floor < 0 ? leading : { ...leading, createdAt: from }
  const key = below.key as number
  return {
    $or: [
      { ...leading, createdAt: key, _id: { $lt: below.id } },
      { ...leading, createdAt: { ...from, $lt: key } },
    ],
  }
}

async function* byPrefix(users: Collection<UserDocument>, query: UserQuery): AsyncIterable<User> {
  const field = ORDER_FIELDS[query.order]
  const { prefix = '' } = query
  const size = chunkSize(query)
  for (let after = query.after; ; ) {
    // `$type` repeats the condition of the partial index on names.
    const range = { ...(after ? { $gt: after.key } : { $gte: prefix }), $lt: endOfPrefix(prefix), $type: 'string' }
    const found = await read(users, { [field]: range }, { [field]: 1 }, size)
    yield* found
    if (found.length < size) return
    after = positionOf(found.at(-1)!, query.order)
  }
}

async function read(
  users: Collection<UserDocument>,
  filter: Filter<UserDocument>,
  sort: Record<string, 1 | -1>,
  limit: number,
): Promise<User[]> {
  const found = await attempt(() => users.find(filter, { sort, limit, maxTimeMS: MAX_TIME_MS }).toArray())
  return found.map((document) => toUser(document)!)
}

const FILTERED_CHUNK = 500

/** One more than the page, to see whether it is the last; with filters nobody knows how many will pass. */
function chunkSize({ order, limit, role, tier, isActive, isVerified }: UserQuery): number {
  const filters = [role, tier, isActive, isVerified].filter((value) => value !== undefined).length
  return filters > (order === 'created' ? 1 : 0) ? FILTERED_CHUNK : limit + 1
}

/** The first filter that is given gives the index: the fewest users share it. */
function leadingFilter({ role, tier, isActive, isVerified }: UserQuery): Filter<UserDocument> {
  const [leading] = Object.entries({ roles: role, tier, isActive, isVerified }).filter(
    ([, value]) => value !== undefined,
  )
  return leading ? { [leading[0]]: { $eq: leading[1] } } : {}
}
