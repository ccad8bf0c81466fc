import type { Db } from 'mongodb'
import { attempt, isDuplicateKey } from './connect.ts'
import { SIGNING_KEYS_LOCK } from './signing-keys.ts'

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
  async (db) => {
    const locks = db.collection<{ _id: string; changes: number }>('locks')
    await locks.updateOne({ _id: SIGNING_KEYS_LOCK }, { $setOnInsert: { changes: 0 } }, { upsert: true })
    const signsFrom = { $cond: [{ $eq: ['$state', 'next'] }, null, '$createdAt'] }
    await db
      .collection('signingKeys')
      .updateMany({ signsFrom: { $exists: false } }, [{ $set: { signsFrom, revokedAt: null } }])
  },
  async (db) => {
    await db.collection('oneTimeTokens').createIndex({ expiresAt: 1 }, { expireAfterSeconds: 0 })
  },
  async (db) => {
    const users = db.collection('users')
    const newestFirst = { createdAt: 1, _id: 1 } as const
    await users.createIndex(newestFirst)
    await users.createIndex({ roles: 1, ...newestFirst })
    await users.createIndex({ tier: 1, ...newestFirst })
    await users.createIndex({ isActive: 1, ...newestFirst })
    await users.createIndex({ isVerified: 1, ...newestFirst })
    const roles = db.collection<{ _id: string }>('roles')
    const now = Date.now()
    for (const [_id, description, permissions] of [
      ['subscriber', 'what every user gets at registration', []],
      ['viewer', 'sees users and roles', ['roles:read', 'users:read']],
      ['admin', 'administers users', ['roles:read', 'sessions:end', 'users:delete', 'users:read', 'users:write']],
      ['superuser', 'has every permission', []],
    ] as const) {
      const role = { description, permissions, createdAt: now, updatedAt: now }
      // Run twice, it takes nothing back that was changed meanwhile.
      await roles.updateOne({ _id }, { $setOnInsert: role }, { upsert: true }).catch((error) => {
        if (!isDuplicateKey(error)) throw error
      })
    }
  },
  async (db) => {
    // Without a broker entries are never marked: what has expired must not be in the way of the rest.
    await db
      .collection('ledger')
      .createIndex({ 'revocation.exp': 1, at: 1, _id: 1 }, { partialFilterExpression: { published: false } })
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
