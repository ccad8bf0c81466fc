import type { Log } from '../../../shared/log.ts'
import type { CountPorts, SessionPorts, Store } from '../store.ts'
import { connectRedis } from './connect.ts'
import { createRedisCounts } from './counts.ts'
import { createRedisSessions } from './sessions.ts'

/**
 * Sessions, and what is counted, in Redis.
 * @param prefix of every key
 * @param ca PEM of a certificate authority to trust instead of the usual ones
 */
export function createRedisStore(url: string, prefix: string, log: Log, ca?: string): Store<SessionPorts & CountPorts> {
  const redis = connectRedis(url, log, ca)
  return {
    name: 'Redis',
    ports: { sessions: createRedisSessions(redis, prefix), counts: createRedisCounts(redis, prefix) },
    // There is nothing to migrate.
    open: redis.ready,
    ping: () => redis.attempt(() => redis.client.ping()),
    close: redis.close,
  }
}
