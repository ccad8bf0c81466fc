import { missingShared, sharedUrl } from '../servers/shared.ts'

/** The servers of the production composition that all tests share. */
export async function productionServers(): Promise<{ mongo: string; redis: string; kafka: string }> {
  const [mongo, redis, kafka] = await Promise.all([sharedUrl('mongo'), sharedUrl('redis'), sharedUrl('kafka')])
  return { mongo, redis, kafka }
}

/** For a test's `skip` option. */
export const missingProduction = await missingShared('mongo', 'redis', 'kafka')
