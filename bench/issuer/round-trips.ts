import { setTimeout as sleep } from 'node:timers/promises'
import type { Bench } from '../processes.ts'
import { openConnection } from './connection.ts'
import { startCountingProxy } from './counting-proxy.ts'
import { CHEAPEST, type Production } from './production.ts'
import { login, refresh, register } from './workloads.ts'

/** What one request sends to each store. */
export interface RoundTrips {
  request: string
  redis: number
  mongo: number
}

const REQUESTS = 50
const IDLE_MS = 2000

/** Counts them on the wire, one request at a time, less what the issuer sends when nothing is asked of it. */
export async function countRoundTrips(bench: Bench, production: Production): Promise<RoundTrips[]> {
  const redis = await startCountingProxy(production.redisUrl)
  bench.onEnd(redis.close)
  const mongo = await startCountingProxy(production.mongoUrl)
  bench.onEnd(mongo.close)
  const places = { REDIS_URL: redis.url, MONGO_URL: mongo.url }
  const [issuer] = await production.issuers('counted', 1, { ...CHEAPEST, ...places })
  const connection = await openConnection(issuer!.url)

  const during = async (work: () => Promise<void>) => {
    const [redisBefore, mongoBefore, begin] = [redis.sent(), mongo.sent(), performance.now()]
    await work()
    const ms = performance.now() - begin
    return { ms, redis: redis.sent() - redisBefore, mongo: mongo.sent() - mongoBefore }
  }
  const emailOf = (i: number) => `counted${i}@example.com`
  let token = ''
  const rows: [string, (i: number) => Promise<unknown>][] = [
    ['register', (i) => register(connection, emailOf(i))],
    ['login', (i) => login(connection, emailOf(i))],
    [
      'refresh',
      async () => {
        token = await refresh(connection, token)
      },
    ],
  ]
  await register(connection, 'counted@example.com')
  token = await login(connection, 'counted@example.com')
  const idle = await during(() => sleep(IDLE_MS))
  const result: RoundTrips[] = []
  for (const [request, send] of rows) {
    const busy = await during(async () => {
      for (let i = 0; i < REQUESTS; i++) await send(i)
    })
    const each = (store: 'redis' | 'mongo') => (busy[store] - (idle[store] / idle.ms) * busy.ms) / REQUESTS
    result.push({ request, redis: each('redis'), mongo: each('mongo') })
  }
  connection.close()
  return result
}
