import type { Db } from 'mongodb'
import type { Users } from '../../domain/ports.ts'
import type { User } from '../../domain/user.ts'
import { attempt, isDuplicateKey, LINEARIZABLE } from './connect.ts'

type UserDocument = Omit<User, 'id'> & { _id: string }

/**
 * Users in MongoDB. Filters compare with `$eq`, so that a value from outside can never be an operator. `byId` is
 * linearizable: a refresh learns the user's epoch by it.
 */
export function createMongoUsers(db: Db): Users {
  const users = db.collection<UserDocument>('users')
  return {
    insert: ({ id, ...rest }) =>
      unlessTaken(async () => {
        await users.insertOne({ _id: id, ...rest })
        return { ok: true } as const
      }),
    byId: (id) => attempt(async () => toUser(await users.findOne({ _id: { $eq: id } }, LINEARIZABLE))),
    byEmailKey: (key) => attempt(async () => toUser(await users.findOne({ emailKey: { $eq: key } }))),
    byUsernameKey: (key) =>
      // `$type` repeats the partial index's condition: without it the planner does not use the index.
      attempt(async () => toUser(await users.findOne({ usernameKey: { $eq: key, $type: 'string' } }))),
    update: (id, change) =>
      unlessTaken(async () => {
        const given = Object.entries(change).filter(([, value]) => value !== undefined)
        if (given.length === 0) return toUser(await users.findOne({ _id: { $eq: id } }, LINEARIZABLE))
        const changes = { $set: Object.fromEntries(given) as Partial<UserDocument> }
        return toUser(await users.findOneAndUpdate({ _id: { $eq: id } }, changes, { returnDocument: 'after' }))
      }),
    raiseEpoch: (id) =>
      attempt(async () => {
        const options = { returnDocument: 'after', projection: { epoch: 1 } } as const
        return (await users.findOneAndUpdate({ _id: { $eq: id } }, { $inc: { epoch: 1 } }, options))?.epoch
      }),
  }
}

function toUser(document: UserDocument | null): User | undefined {
  if (!document) return undefined
  const { _id, ...rest } = document
  return { id: _id, ...rest }
}

const TAKEN = { emailKey: 'email', usernameKey: 'username' } as const

async function unlessTaken<T>(write: () => Promise<T>): Promise<T | { ok: false; taken: 'email' | 'username' }> {
  try {
    return await attempt(write)
  } catch (error) {
    if (!isDuplicateKey(error)) throw error
    const [field] = Object.keys(error.keyPattern ?? {})
    const taken = TAKEN[field as keyof typeof TAKEN]
    if (taken === undefined) throw error
    return { ok: false, taken }
  }
}
