import { MongoClient } from 'mongodb'
import { startKafka } from '../../test/servers/kafka.ts'
import { startRedis } from '../../test/servers/redis.ts'
import { type Bench, type Party, untilReady } from '../processes.ts'
import { startBenchMongo } from './secantus.ts'

export type Env = Record<string, string>

/** The servers of the production composition, of this benchmark's own. */
export interface Production {
  /** What they are, for the report. */
  what: string
  mongoUrl: string
  redisUrl: string
  /** Redis, MongoDB (unless it is somebody else's) and Kafka, in the order of their names. */
  names: string[]
  pids: number[]
  /**
   * Starts issuers, all of one deployment with names of its own in the servers, and waits until they are ready.
   * @param name of the deployment
   */
  issuers(name: string, count: number, more?: Env, nodeArgs?: string[]): Promise<Party[]>
}

/** The two costs that are measured: the one of the source project, and the default. */
export const HASH_COSTS: { name: string; env: Env }[] = [
  { name: 'm=7168 t=5 p=1', env: { HASH_MEMORY_KIB: '7168', HASH_TIME: '5' } },
  { name: 'm=19456 t=2 p=1', env: {} },
]
/** For what is not about hashing. */
export const CHEAPEST = HASH_COSTS[0]!.env

export async function startProduction(bench: Bench): Promise<Production> {
  const mongo = await startBenchMongo()
  bench.onEnd(mongo.stop)
  const redis = await startRedis(['--appendfsync', 'everysec'])
  bench.onEnd(redis.stop)
  const kafka = await startKafka()
  bench.onEnd(kafka.stop)
  const run = Math.random().toString(36).slice(2, 8)
  const known = Object.entries({ Redis: redis.pid, MongoDB: mongo.pid, Kafka: kafka.pid }).flatMap(([name, pid]) =>
    pid === undefined ? [] : [{ name, pid }],
  )
  return {
    what: `Redis (appendonly), ${mongo.what}, Apache Kafka 4.1.1`,
    mongoUrl: mongo.url,
    redisUrl: redis.url,
    names: known.map(({ name }) => name),
    pids: known.map(({ pid }) => pid),
    async issuers(name, count, more = {}, nodeArgs) {
      const database = new URL(more.MONGO_URL ?? mongo.url)
      database.pathname = `/bench_${run}_${name}`
      if (mongo.pid === undefined) bench.onEnd(() => dropDatabase(database.href))
      const env = {
        ISSUER_URL: 'http://issuer.example',
        ISSUER_PORT: '0',
        REDIS_URL: redis.url,
        REDIS_PREFIX: `bench:${run}:${name}:`,
        KAFKA_BROKERS: kafka.url,
        KAFKA_TOPIC: `bench.${run}.${name}`,
        MASTER_KEY: 'a master key of benchmarks that guards nothing',
        // One client stands for thousands here.
        RATE_LIMITS: 'off',
        TRUST_PROXY: '127.0.0.0/8',
        ...more,
        MONGO_URL: database.href,
      }
      const parties = await Promise.all(Array.from({ length: count }, () => bench.role('issuer', env, nodeArgs)))
      await Promise.all(parties.map(untilReady))
      return parties
    },
  }
}

/** Of a server that outlives the benchmark. */
async function dropDatabase(url: string): Promise<void> {
  const client = new MongoClient(url)
  try {
    await client.db().dropDatabase()
  } finally {
    await client.close()
  }
}
