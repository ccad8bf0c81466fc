import {
  type ClientSession,
  type Db,
  MongoAPIError,
  MongoClient,
  MongoClientClosedError,
  MongoError,
  MongoNotConnectedError,
  MongoParseError,
  MongoServerClosedError,
  MongoServerError,
  MongoTopologyClosedError,
} from 'mongodb'
import { SettingsError } from '../../../shared/settings.ts'
import { unavailable } from '../unavailable.ts'

/** How long the server may work on one operation, waiting for the majority included: milliseconds. */
export const MAX_TIME_MS = 3000

// A hung server is noticed by the socket's time-out, the retry that follows by the handshake's; no request waits for
// more than this in all.
const DEADLINE_MS = 5000

const OPTIONS = {
  appName: 'sallyport',
  retryWrites: true,
  retryReads: true,
  // The default of 30 s would turn an election into a pile of waiting requests.
  serverSelectionTimeoutMS: 2000,
  connectTimeoutMS: 2000,
  socketTimeoutMS: MAX_TIME_MS + 1000,
  waitQueueTimeoutMS: 2000,
  heartbeatFrequencyMS: 5000,
} as const

// Given to the database, not the client: there, the URL's own words would be mixed into it.
const DURABILITY = {
  // A majority survives any failover; the journal a power cut of all of them.
  writeConcern: { w: 'majority', journal: true, wtimeoutMS: MAX_TIME_MS },
  readPreference: 'primary',
} as const

/** Reads that decide on someone's rights: a deposed primary can't answer them, for each confirms that it leads. */
export const LINEARIZABLE = { readConcern: 'linearizable', maxTimeMS: MAX_TIME_MS } as const

/** What a majority has, of what happened before in the same session. */
export const MAJORITY = { readConcern: 'majority', maxTimeMS: MAX_TIME_MS } as const

/**
 * @param ca PEM of a certificate authority to trust instead of the usual ones; with it, only TLS is spoken
 * @param url a replica set's; its path names the database, `sallyport` by default
 * @throws Error when it can't be parsed; connecting itself happens later
 */
export function createMongoClient(url: string, ca?: string): { client: MongoClient; db: Db } {
  const client = new MongoClient(url, { ...OPTIONS, ...(ca !== undefined && { tls: true, ca }) })
  const [, name] = /^mongodb(?:\+srv)?:\/\/[^/?]+\/([^?]+)/.exec(url) ?? []
  return { client, db: client.db(name === undefined ? 'sallyport' : decodeURIComponent(name), DURABILITY) }
}

/**
 * Checks that the server keeps what it acknowledges: only a replica set has majorities and retryable writes.
 * @throws StoreUnavailable while it can't be reached or the set is not initiated yet; SettingsError when it stands alone
 */
export async function requireReplicaSet(db: Db): Promise<void> {
  const hello = await attempt(() => db.admin().command({ hello: 1 }))
  if (hello.setName !== undefined || hello.msg === 'isdbgrid') return
  if (hello.isreplicaset) throw unavailable('MongoDB', new Error('the replica set is not initiated yet'))
  throw new SettingsError([
    'MONGO_URL: the server is no member of a replica set (one node is enough: mongod --replSet)',
  ])
}

/** Runs a port's operation. @throws StoreUnavailable when it could not be done, within {@link DEADLINE_MS} */
export async function attempt<T>(work: () => Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const expired = new Promise<never>((_, reject) => {
    const error = () => reject(unavailable('MongoDB', new Error(`no answer within ${DEADLINE_MS} ms`)))
    timer = setTimeout(error, DEADLINE_MS)
  })
  try {
    return await Promise.race([work(), expired])
  } catch (error) {
    throw meansUnavailable(error) ? unavailable('MongoDB', error) : error
  } finally {
    clearTimeout(timer)
  }
}

/** Runs an operation in a causally consistent session: each read sees at least what went before it. */
export function inSession<T>(client: MongoClient, work: (session: ClientSession) => Promise<T>): Promise<T> {
  return attempt(() => client.withSession({ causalConsistency: true }, work))
}

/** E11000, the only arbiter of "taken". */
export function isDuplicateKey(error: unknown): error is MongoServerError {
  return error instanceof MongoServerError && error.code === 11000
}

const CLOSED = [MongoNotConnectedError, MongoTopologyClosedError, MongoServerClosedError, MongoClientClosedError]

/**
 * Whatever the driver throws but a duplicate key or a wrong call: an unknown server error is safest as a 503. Now and
 * then a socket's own error comes through as it is (EPIPE, when the server ends while a command is being written).
 */
function meansUnavailable(error: unknown): boolean {
  if (/^E(?!RR_)[A-Z]+$/.test(String((error as NodeJS.ErrnoException | undefined)?.code))) return true
  if (!(error instanceof MongoError) || isDuplicateKey(error) || error instanceof MongoParseError) return false
  return !(error instanceof MongoAPIError) || CLOSED.some((kind) => error instanceof kind)
}
