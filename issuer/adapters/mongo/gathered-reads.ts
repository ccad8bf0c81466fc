import type { Collection, Document, Filter, FindOptions } from 'mongodb'
import { attempt } from './connect.ts'

/** Reads one document by its `_id`. @throws StoreUnavailable */
export type ReadById<D> = (id: string) => Promise<D | undefined>

// One command answers so many at most; more would make everyone wait for the slowest.
const MAX_IDS = 100

/**
 * Reads documents by `_id`, all that are asked for in one turn of the event loop in one command: the driver and the
 * server take as long for a command of ten ids as for two commands of one, so the busier the issuer, the cheaper each
 * read. Nothing waits for others to come. What holds for a read of one id holds for each here: a linearizable command
 * confirms after its reads, whatever their number, that this server leads; and a document is found by a key that never
 * changes, so that none that was there before is missed.
 */
export function createReadById<D extends Document & { _id: string }>(
  collection: Collection<D>,
  options: FindOptions,
): ReadById<D> {
  let waiting: Map<string, PromiseWithResolvers<D | undefined>> | undefined

  async function read(asked: Map<string, PromiseWithResolvers<D | undefined>>): Promise<void> {
    const ids = [...asked.keys()]
    const limits = { limit: ids.length, batchSize: ids.length, singleBatch: true }
    try {
      const filter = { _id: { $in: ids } } as Filter<D>
      const found = await attempt(() => collection.find<D>(filter, { ...options, ...limits }).toArray())
      for (const document of found) asked.get(document._id)?.resolve(document)
      // A promise is settled once: this is for those without a document.
      for (const { resolve } of asked.values()) resolve(undefined)
    } catch (error) {
      for (const { reject } of asked.values()) reject(error)
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
