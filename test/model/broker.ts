import type { OutgoingEvent, Publisher } from '../../issuer/domain/ports.ts'
import { withDeadline } from '../../shared/lifecycle.ts'
import type { Process, World } from './world.ts'

export interface Partition {
  /** The offset of the first message that is still there. */
  low: number
  /** By offset; those below `low` are gone. */
  messages: { token: string; at: number }[]
  /** Where it ended before it lost something: readers may stand there, and pass over what now comes before it. */
  readTo: number
}

/** What is left of a topic when its broker keeps it for `retentionMs`. */
export interface Broker {
  partitions: Partition[]
  /** Which partition a key belongs to. */
  partitionOf(key: string): number
  /** Forgets what is too old. */
  clean(nowMs: number): void
  append(partition: Partition, tokens: string[], nowMs: number): void
  /** Loses the last messages of a partition although it had acknowledged them. */
  lose(partition: number, count: number): void
  /** What somebody may never get to read, for it is lost or stands where something was lost. */
  unread: Set<string>
}

export function createBroker(count: number, retentionMs: number): Broker {
  const partitions = Array.from({ length: count }, (): Partition => ({ low: 0, messages: [], readTo: 0 }))
  const unread = new Set<string>()
  return {
    unread,
    partitions,
    partitionOf: (key) => (key.codePointAt(key.length - 1) ?? 0) % count,
    clean(nowMs) {
      for (const partition of partitions) {
        const kept = partition.messages.findIndex(({ at }) => at >= nowMs - retentionMs)
        partition.low = Math.max(partition.low, kept === -1 ? partition.messages.length : kept)
      }
    },
    append(partition, tokens, nowMs) {
      for (const token of tokens) {
        if (partition.messages.length < partition.readTo) unread.add(token)
        partition.messages.push({ token, at: nowMs })
      }
    },
    lose(index, lost) {
      const partition = partitions[index % count]!
      partition.readTo = Math.max(partition.readTo, partition.messages.length)
      const keep = Math.max(partition.low, partition.messages.length - lost)
      for (const { token } of partition.messages.splice(keep)) unread.add(token)
    },
  }
}

/** As the publisher over Kafka: how long it waits for the acknowledgement. Milliseconds. */
const SEND_DEADLINE_MS = 6000

export type ModelPublisher = Publisher & { reconnect(): void }

/**
 * As the publisher over Kafka does it: one request at a time with all that waits, each partition's part appended in its
 * own time; whatever fails, or takes too long, fails all that waits and the connection. What was sent may still be
 * appended afterwards.
 */
export function createModelPublisher(world: World, owner: Process, broker: Broker): ModelPublisher {
  let connected = true
  let waiting: { events: OutgoingEvent[]; resolve(): void; reject(error: unknown): void }[] = []
  let sending = false

  const append = (events: OutgoingEvent[]) =>
    broker.partitions.map((partition, index) => {
      const own = events.filter(({ key }) => key === undefined || broker.partitionOf(key) === index)
      if (own.length === 0) return undefined
      const tokens = own.map(({ token }) => token)
      return world.ask(owner, 'broker', () => broker.append(partition, tokens, world.now))
    })

  const pump = async () => {
    if (sending) return
    sending = true
    while (waiting.length > 0) {
      const batch = waiting
      waiting = []
      try {
        await withDeadline(Promise.all(append(batch.flatMap(({ events }) => events))), SEND_DEADLINE_MS)
        for (const { resolve } of batch) resolve()
      } catch (error) {
        connected = false
        for (const { reject } of [...batch, ...waiting]) reject(error)
        waiting = []
      }
    }
    sending = false
  }

  return {
    publish(events) {
      if (events.length === 0) return Promise.resolve()
      if (!connected) return Promise.reject(new Error('the broker of the model is not reachable'))
      return new Promise((resolve, reject) => {
        waiting.push({ events, resolve, reject })
        void pump()
      })
    },
    reconnect() {
      connected = true
    },
  }
}
