import { type Db, type Filter, MongoBulkWriteError, type WriteError } from 'mongodb'
import type { InsertedOfMany, Users } from '../../domain/ports.ts'
import { unavailable } from '../unavailable.ts'
import { attempt, isDuplicateKey, LINEARIZABLE } from './connect.ts'
import { createReadById } from './gathered-reads.ts'
import { readUserPage, toUser, type UserDocument } from './user-pages.ts'

/**
 * Users in MongoDB. Filters compare with `$eq`, so that a value from outside can never be an operator. `byId` is
 * linearizable: a refresh learns the user's epoch by it.
 */
export function createMongoUsers(db: Db): Users {
  const users = db.collection<UserDocument>('users')
  const readById = createReadById<UserDocument>(db, 'users')
  return {
    insert: ({ id, ...rest }) =>
      unlessTaken(async () => {
        await users.insertOne({ _id: id, ...rest })
        return { ok: true } as const
      }),
    insertMany: (many) =>
      attempt(async () => {
        const results = many.map((): InsertedOfMany => ({ ok: true }))
        if (many.length === 0) return results
        try {
          const documents = many.map(({ id, ...rest }) => ({ _id: id, ...rest }))
          await users.insertMany(documents, { ordered: false })
        } catch (error) {
          if (!(error instanceof MongoBulkWriteError)) throw error
          if (error.result.getWriteConcernError()) throw unavailable('MongoDB', new Error('no majority has it'))
          const writeErrors = [error.writeErrors].flat()
          // A connection that broke is reported the same way, without a word on any document.
          if (error.result.insertedCount + writeErrors.length < many.length) throw unavailable('MongoDB', error)
          for (const refused of writeErrors) {
            results[refused.index] = { ok: false, taken: TAKEN_OF_MANY[takenOfMany(refused)] }
          }
        }
        return results
      }),
    byId: async (id) => toUser(await readById(id)),
    byEmailKey: (key) => attempt(async () => toUser(await users.findOne({ emailKey: { $eq: key } }))),
    byUsernameKey: (key) =>
      // `$type` repeats the partial index's condition: without it the planner does not use the index.
      attempt(async () => toUser(await users.findOne({ usernameKey: { $eq: key, $type: 'string' } }))),
    update: (id, change, { onlyIf = {}, raiseEpoch = false } = {}) =>
      unlessTaken(async () => {
        const given = Object.entries(change).filter(([, value]) => value !== undefined)
        if (given.length === 0 && !raiseEpoch) return toUser(await users.findOne({ _id: { $eq: id } }, LINEARIZABLE))
        const conditions = Object.entries(onlyIf).map(([name, value]) => [name, { $eq: value }])
        const changes = {
          ...(given.length > 0 && { $set: Object.fromEntries(given) as Partial<UserDocument> }),
          ...(raiseEpoch && { $inc: { epoch: 1 } }),
        }
        // First the id: a simple planner takes the index of the first field, and most users are active.
        const filter: Filter<UserDocument> = { _id: { $eq: id }, ...Object.fromEntries(conditions) }
        return toUser(await users.findOneAndUpdate(filter, changes, { returnDocument: 'after' }))
      }),
    raiseEpoch: (id) =>
      attempt(async () => {
        const options = { returnDocument: 'after', projection: { epoch: 1 } } as const
        return (await users.findOneAndUpdate({ _id: { $eq: id } }, { $inc: { epoch: 1 } }, options))?.epoch
      }),
    raiseEpochs: (by, limit, after = '') =>
      attempt(async () => {
        const found = await users
          .find({ _id: { $gt: after } }, { projection: { _id: 1 }, sort: { _id: 1 }, limit })
          .toArray()
        const last = found.at(-1)?._id
        if (last === undefined) return { count: 0, last }
        const { matchedCount } = await users.updateMany({ _id: { $gt: after, $lte: last } }, { $inc: { epoch: by } })
        return { count: matchedCount, last }
      }),
    page: (query) => readUserPage(users, query),
    delete: (id) => attempt(async () => (await users.deleteOne({ _id: { $eq: id } })).deletedCount > 0),
    takeRole: (name, limit) =>
      attempt(async () => {
        const holding = { roles: { $eq: name } } as const
        const found = await users.find(holding, { projection: { _id: 1 }, limit }).toArray()
        const ids = found.map(({ _id }) => _id)
        if (ids.length > 0) await users.updateMany({ _id: { $in: ids }, ...holding }, { $pull: { roles: name } })
        return ids.length
      }),
  }
}

const TAKEN = { emailKey: 'email', usernameKey: 'username' } as const
const TAKEN_OF_MANY = { ...TAKEN, _id: 'id' } as const

/** Of many the driver keeps the index's name only, within the text. */
function takenOfMany({ code, errmsg = '' }: WriteError): keyof typeof TAKEN_OF_MANY {
  const [, field] = / index: (?:\S*\$)?(_id|emailKey|usernameKey)_/.exec(errmsg) ?? []
  // Its own text has the document in it.
  if (code !== 11000 || field === undefined) throw unavailable('MongoDB', new Error(`an insert failed: code ${code}`))
  return field as keyof typeof TAKEN_OF_MANY
}

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
