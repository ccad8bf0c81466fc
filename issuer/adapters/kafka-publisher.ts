import { type Admin, type Message, Partitioners, type Producer } from 'kafkajs'
import { connectKafka, PARTITIONS_MAX_AGE_MS } from '../../shared/kafka.ts'
import { keepOpen } from '../../shared/keep-open.ts'
import { type Lifecycle, pause, withDeadline } from '../../shared/lifecycle.ts'
import { expected, type Log } from '../../shared/log.ts'
import type { Check } from '../../shared/operations.ts'
import type { OutgoingEvent, Publisher } from '../domain/ports.ts'
import { countPartitions, ensureTopic, mayLackEvents, type RevocationTopic } from './kafka-topic.ts'

/** Events sent in one request at most: about 350 kB, well below a broker's default limit of 1 MB. */
const MAX_BATCH = 500
/** Events waiting at most; beyond that Kafka is not keeping up, and the ledger holds them anyway. */
const MAX_WAITING = 20_000
const SEND_DEADLINE_MS = 6000

interface Waiting {
  events: OutgoingEvent[]
  resolve(): void
  reject(error: unknown): void
}

interface Session {
  producer: Producer
  /** Ends the session, for what failed in it. */
  fail(error: unknown): void
}

/**
 * Publishes to Kafka with `acks=all`, one request at a time, so that what was acknowledged first stands first in its
 * partition. Connects in the background; while there is no connection, `publish` throws at once. A client that failed is
 * given up for a new one, for after an outage it can crash (tulios/kafkajs#1686).
 *
 * Not idempotent, in Kafka's sense: an event that is written twice is one revocation, and kafkajs's idempotent
 * producer is meant to retry without end, where a logout wants an answer.
 * @param instance how the broker's log names this issuer, and the message key of heartbeats
 * @param lookEveryMs how often it looks for new partitions: milliseconds, at least twice what sidecars take
 * @param live all that is live, which a log that may lack some of it gets before anything else
 */
