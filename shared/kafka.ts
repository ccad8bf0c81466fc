import { createRequire } from 'node:module'
import { type Kafka as Client, Kafka, logLevel } from 'kafkajs'
import type { Log } from './log.ts'

export type KafkaClient = Client

export interface KafkaAddress {
  /** `host:port` of at least one broker. */
  brokers: string[]
  topic: string
}

/** The topic's settings: retention is a few access-token lifetimes, and segments roll early enough for it to hold. */
export function topicConfig(lifetimeS: number): { name: string; value: string }[] {
  const retentionMs = Math.max(4 * lifetimeS, 60) * 1000
  return [
    { name: 'cleanup.policy', value: 'delete' },
    { name: 'retention.ms', value: String(retentionMs) },
    { name: 'segment.ms', value: String(Math.max(retentionMs / 4, 10_000)) },
  ]
}

/**
 * The one way to Kafka. kafkajs's own retries are few: whoever calls has a loop that waits, reports and tries again.
 * @param clientId how the broker's log names this process
 */
export function createKafka({ brokers }: KafkaAddress, clientId: string, log: Log): KafkaClient {
  stopIdleLoop()
  return new Kafka({
    clientId,
    brokers,
    connectionTimeout: 3000,
    requestTimeout: 5000,
    retry: { initialRetryTime: 100, maxRetryTime: 1000, retries: 3 },
    logLevel: logLevel.WARN,
    // kafkajs reports each failed try as an error; to us an unreachable broker is a state, reported by who notices it.
    logCreator: () => (entry) => log.debug({ kafka: entry.namespace, detail: entry.log.error }, entry.log.message),
  })
}

interface RequestQueue {
  pending: unknown[]
  throttledUntil: number
  scheduleCheckPendingRequests(): void
}

let patched = false

/**
 * kafkajs 2.2.4 re-arms a timer with a negative delay about every millisecond for each idle connection
 * (tulios/kafkajs#1704). With nothing pending and no throttling there is nothing to check.
 */
function stopIdleLoop(): void {
  if (patched) return
  patched = true
  const queue = createRequire(import.meta.url)('kafkajs/src/network/requestQueue') as { prototype: RequestQueue }
  const schedule = queue.prototype.scheduleCheckPendingRequests
  queue.prototype.scheduleCheckPendingRequests = function (this: RequestQueue) {
    if (this.pending.length === 0 && this.throttledUntil <= Date.now()) return
    schedule.call(this)
  }
}
