import { type Db, type Document, type Filter, MongoNetworkError, MongoServerError } from 'mongodb'
import { attempt, LINEARIZABLE } from './connect.ts'

/** Reads one document by its `_id`. @throws StoreUnavailable */
export type ReadById<D> = (id: string) => Promise<D | undefined>

// One command answers so many at most; more would make everyone wait for the slowest.
const MAX_IDS = 100
const MAX_TIME_MS_EXPIRED = 50

/**
 * Reads documents by `_id`, all that are asked for in one turn of the event loop in one command: the driver and the
 * server take as long for a command of ten ids as for two commands of one, so the busier the issuer, the cheaper each
 * read. Nothing waits for others to come. What holds for a read of one id holds for each here: a linearizable command
 * confirms after its reads, whatever their number, that this server leads; and a document is found by a key that never
 * changes, so that none that was there before is missed.
 * @param projection what is read of each document beside its `_id`; all of it by default
 */
export function createReadById<D extends Document & { _id: string }>(
  db: Db,
  name: string,
  projection?: Document,
): ReadById<D> {
  let waiting: Map<string, PromiseWithResolvers<D | undefined>> | undefined

  async function read(asked: Map<string, PromiseWithResolvers<D | undefined>>): Promise<void> {
    try {
      const found = await attempt(() => find([...asked.keys()]))
      for (const document of found) asked.get(document._id)?.resolve(document)
      // A promise is settled once: this is for those without a document.
      for (const { resolve } of asked.values()) resolve(undefined)
    } catch (error) {
      for (const { reject } of asked.values()) reject(error)
    }
  }

  /** Without the driver's cursor, which is half of what a read costs; with it where the driver would read once more. */
  async function find(ids: string[]): Promise<D[]> {
    const filter = { _id: { $in: ids } }
    const limits = { limit: ids.length, batchSize: ids.length, singleBatch: true, ...(projection && { projection }) }
    const { readConcern: level, maxTimeMS } = LINEARIZABLE
    try {
      const answer = await db.command({ find: name, filter, ...limits, readConcern: { level }, maxTimeMS })
      return answer.cursor.firstBatch as D[]
    } catch (error) {
      if (!isWorthRepeating(error)) throw error
      return db
        .collection<D>(name)
        .find<D>(filter as unknown as Filter<D>, { ...limits, ...LINEARIZABLE })
        .toArray()
    }
  }

  return (id) => {
    // Whatever the types say: an operator in `$in` is an error, which would be that of everyone in the command.
    if (typeof id !== 'string') return Promise.resolve(undefined)
    let batch = waiting
    if (!batch || batch.size >= MAX_IDS) {
      const begun = new Map<string, PromiseWithResolvers<D | undefined>>()
      batch = waiting = begun
      // After what this turn's other answers bring about.
      process.nextTick(() => {
        if (waiting === begun) waiting = undefined
        void read(begun)
      })
    }
    const known = batch.get(id)
    if (known) return known.promise
    const answer = Promise.withResolvers<D | undefined>()
    batch.set(id, answer)
    return answer.promise
  }
}

/** A connection that broke, a server that leads no longer: the driver repeats reads by cursor then, and no commands. */
function isWorthRepeating(error: unknown): boolean {
  return error instanceof MongoNetworkError || (error instanceof MongoServerError && error.code !== MAX_TIME_MS_EXPIRED)
}
