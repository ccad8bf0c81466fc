import { Redis } from 'ioredis'
import { type Document, MongoClient } from 'mongodb'
import type { Test } from 'tap'

export interface Copy {
  documents: Map<string, Document[]>
  keys: { key: string; ttl: number; dump: Buffer }[]
}

/** Copies of what a deployment has in MongoDB and in Redis. */
export async function openCopies(t: Test, { MONGO_URL, REDIS_URL, REDIS_PREFIX }: Record<string, string>) {
  const client = await new MongoClient(MONGO_URL!).connect()
  const redis = new Redis(REDIS_URL!)
  t.teardown(async () => {
    redis.disconnect()
    await client.close()
  })
  const keysOf = () => redis.keys(`${REDIS_PREFIX}*`)
  return {
    async take(): Promise<Copy> {
      const names = (await client.db().listCollections().toArray()).map(({ name }) => name)
      const read = async (name: string) => [name, await client.db().collection(name).find().toArray()] as const
      const dumpOf = async (key: string) => ({ key, ttl: await redis.pttl(key), dump: await redis.dumpBuffer(key) })
      const dumps = await Promise.all((await keysOf()).map(dumpOf))
      return {
        documents: new Map(await Promise.all(names.map(read))),
        // A count can have expired in between.
        keys: dumps.flatMap(({ dump, ...rest }) => (dump ? [{ ...rest, dump }] : [])),
      }
    },
    async restoreMongo({ documents }: Copy) {
      for (const [name, found] of documents) {
        await client.db().collection(name).deleteMany({})
        if (found.length > 0) await client.db().collection(name).insertMany(found)
      }
    },
    /** What is in several copies is as in the last of them. */
    async restoreRedis(...from: Copy[]) {
      const present = await keysOf()
      if (present.length > 0) await redis.del(...present)
      for (const { key, ttl, dump } of from.flatMap(({ keys }) => keys)) {
        await redis.restore(key, Math.max(0, ttl), dump, 'REPLACE')
      }
    },
  }
}
