import type { ClientSession, Db, MongoClient } from 'mongodb'
import type { SigningKeys } from '../../domain/ports.ts'
import type { StoredSigningKey } from '../../domain/signing-key.ts'
import { differences } from '../key-differences.ts'
import { inSession, MAJORITY, MAX_TIME_MS } from './connect.ts'

type KeyDocument = Omit<StoredSigningKey, 'kid'> & { _id: string }

const TRANSACTION = {
  // What a transaction read can't be taken back once it is committed.
  readConcern: 'snapshot',
  writeConcern: { w: 'majority', journal: true, wtimeoutMS: MAX_TIME_MS },
  readPreference: 'primary',
  maxCommitTimeMS: MAX_TIME_MS,
} as const

/** What the changes of one collection are counted under, so that two at once conflict whatever they touch. */
export const SIGNING_KEYS_LOCK = 'signingKeys'

/** Signing keys in MongoDB; a partial unique index lets one of them be current. */
export function createMongoSigningKeys(client: MongoClient, db: Db): SigningKeys {
  const keys = db.collection<KeyDocument>('signingKeys')
  const locks = db.collection<{ _id: string; changes: number }>('locks')
  const sort = { createdAt: 1, _id: 1 } as const

  const changeOnce = async (session: ClientSession, decide: Parameters<SigningKeys['change']>[0]) => {
    await locks.updateOne({ _id: SIGNING_KEYS_LOCK }, { $inc: { changes: 1 } }, { session, upsert: true })
    const before = (await keys.find({}, { session, sort }).toArray()).map(toKey)
    const after = decide(before)
    const { removed, stored } = differences(before, after)
    const gone = [...removed, ...stored].map(({ kid }) => kid)
    if (gone.length > 0) await keys.deleteMany({ _id: { $in: gone } }, { session })
    if (stored.length > 0) await keys.insertMany(stored.map(toDocument), { session })
    return after
  }

  return {
    // Only what a majority has: a key that a failover takes back must never sign.
    all: () =>
      inSession(client, async (session) => (await keys.find({}, { ...MAJORITY, session, sort }).toArray()).map(toKey)),
    change: (decide) =>
      inSession(client, (session) => session.withTransaction(() => changeOnce(session, decide), TRANSACTION)),
  }
}

function toKey({ _id, ...rest }: KeyDocument): StoredSigningKey {
  return { kid: _id, ...rest }
}

function toDocument({ kid, ...rest }: StoredSigningKey): KeyDocument {
  return { _id: kid, ...rest }
}
