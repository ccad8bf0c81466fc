import type { Log } from '../../../shared/log.ts'
import type { SessionPorts, Store } from '../store.ts'
import { connectRedis } from './connect.ts'
import { createRedisSessions } from './sessions.ts'

/**
 * Sessions in Redis.
 * @param prefix of every key
 */
export function createRedisStore(url: string, prefix: string, log: Log): Store<SessionPorts> {
  const redis = connectRedis(url, log)
  return {
    name: 'Redis',
    ports: { sessions: createRedisSessions(redis, prefix) },
    // There is nothing to migrate.
    open: redis.ready,
    ping: () => redis.attempt(() => redis.client.ping()),
    close: redis.close,
  }
}
