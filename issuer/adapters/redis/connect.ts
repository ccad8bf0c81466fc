import { once } from 'node:events'
import { Redis } from 'ioredis'
import type { Log } from '../../../shared/log.ts'
import { unavailable } from '../unavailable.ts'

/** A connection that comes back by itself; while it is away every operation fails at once. */
export interface RedisConnection {
  client: Redis
  /** Runs a port's operation. @throws StoreUnavailable for whatever the driver throws */
  attempt<T>(work: () => Promise<T>): Promise<T>
  /** Resolves when it is connected. @throws StoreUnavailable when the attempt under way, or the next one, fails */
  ready(): Promise<void>
  close(): void
}

/**
 * @param url `redis://` or `rediss://`; connecting goes on in the background until it succeeds
 * @param ca PEM of a certificate authority to trust instead of the usual ones
 */
export function connectRedis(url: string, log: Log, ca?: string): RedisConnection {
  const client = new Redis(url, {
    connectionName: 'sallyport',
    ...(ca !== undefined && { tls: { ca } }),
    connectTimeout: 2000,
    // A healthy Redis answers within a millisecond or two; a client that waits longer is better served with a 503.
    commandTimeout: 1000,
    // Without it a peer that vanished without a word holds the connection until TCP gives up, a quarter of an hour.
    socketTimeout: 2500,
    // Commands wait for nothing: a Redis that is away is a 503 now, not after a queue of time-outs.
    enableOfflineQueue: false,
    // What was in flight when the connection broke is sent once more: every script here can be repeated.
    maxRetriesPerRequest: 1,
    retryStrategy: (attempts) => Math.min(50 * 2 ** Math.min(attempts, 6), 2000) * (0.75 + Math.random() / 2),
    // After a failover the connection still leads to the old primary; its name may resolve to the new one.
    reconnectOnError: (error) => error.message.startsWith('READONLY'),
  })
  let lastError: Error | undefined
  // Without a listener ioredis prints to stderr; the message alone, for the error carries the command's arguments.
  client.on('error', (error: Error) => {
    if (!lastError) log.warn({ reason: error.message }, 'no connection to Redis')
    lastError = error
  })
  client.on('ready', () => {
    if (lastError) log.info('connected to Redis again')
    lastError = undefined
  })
  // What is sent in one turn of the event loop leaves in one system call, which is dearer than the command. ioredis' own
  // pipelining costs more than it saves.
  function gather(): void {
    const { stream } = client
    if (!stream || stream.writableCorked > 0) return
    stream.cork()
    process.nextTick(() => stream.uncork())
  }
  async function attempt<T>(work: () => Promise<T>): Promise<T> {
    try {
      gather()
      return await work()
    } catch (error) {
      // "Stream isn't writeable" is not why.
      throw unavailable('Redis', client.status === 'ready' ? error : (lastError ?? error))
    }
  }
  return {
    client,
    attempt,
    ready: () =>
      attempt(async () => {
        // `once` rejects with the error event of a failed attempt.
        if (client.status !== 'ready') await once(client, 'ready')
      }),
    close: () => client.disconnect(),
  }
}
