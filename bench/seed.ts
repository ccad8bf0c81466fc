import { statSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { hash } from '@node-rs/argon2'
import { openStores } from '../issuer/stores.ts'
import { systemClock } from '../shared/clock.ts'
import { createLifecycle } from '../shared/lifecycle.ts'
import { createLog } from '../shared/log.ts'
import { cacheFolder } from '../test/servers/cache.ts'
import { startRedis } from '../test/servers/redis.ts'
import { CHEAPEST, type Env } from './issuer/production.ts'
import { measureScale, type Scale } from './issuer/scale.ts'
import { startBenchMongo } from './issuer/secantus.ts'
import { seedAdministrator, seedUsers } from './issuer/seeding.ts'
import { PASSWORD } from './issuer/workloads.ts'
import { describeMachine } from './machine.ts'
import { costOf } from './process-cost.ts'
import { type Bench, untilReady, withBench } from './processes.ts'
import { megabytes, say, table } from './report.ts'

// Fills the stores with users, up to a million and beyond, and measures login, refresh and the administrator's lists
// with a thousand of them and with all. What is there stays: run again, it goes on where it was.
// npm run seed [-- --users 1000000 --stores sqlite,mongo --within 600 --folder DIR --mongo-url URL]
// `--within`: how long filling one store may take, in seconds. `--folder`: where the SQLite file is, by default in the
// cache of the tests. `--mongo-url`: a server that keeps its data; by default one that ends with this program.

const { values: options } = parseArgs({
  options: {
    users: { type: 'string', default: '1000000' },
    stores: { type: 'string', default: 'sqlite,mongo' },
    within: { type: 'string', default: '600' },
    folder: { type: 'string', default: join(cacheFolder(), 'seed') },
    'mongo-url': { type: 'string', default: process.env.TEST_MONGO_URL ?? '' },
  },
})
const users = Number(options.users)
const FEW = Math.min(1000, users)
const MASTER_KEY = 'a master key of benchmarks that guards nothing'
/** The server's own cache: megabytes. */
const MONGO_CACHE_MB = 1024

/** Where users are put: an issuer that has this environment finds them. */
interface Place {
  name: string
  env: Env
  /** What the store takes, in words. */
  size(): string
}

await withBench(async (bench) => {
  say(`machine: ${describeMachine()}`)
  // One for all: a million of them would take hours.
  const cost = { memoryCost: Number(CHEAPEST.HASH_MEMORY_KIB), timeCost: Number(CHEAPEST.HASH_TIME), parallelism: 1 }
  const passwordHash = await hash(PASSWORD, { algorithm: 2, ...cost })
  const places: Record<string, (bench: Bench) => Promise<Place>> = { sqlite: sqlitePlace, mongo: mongoPlace }
  for (const name of options.stores.split(',')) {
    const place = await places[name]!(bench)
    await fillAndMeasure(bench, place, passwordHash)
  }
})

async function sqlitePlace(): Promise<Place> {
  const file = join(options.folder, 'sallyport.db')
  return {
    name: `SQLite in ${options.folder}`,
    env: { DATA_DIR: options.folder },
    size: () => `the file ${megabytes(statSync(file).size)} MB`,
  }
}

async function mongoPlace(bench: Bench): Promise<Place> {
  const given = options['mongo-url']
  const mongo = given
    ? { url: given, what: 'the MongoDB named', pid: undefined }
    : await startBenchMongo(MONGO_CACHE_MB)
  if ('stop' in mongo) bench.onEnd(mongo.stop)
  const redis = await startRedis()
  bench.onEnd(redis.stop)
  const url = new URL(mongo.url)
  if (url.pathname === '/' || url.pathname === '') url.pathname = '/sallyport_seed'
  const { pid } = mongo
  return {
    name: `${mongo.what}, Redis`,
    env: { MONGO_URL: url.href, REDIS_URL: redis.url, REDIS_PREFIX: 'seed:', MASTER_KEY, DATA_DIR: bench.folder() },
    size: () =>
      pid === undefined ? 'the server is somebody else’s' : `the server ${megabytes(costOf(pid).residentBytes)} MB`,
  }
}

async function fillAndMeasure(bench: Bench, place: Place, passwordHash: string): Promise<void> {
  say(`\n${place.name}`)
  const few = await fill(place, FEW, passwordHash)
  // A store that was filled before has no beginning to compare with.
  const before = few.added > 0 ? await measure(bench, place, few.users) : undefined
  const all = await fill(place, users, passwordHash)
  const short = all.users < users ? `; ${users - all.users} more did not fit into ${options.within} s` : ''
  const rate = all.added > 0 ? ` (${Math.round(all.added / all.seconds)} a second)` : ''
  say(`${all.users} users, ${all.added} of them added in ${all.seconds.toFixed(0)} s${rate}${short}; ${place.size()}`)
  const after = await measure(bench, place, all.users)
  say(`\n${report(before, after, few.users, all.users)}`)
  say(`memory of the issuer ${megabytes(after.issuerBytes)} MB; afterwards ${place.size()}`)
}

async function fill({ env }: Place, count: number, passwordHash: string) {
  const log = createLog('seed', 'warn')
  const lifecycle = createLifecycle(log)
  try {
    const { MONGO_URL, REDIS_URL, REDIS_PREFIX = '', DATA_DIR = '' } = env
    const stores = await openStores({ MONGO_URL, REDIS_URL, REDIS_PREFIX, DATA_DIR }, systemClock, log, lifecycle)
    await seedAdministrator(stores.users, passwordHash)
    return await seedUsers(stores.users, { count, planned: users, passwordHash, within: Number(options.within) * 1000 })
  } finally {
    await lifecycle.close()
  }
}

async function measure(bench: Bench, { env }: Place, count: number): Promise<Scale> {
  const issuer = await bench.role('issuer', {
    ISSUER_URL: 'http://issuer.example',
    ISSUER_PORT: '0',
    RATE_LIMITS: 'off',
    ...CHEAPEST,
    ...env,
  })
  await untilReady(issuer)
  const scale = await measureScale(issuer, count)
  await issuer.process.kill('SIGTERM')
  return scale
}

function report(before: Scale | undefined, after: Scale, few: number, all: number): string {
  const head = ['', `with ${few}: p50 ms`, 'p99', `with ${all}: p50 ms`, 'p99', 'requests/s', 'CPU ms/request']
  const rows = after.rows.map(({ request, latency, perSecond, cpuMs }) => {
    const then = before?.rows.find((row) => row.request === request)?.latency
    const ms = (value: number | undefined) => value?.toFixed(1) ?? '-'
    return [
      request,
      ms(then?.p50),
      ms(then?.p99),
      ms(latency.p50),
      ms(latency.p99),
      perSecond.toFixed(0),
      cpuMs.toFixed(2),
    ]
  })
  return table([head, ...rows])
}
