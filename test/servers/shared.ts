import { findKafka, startKafka } from './kafka.ts'
import { findMongo, startMongo } from './mongo.ts'
import { findRedis, startRedis } from './redis.ts'
import type { Server } from './server.ts'
import { ServerUnavailable, type Source } from './sources.ts'

export type Kind = 'kafka' | 'mongo' | 'redis'

interface Shared {
  /** The environment variable with its address. */
  variable: string
  find(): Promise<Source>
  start(): Promise<Server>
}

/** The servers that all tests of a run share, and how each is found and started. */
export const sharedServers: Record<Kind, Shared> = {
  kafka: { variable: 'TEST_KAFKA_BROKERS', find: findKafka, start: startKafka },
  // Nobody kills it, and all would wait for a slow disk.
  mongo: { variable: 'TEST_MONGO_URL', find: findMongo, start: () => startMongo({ survivesKill: false }) },
  redis: { variable: 'TEST_REDIS_URL', find: findRedis, start: startRedis },
}

const started = new Map<Kind, Promise<Server>>()

/**
 * The address of the server that all tests share: others use it at the same moment, so keep to names of your own
 * (`uniqueName`). In a test file that is run by itself, without the runner and the variable, it is started for this
 * process and ends with it. A test that kills, pauses or wipes starts a server of its own instead.
 */
export async function sharedUrl(kind: Kind): Promise<string> {
  const { variable, start } = sharedServers[kind]
  const given = process.env[variable]
  if (given) return given
  let server = started.get(kind)
  if (server === undefined) {
    server = start()
    started.set(kind, server)
  }
  return (await server).url
}

/** Whether a server that can't be had is a failure here rather than a reason to skip. */
export function serversRequired(): boolean {
  return [process.env.CI, process.env.SALLYPORT_REQUIRE_SERVERS].some(
    (value) => value && value !== '0' && value !== 'false',
  )
}

/**
 * For a test's `skip` option: why servers of the test's own can't be started here, or false when they can. Where
 * servers are required it is always false: the test then runs, and fails with the reason.
 */
export async function missing(...kinds: Kind[]): Promise<string | false> {
  for (const kind of kinds) {
    const reason = await unlessHad(kind, sharedServers[kind].find)
    if (reason) return reason
  }
  return false
}

/** The same for anything else that `find` gets or throws ServerUnavailable for. */
export async function unlessHad(what: string, find: () => Promise<unknown>): Promise<string | false> {
  if (serversRequired()) return false
  try {
    await find()
    return false
  } catch (error) {
    if (!(error instanceof ServerUnavailable)) throw error
    return `${what} can't be had here`
  }
}

/** As `missing`, for tests that use the shared servers: one that the environment names is enough. */
export function missingShared(...kinds: Kind[]): Promise<string | false> {
  return missing(...kinds.filter((kind) => !process.env[sharedServers[kind].variable]))
}
