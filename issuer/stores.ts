import type { Clock } from '../shared/clock.ts'
import { type Lifecycle, pause, withDeadline } from '../shared/lifecycle.ts'
import { expected, type Log } from '../shared/log.ts'
import type { Check } from '../shared/operations.ts'
import { SettingsError } from '../shared/settings.ts'
import { openSqliteStore } from './adapters/sqlite/store.ts'
import type { CountPorts, DurablePorts, SessionPorts, Store } from './adapters/store.ts'
import { StoreUnavailable } from './domain/ports.ts'

export interface StoreSettings {
  MONGO_URL: string | undefined
  MONGO_CA?: string | undefined
  REDIS_URL: string | undefined
  REDIS_CA?: string | undefined
  REDIS_PREFIX: string
  DATA_DIR: string
}

export interface Stores extends DurablePorts, SessionPorts {
  /** None without Redis: the one process there is counts by itself. */
  counts: CountPorts['counts'] | undefined
  /** Asks each store whether it answers, within a second. */
  check(): Promise<Check[]>
}

const PING_DEADLINE_MS = 1000
const FIRST_RETRY_MS = 250
const MAX_RETRY_MS = 5000

/**
 * Opens the stores that the settings name, with up-to-date tables and indexes: MongoDB for users, ledger and signing
 * keys when it has a URL, Redis for sessions and counts when it has one, and a SQLite file for the rest. A server that can't be
 * reached is waited for, as nothing can be served without it.
 * @throws SettingsError for a URL that can't be parsed; the file system's error when the data folder can't be used;
 * the last StoreUnavailable when the lifecycle ends first
 */
export async function openStores(
  settings: StoreSettings,
  clock: Clock,
  log: Log,
  lifecycle: Lifecycle,
): Promise<Stores> {
  const stores = new Set<Store<unknown>>()
  const opened = <S extends Store<unknown>>(store: S): S => {
    lifecycle.onClose(store.name, store.close)
    stores.add(store)
    return store
  }
  const { MONGO_URL, MONGO_CA, REDIS_URL, REDIS_CA, REDIS_PREFIX, DATA_DIR } = settings
  const sweepFailed = (err: unknown) => log.warn({ err: expected(err) }, 'expired rows could not be deleted')
  const file = MONGO_URL && REDIS_URL ? undefined : opened(openSqliteStore(DATA_DIR, clock, sweepFailed))
  // The drivers are loaded only where they are used: together 90 ms and 60 MB.
  const mongo = MONGO_URL ? await import('./adapters/mongo/store.ts') : undefined
  const redis = REDIS_URL ? await import('./adapters/redis/store.ts') : undefined
  const durable = mongo ? opened(parsed('MONGO_URL', () => mongo.createMongoStore(MONGO_URL!, MONGO_CA))) : file!
  const shared = redis
    ? opened(parsed('REDIS_URL', () => redis.createRedisStore(REDIS_URL!, REDIS_PREFIX, log, REDIS_CA)))
    : undefined
  await Promise.all([...stores].map((store) => openWhenAvailable(store, log, lifecycle.signal)))
  return {
    ...durable.ports,
    sessions: (shared ?? file!).ports.sessions,
    counts: shared?.ports.counts,
    check: () => Promise.all([...stores].map(checkStore)),
  }
}

/** An address can carry a password: what is wrong with it is said without repeating it. */
function parsed<T>(setting: string, parse: () => T): T {
  try {
    return parse()
  } catch (error) {
    throw new SettingsError([`${setting}: ${(error as Error).message}`])
  }
}

async function openWhenAvailable(store: Store<unknown>, log: Log, signal: AbortSignal): Promise<void> {
  let earlier: unknown
  for (let wait = FIRST_RETRY_MS; ; wait = Math.min(2 * wait, MAX_RETRY_MS)) {
    try {
      return await store.open()
    } catch (error) {
      // Whoever gives up closes the store under the attempt: the reason is the one before that.
      if (signal.aborted && earlier) throw earlier
      if (!(error instanceof StoreUnavailable) || signal.aborted) throw error
      earlier = error
      const { message: reason } = error.cause as Error
      log.warn({ reason }, `${store.name} is not available yet; trying again in ${wait} ms`)
      await pause(wait, signal)
      if (signal.aborted) throw error
    }
  }
}

async function checkStore({ name, ping }: Store<unknown>): Promise<Check> {
  try {
    await withDeadline(Promise.resolve(ping()), PING_DEADLINE_MS)
    return { name, ok: true }
  } catch {
    return { name, ok: false, detail: 'does not answer' }
  }
}
