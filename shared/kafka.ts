import { createRequire } from 'node:module'
import { connect, isIP, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { type ISocketFactory, Kafka, logLevel, type SASLOptions } from 'kafkajs'
import type { KafkaSecurity } from './kafka-settings.ts'
import { withDeadline } from './lifecycle.ts'
import type { Log } from './log.ts'

export interface KafkaAddress {
  /** `host:port` of at least one broker. */
  brokers: string[]
  topic: string
  security?: KafkaSecurity
}

export type KafkaClient = Kafka

/** One client and its sockets. */
export interface KafkaConnection {
  client: KafkaClient
  /** Ends a producer, consumer or admin in order, as far as that is possible within two seconds. Never throws. */
  end(part: { disconnect(): Promise<void> }): Promise<void>
  /** Cuts every socket that is left: kafkajs alone would wait for the answers of a broker that hangs. */
  destroy(): void
}

/** How often clients look for new partitions of the topic: milliseconds. Issuers use one only after twice that time. */
export const PARTITIONS_MAX_AGE_MS = 5000

/** How long one request may take: milliseconds. A broker that needs longer counts as lost. */
const REQUEST_TIMEOUT_MS = 5000
const CLOSE_DEADLINE_MS = 2000

/** How long the topic keeps events: milliseconds. @param lifetimeS how long an access token lives */
export function topicRetentionMs(lifetimeS: number): number {
  return Math.max(4 * lifetimeS, 60) * 1000
}

/**
 * The topic's settings: retention is a few access-token lifetimes, and segments roll early enough for it to hold. With
 * three replicas an acknowledgement means two of them have it, so that losing one loses nothing.
 */
export function topicConfig(lifetimeS: number, replicas: number): { name: string; value: string }[] {
  const retentionMs = topicRetentionMs(lifetimeS)
  return [
    { name: 'cleanup.policy', value: 'delete' },
    { name: 'retention.ms', value: String(retentionMs) },
    { name: 'segment.ms', value: String(Math.max(retentionMs / 4, 10_000)) },
    { name: 'min.insync.replicas', value: replicas >= 3 ? '2' : '1' },
    { name: 'unclean.leader.election.enable', value: 'false' },
    // By the broker's clock: one that a writer sets could end an event's time before it began.
    { name: 'message.timestamp.type', value: 'LogAppendTime' },
    // kafkajs has no Snappy, LZ4 or Zstandard, and unpacks gzip to any size: one such batch would stop every reader.
    { name: 'compression.type', value: 'uncompressed' },
  ]
}

/**
 * The one way to Kafka. kafkajs's own retries are few: whoever calls has a loop that waits, reports and tries again.
 * @param clientId how the broker's log names this process
 */
export function createKafka(
  { brokers, security = {} }: Pick<KafkaAddress, 'brokers' | 'security'>,
  clientId: string,
  log: Log,
  socketFactory: ISocketFactory = createSockets().create,
): KafkaClient {
  stopIdleLoop()
  return new Kafka({
    clientId,
    brokers,
    ssl: security.tls ?? false,
    // kafkajs types it by mechanism.
    ...(security.sasl && { sasl: security.sasl as SASLOptions }),
    connectionTimeout: 3000,
    requestTimeout: REQUEST_TIMEOUT_MS,
    retry: { initialRetryTime: 50, maxRetryTime: 1000, retries: 2 },
    socketFactory,
    logLevel: logLevel.WARN,
    // kafkajs reports each failed try as an error; to us an unreachable broker is a state, reported by who notices it.
    logCreator: () => (entry) => log.debug({ kafka: entry.namespace, detail: entry.log.error }, entry.log.message),
  })
}

/** A Kafka client that can be ended for certain; parameters as for {@link createKafka}. */
export function connectKafka(address: KafkaAddress, clientId: string, log: Log): KafkaConnection {
  const sockets = createSockets()
  return {
    client: createKafka(address, clientId, log, sockets.create),
    end: (part) =>
      withDeadline(part.disconnect(), CLOSE_DEADLINE_MS).catch((err) =>
        log.debug({ err }, 'a Kafka client did not end in order'),
      ),
    destroy: sockets.destroy,
  }
}

function createSockets(): { create: ISocketFactory; destroy(): void } {
  const open = new Set<Socket>()
  let destroyed = false
  const closed = () => new Error('this Kafka client was closed')
  return {
    create({ host, port, ssl, onConnect }) {
      const address = { host, port, noDelay: true, keepAlive: true, keepAliveInitialDelay: 60_000 }
      // RFC 6066 section 3: no address is a server's name.
      const socket = ssl
        ? connectTls({ ...address, ...(isIP(host) === 0 && { servername: host }), ...ssl }, onConnect)
        : connect(address, onConnect)
      open.add(socket)
      socket.once('close', () => open.delete(socket))
      // kafkajs may try again after the end; without an error it would wait for an answer.
      if (destroyed) process.nextTick(() => socket.destroy(closed()))
      return socket
    },
    destroy() {
      destroyed = true
      for (const socket of open) socket.destroy(closed())
    },
  }
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
