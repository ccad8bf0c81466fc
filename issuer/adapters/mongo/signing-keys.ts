import type { Db, MongoClient } from 'mongodb'
import type { SigningKeys } from '../../domain/ports.ts'
import type { StoredSigningKey } from '../../domain/signing-key.ts'
import { attempt, inSession, isDuplicateKey, MAJORITY } from './connect.ts'

type KeyDocument = Omit<StoredSigningKey, 'kid'> & { _id: string }

/** Signing keys in MongoDB; a partial unique index lets one of them be current. */
export function createMongoSigningKeys(client: MongoClient, db: Db): SigningKeys {
  const keys = db.collection<KeyDocument>('signingKeys')
  return {
    // Only what a majority has: a key that a failover takes back must never sign.
    all: () =>
      attempt(async () => {
        const documents = await keys.find({}, { ...MAJORITY, sort: { createdAt: 1, _id: 1 } }).toArray()
        return documents.map(({ _id, ...rest }) => ({ kid: _id, ...rest }))
      }),
    insertFirst: ({ kid, ...rest }) =>
      inSession(client, async (session) => {
        try {
          await keys.insertOne({ _id: kid, ...rest }, { session })
          return true
        } catch (error) {
          if (!isDuplicateKey(error)) throw error
          // The winner may not have its majority yet; after this read `all` shows its key.
          await keys.findOne({ state: 'current' }, { ...MAJORITY, session })
          return false
        }
      }),
  }
}