export function createKafkaPublisher(
  address: RevocationTopic,
  instance: string,
  log: Log,
  lifecycle: Lifecycle,
  lookEveryMs = 2 * PARTITIONS_MAX_AGE_MS,
  live?: () => AsyncIterable<OutgoingEvent[]>,
): Publisher & { check(): Check } {
  const { topic } = address
  const partitionOf = createPartitioner(topic)
  let session: Session | undefined
  let partitions = 0
  let grownAt: number | undefined
  let waiting: Waiting[] = []
  let waitingEvents = 0
  let sending = false
  let reported = false
  const acknowledged = new Map<number, bigint>()
  let lost = false

  const open = async (working: () => void) => {
    const connection = connectKafka(address, `sallyport-issuer-${instance}`, log)
    const admin = connection.client.admin()
    const producer = connection.client.producer({
      createPartitioner: Partitioners.DefaultPartitioner,
      allowAutoTopicCreation: false,
      metadataMaxAge: lookEveryMs / 2,
    })
    try {
      await admin.connect()
      const lifetimeS = address.longestLifetimeS()
      await ensureTopic(admin, topic, lifetimeS, log)
      await lookAtPartitions(admin)
      await producer.connect()
      if (live && (lost || (await mayLackEvents(admin, topic, lifetimeS)))) {
        await fill(producer, live)
        acknowledged.clear()
      }
      lost = false
      working()
      log.info({ topic, partitions }, 'connected to Kafka')
      reported = false
      await serve(producer, admin, lifetimeS)
    } finally {
      session = undefined
      rejectAll(new Error('Kafka is not reachable'))
      await Promise.all([connection.end(producer), connection.end(admin)])
      connection.destroy()
    }
  }

  const fill = async (producer: Producer, batches: () => AsyncIterable<OutgoingEvent[]>) => {
    log.info({ topic }, 'the log may lack revocations; all that are live are published again')
    for await (const batch of batches()) {
      for (let start = 0; start < batch.length; start += MAX_BATCH) {
        const messages = batch.slice(start, start + MAX_BATCH).flatMap(toMessages)
        await withDeadline(send(producer, topic, messages), SEND_DEADLINE_MS)
      }
    }
  }

  /** @throws when a log has become shorter: what it acknowledged before is gone */
  const requireGrowth = (offsets: Awaited<ReturnType<typeof send>>) => {
    for (const [partition, offset] of offsets) {
      lost ||= offset <= (acknowledged.get(partition) ?? -1n)
      acknowledged.set(partition, offset)
    }
    if (lost) throw new Error('the log has lost what it had acknowledged')
  }

  /** Lets events through until something fails or the process ends. */
  const serve = async (producer: Producer, admin: Admin, lifetimeS: number) => {
    let keptForS = lifetimeS
    const over = new AbortController()
    let failure: unknown
    session = {
      producer,
      fail(error) {
        failure = error
        over.abort()
      },
    }
    const signal = AbortSignal.any([over.signal, lifecycle.signal])
    while (!signal.aborted) {
      await pause(lookEveryMs, signal)
      if (signal.aborted) break
      await lookAtPartitions(admin)
      // An issuer has come whose tokens live longer.
      const longestS = address.longestLifetimeS()
      if (longestS > keptForS) await ensureTopic(admin, topic, longestS, log)
      keptForS = Math.max(keptForS, longestS)
    }
    if (failure) throw failure
  }

  // A topic that has grown is used as such only when every sidecar has seen the new partition, and so believes nothing
  // until it has read a heartbeat there.
  const lookAtPartitions = async (admin: Admin) => {
    const count = await countPartitions(admin, topic)
    const now = performance.now()
    grownAt = count > partitions ? (grownAt ?? now) : undefined
    if (partitions === 0 || count < partitions || (grownAt !== undefined && now - grownAt > 0.9 * lookEveryMs)) {
      partitions = count
    }
  }

  const pump = async () => {
    if (sending) return
    sending = true
    while (waiting.length > 0) {
      const batch = takeBatch()
      const used = session
      try {
        if (!used) throw new Error('Kafka is not reachable')
        const messages = batch.flatMap(({ events }) => events.flatMap(toMessages))
        requireGrowth(await withDeadline(send(used.producer, topic, messages), SEND_DEADLINE_MS))
        for (const { resolve } of batch) resolve()
      } catch (error) {
        for (const { reject } of batch) reject(error)
        used?.fail(error)
        if (session === used) session = undefined
        rejectAll(error)
      }
    }
    sending = false
  }

  const takeBatch = () => {
    let [end, size] = [0, 0]
    do size += waiting[end++]!.events.length
    while (end < waiting.length && size + waiting[end]!.events.length <= MAX_BATCH)
    waitingEvents -= size
    return waiting.splice(0, end)
  }

  const toMessages = ({ key, token }: OutgoingEvent): Message[] => {
    if (key !== undefined) return [{ key, value: token, partition: partitionOf(key, partitions) }]
    return Array.from({ length: partitions }, (_, partition) => ({ key: instance, value: token, partition }))
  }

  const rejectAll = (error: unknown) => {
    const rejected = waiting
    waiting = []
    waitingEvents = 0
    for (const { reject } of rejected) reject(error)
  }

  const running = keepOpen(open, lifecycle.signal, (err) => {
    if (!reported) log.error({ err: expected(err), topic }, 'Kafka cannot be used; trying on')
    reported = true
  })
  lifecycle.onClose('kafka publisher', () => running)

  return {
    publish(events) {
      if (events.length === 0) return Promise.resolve()
      if (!session) return Promise.reject(new Error('Kafka is not reachable'))
      if (waitingEvents + events.length > MAX_WAITING) return Promise.reject(new Error('too many events are waiting'))
      return new Promise((resolve, reject) => {
        waiting.push({ events, resolve, reject })
        waitingEvents += events.length
        void pump()
      })
    },
    check: () => ({ name: 'kafka', ok: session !== undefined }),
  }
}

/**
 * @returns the offset that each partition gave to the first message
 * @throws as well when a partition did not acknowledge: kafkajs drops messages for one that it does not know
 */
async function send(producer: Producer, topic: string, messages: Message[]): Promise<Map<number, bigint>> {
  const results = await producer.send({ topic, acks: -1, timeout: SEND_DEADLINE_MS, messages })
  const acknowledged = new Map(results.map(({ partition, baseOffset }) => [partition, BigInt(baseOffset!)]))
  if (messages.some(({ partition }) => !acknowledged.has(partition!)))
    throw new Error('a partition did not acknowledge')
  return acknowledged
}

/** kafkajs's own rule (murmur2, as the Java client has it) over the number of partitions that we know. */
function createPartitioner(topic: string): (key: string, count: number) => number {
  const partitioner = Partitioners.DefaultPartitioner()
  return (key, count) => {
    const partitionMetadata = Array.from({ length: count }, (_, partitionId) => ({
      partitionErrorCode: 0,
      partitionId,
      leader: 0,
      replicas: [],
      isr: [],
    }))
    return partitioner({ topic, partitionMetadata, message: { key, value: null } })
  }
}
