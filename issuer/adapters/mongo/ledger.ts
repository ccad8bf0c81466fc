import type { ClientSession, Db, Filter, MongoClient } from 'mongodb'
import { LEEWAY_S } from '../../../shared/clock.ts'
import { type Revocation, revocationId } from '../../../shared/revocation.ts'
import type { Ledger, LedgerEntry } from '../../domain/ports.ts'
import { attempt, inSession, isDuplicateKey, MAJORITY, MAX_TIME_MS } from './connect.ts'
import { createReadById } from './gathered-reads.ts'
import type { IssuerDocument } from './issuer-reports.ts'

interface LedgerDocument {
  /** `revocationId` of the revocation. */
  _id: string
  revocation: Revocation
  keepUntil: Date
  /** The primary's time when it was recorded. */
  at: Date
  published: boolean
  publishedAt?: Date
}

const BATCH = 1000

// How far a reader goes back behind its cursor. An entry it has not seen was written after the heartbeat the cursor
// was taken from, but its time can be earlier: by the difference of two primaries' clocks, the leeway each way, and by
// how long an operation may run after `$$NOW` was taken.
const OVERLAP_MS = 2 * LEEWAY_S * 1000 + MAX_TIME_MS

/** The ledger in MongoDB. Every write waits for the majority (the client's write concern). */
export function createMongoLedger(client: MongoClient, db: Db): Ledger {
  const ledger = db.collection<LedgerDocument>('ledger')
  const readId = createReadById<LedgerDocument>(db, 'ledger', { _id: 1 })
  const issuers = db.collection<IssuerDocument>('issuers')

  /**
   * Only the primary can have this write acknowledged by a majority, and a read that follows it in the session sees
   * all that was committed before it. The count makes each beat a write, even two in one millisecond.
   * @returns the primary's time
   */
  async function beat(instance: string, session: ClientSession): Promise<Date> {
    const beats = { $add: [{ $ifNull: ['$beats', 0] }, 1] }
    // Who issues tokens has reported before; a command that uses the ledger issues none.
    const update = [{ $set: { at: '$$NOW', beats, lifetimeS: { $ifNull: ['$lifetimeS', 0] } } }]
    const options = { upsert: true, session, maxTimeMS: MAX_TIME_MS }
    await repeatOnConflict(() => issuers.updateOne({ _id: instance }, update, options))
    const own = await issuers.findOne({ _id: instance }, { ...MAJORITY, session })
    if (!own) throw new Error('the heartbeat was deleted while it was read')
    return own.at
  }

  /** Reads what a heartbeat proves to be all there is, in batches; each has its own deadline. @returns the beat's time */
  async function* readAfterBeat(instance: string, filter: Filter<LedgerDocument>) {
    const session = client.startSession({ causalConsistency: true })
    const found = ledger.find(filter, { readConcern: 'majority', session, batchSize: BATCH })
    try {
      const at = await attempt(() => beat(instance, session))
      while (await attempt(() => found.hasNext())) yield found.readBufferedDocuments(BATCH)
      return at
    } finally {
      await found.close().catch(() => {})
      await session.endSession()
    }
  }

  return {
    record: async (entries) => {
      if (entries.length === 0) return []
      const operations = entries.map((entry) => ({
        updateOne: { filter: { _id: entry.id }, update: [recordUnlessThere(entry)], upsert: true },
      }))
      const options = { ordered: false, maxTimeMS: MAX_TIME_MS }
      const { upsertedCount } = await attempt(() => repeatOnConflict(() => ledger.bulkWrite(operations, options)))
      const revocations = entries.map(({ revocation }) => revocation)
      if (upsertedCount === entries.length) return revocations
      const found = await attempt(() => ledger.find({ _id: { $in: entries.map(({ id }) => id) } }, MAJORITY).toArray())
      const known = new Map(found.map(({ _id, revocation }) => [_id, revocation]))
      return entries.map(({ id, revocation }) => known.get(id) ?? revocation)
    },

    isSessionRevoked: async (sid) =>
      (await readId(revocationId({ kind: 'session', sid, sub: '', exp: 0 }))) !== undefined,

    unpublished: (instance, limit, nowS = 0) =>
      inSession(client, async (session) => {
        await beat(instance, session)
        const due = { published: false, 'revocation.exp': { $gt: nowS } }
        const found = ledger.find(due, { ...MAJORITY, session, sort: { 'revocation.exp': 1, at: 1, _id: 1 }, limit })
        return (await found.toArray()).map(toEntry)
      }),

    markPublished: async (ids) => {
      if (ids.length === 0) return
      const update = { $set: { published: true }, $currentDate: { publishedAt: true } } as const
      await attempt(() =>
        ledger.updateMany({ _id: { $in: ids }, published: false }, update, { maxTimeMS: MAX_TIME_MS }),
      )
    },

    async since(instance, cursor, nowS) {
      const from = cursor === undefined ? new Date(0) : new Date((cursor as Date).getTime() - OVERLAP_MS)
      const batches = readAfterBeat(instance, { at: { $gte: from }, 'revocation.exp': { $gt: nowS } })
      const entries: LedgerEntry[] = []
      for (;;) {
        const { done, value } = await batches.next()
        if (done) return { entries, cursor: value }
        for (const document of value) entries.push(toEntry(document))
      }
    },

    async *live(instance, nowS) {
      for await (const batch of readAfterBeat(instance, { 'revocation.exp': { $gt: nowS } })) {
        yield batch.map(({ revocation }) => revocation)
      }
    },
  }
}

/** The entry, overlaid by what is there already: a repetition changes neither its time nor whether it is published. */
function recordUnlessThere({ revocation, keepUntilMs }: LedgerEntry) {
  const entry = {
    _id: '$_id',
    revocation: { $literal: revocation },
    keepUntil: new Date(keepUntilMs),
    at: '$$NOW',
    published: false,
  }
  return { $replaceWith: { $mergeObjects: [entry, '$$ROOT'] } }
}

/**
 * Of two upserts of one new id at once, one can be refused with a duplicate key; done again it finds the other's
 * document, and waits like any write until a majority has it.
 */
async function repeatOnConflict<T>(upsert: () => Promise<T>): Promise<T> {
  try {
    return await upsert()
  } catch (error) {
    if (!isDuplicateKey(error)) throw error
    return upsert()
  }
}

function toEntry({ _id, revocation, keepUntil }: LedgerDocument): LedgerEntry {
  return { id: _id, revocation, keepUntilMs: keepUntil.getTime() }
}
