import type { Db } from 'mongodb'
import { attempt, isDuplicateKey } from './connect.ts'

const DAY_S = 86_400

/**
 * Each step is recorded under its number and never changed again. It may be run twice, or by several replicas at once:
 * creating an index that is there is nothing.
 */
const STEPS: ((db: Db) => Promise<unknown>)[] = [
  async (db) => {
    const users = db.collection('users')
    await users.createIndex({ emailKey: 1 }, { unique: true })
    // Only texts, so that any number of users can have no name.
    await users.createIndex(
      { usernameKey: 1 },
      { unique: true, partialFilterExpression: { usernameKey: { $type: 'string' } } },
    )
    const ledger = db.collection('ledger')
    await ledger.createIndex({ at: 1 })
    await ledger.createIndex({ at: 1, _id: 1 }, { partialFilterExpression: { published: false } })
    await ledger.createIndex({ 'revocation.exp': 1 })
    await ledger.createIndex({ keepUntil: 1 }, { expireAfterSeconds: 0 })
    // One current key, whoever was first.
    await db
      .collection('signingKeys')
      .createIndex({ state: 1 }, { unique: true, partialFilterExpression: { state: 'current' } })
    // The heartbeats of instances that are gone.
    await db.collection('issuers').createIndex({ at: 1 }, { expireAfterSeconds: DAY_S })
  },
]

/**
 * Brings the indexes up to date; safe from several replicas at once. A newer version's steps are left alone, so that
 * replicas of both versions can run during an update.
 */
export async function migrateMongo(db: Db): Promise<void> {
  const migrations = db.collection<{ _id: number; at: Date }>('migrations')
  const done = new Set((await attempt(() => migrations.find().toArray())).map(({ _id }) => _id))
  for (const [index, step] of STEPS.entries()) {
    const version = index + 1
    if (done.has(version)) continue
    await attempt(() => step(db))
    try {
      await attempt(() => migrations.insertOne({ _id: version, at: new Date() }))
    } catch (error) {
      if (!isDuplicateKey(error)) throw error
    }
  }
}
