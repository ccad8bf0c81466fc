import type { Metrics } from '../shared/metrics.ts'
import { createHashingLane } from './adapters/hashing-lane.ts'
import type { PasswordHasher } from './domain/ports.ts'
import type { IssuerSettings } from './settings.ts'

/** The hashing lane as the settings have it. */
export function createHasher(settings: IssuerSettings, metrics: Metrics): Promise<PasswordHasher> {
  return createHashingLane({
    cost: {
      memoryKib: settings.HASH_MEMORY_KIB,
      time: settings.HASH_TIME,
      parallelism: settings.HASH_PARALLELISM,
    },
    // One thread of the pool stays free for files and name look-ups.
    concurrency: Math.max(1, Math.min(settings.HASH_CONCURRENCY, settings.UV_THREADPOOL_SIZE - 1)),
    queue: settings.HASH_QUEUE,
    deadlineMs: settings.HASH_DEADLINE,
    metrics,
  })
}
