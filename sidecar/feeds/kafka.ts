import { randomUUID } from 'node:crypto'
import { setImmediate } from 'node:timers/promises'
import type { Admin, Consumer, EachBatchPayload, KafkaMessage } from 'kafkajs'
import { MAX_TOKEN_BYTES } from '../../shared/jws.ts'
import { connectKafka, type KafkaAddress, type KafkaConnection, PARTITIONS_MAX_AGE_MS } from '../../shared/kafka.ts'
import { keepOpen } from '../../shared/keep-open.ts'
import { type Lifecycle, pause, withDeadline } from '../../shared/lifecycle.ts'
import { expected, type Log } from '../../shared/log.ts'
import type { Intake } from './intake.ts'
import type { KeyFetcher } from './jwks.ts'
import { createPartitionProgress, type PartitionProgress } from './partition-progress.ts'

export interface KafkaFeedOptions {
  address: KafkaAddress
  intake: Intake
  keys: Pick<KeyFetcher, 'settle'>
  /** Told up to when this feed is complete: milliseconds. */
  onProgress(completeUntilMs: number): void
  log: Log
  lifecycle: Lifecycle
}

export interface KafkaFeed {
  /** Whether everything has been read that was there when reading began. */
  complete(): boolean
}

/** kafkajs fetches at least this often, and that is how long its orderly end takes: milliseconds. */
const MAX_WAIT_MS = 500
/** How long the end waits for the group to be deleted: milliseconds. */
export const DELETE_WITHIN_MS = 1500
/** A consumer that neither fetches nor works for this long hangs: milliseconds. */
const HANGING_AFTER_MS = 15_000
/** How long events are worked on before requests get their turn: milliseconds. */
const TURN_MS = 5

/**
 * Reads every event of the topic from the beginning, in a consumer group of its own without commits. It never goes past
 * an event that it can't judge yet, so that no later heartbeat is believed. Whatever breaks the consumer, a new one
 * starts at the beginning, for a broken one can hang (tulios/kafkajs#1163), and the list of revocations is a set.
 */
export function startKafkaFeed(options: KafkaFeedOptions): KafkaFeed {
  const { address, log, lifecycle } = options
  let complete = false
  let reported = false

  const session = async (working: () => void) => {
    const groupId = `sallyport-sidecar-${randomUUID()}`
    const connection = connectKafka(address, groupId, log)
    const consumer = createConsumer(connection.client, groupId)
    const over = new AbortController()
    const signal = AbortSignal.any([over.signal, lifecycle.signal])
    try {
      const offsets = await asAdmin(connection, (admin) => admin.fetchTopicOffsets(address.topic))
      const progress = createPartitionProgress(offsets, (completeUntilMs) => {
        working()
        complete = true
        if (reported) log.info('the feed from Kafka is complete again')
        reported = false
        options.onProgress(completeUntilMs)
      })
      await consume(consumer, { ...options, progress, signal, fail: (error) => over.abort(error) })
      if (over.signal.aborted) throw over.signal.reason
    } finally {
      over.abort()
      await connection.end(consumer)
      // The broker would forget an empty group by itself, only much later.
      const deleted = asAdmin(connection, (admin) => admin.deleteGroups([groupId]))
      await withDeadline(deleted, DELETE_WITHIN_MS).catch(() => {})
      connection.destroy()
    }
  }
  const running = keepOpen(session, lifecycle.signal, (err) => {
    if (!reported)
      log.warn({ err: expected(err), topic: address.topic }, 'the feed from Kafka cannot be read; trying on')
    reported = true
  })
  lifecycle.onClose('kafka feed', () => running)
  return { complete: () => complete }
}

/** Connections of its own, and only for as long as that takes: with thousands of sidecars a broker has enough of them. */
async function asAdmin<T>({ client, end }: KafkaConnection, work: (admin: Admin) => Promise<T>): Promise<T> {
  const admin = client.admin()
  try {
    await admin.connect()
    return await work(admin)
  } finally {
    await end(admin)
  }
}

function createConsumer(client: ReturnType<typeof connectKafka>['client'], groupId: string): Consumer {
  return client.consumer({
    groupId,
    // One byte is enough for an answer, so an event is here as soon as it is acknowledged.
    minBytes: 1,
    maxWaitTimeInMs: MAX_WAIT_MS,
    metadataMaxAge: PARTITIONS_MAX_AGE_MS,
    allowAutoTopicCreation: false,
    // kafkajs's own restarts would hide an outage.
    retry: { retries: 2, restartOnFailure: async () => false },
  })
}

interface Consumption extends KafkaFeedOptions {
  progress: PartitionProgress
  signal: AbortSignal
  fail(error: unknown): void
}

/** Returns when the signal is aborted. */
async function consume(consumer: Consumer, consumption: Consumption): Promise<void> {
  const { address, progress, signal, fail } = consumption
  const { CRASH, GROUP_JOIN, FETCH } = consumer.events
  let alive = performance.now()
  const stillAlive = () => {
    alive = performance.now()
  }
  consumer.on(CRASH, ({ payload }) => fail(payload.error))
  consumer.on(FETCH, stillAlive)
  // Partitions can be added to a topic; nothing is complete before the new one is.
  consumer.on(GROUP_JOIN, ({ payload }) => progress.expect(payload.memberAssignment[address.topic] ?? []))
  await consumer.connect()
  await consumer.subscribe({ topic: address.topic, fromBeginning: true })
  const session = { ...consumption, skipped: new Set<string>(), reaches: new Map<number, Reach>(), stillAlive }
  await consumer.run({
    autoCommit: false,
    eachBatch: (payload) => readBatch(payload, session),
  })
  while (!signal.aborted) {
    await pause(1000, signal)
    if (performance.now() - alive > HANGING_AFTER_MS) fail(new Error('the Kafka consumer hangs'))
  }
}

/** At an instant by `performance.now()` a partition had all events before this offset. */
interface Reach {
  offset: bigint
  at: number
}

/** What reading one session's batches needs. */
export interface Reading extends Consumption {
  /** Keys of events that were skipped because the issuer did not have them. */
  skipped: Set<string>
  /** How far each partition was known to reach when that was last looked at. */
  reaches: Map<number, Reach>
  stillAlive(): void
}

/** Applies one batch and tells what it proves; throws when the session has to begin anew. */
export async function readBatch(
  { batch, heartbeat }: Pick<EachBatchPayload, 'batch' | 'heartbeat'>,
  reading: Reading,
): Promise<void> {
  const { progress, signal, stillAlive } = reading
  let turn = performance.now()
  const heard = { ...reading, heardAt: heardAt(batch, reading.reaches) }
  for (const message of batch.messages) {
    if (performance.now() - turn > TURN_MS) {
      await setImmediate()
      await heartbeat()
      turn = performance.now()
      stillAlive()
    }
    // An error, for a return would count as having read the batch.
    if (signal.aborted) throw new Error('the feed from Kafka has ended')
    const completeUntilMs = await readMessage(message, heard, heartbeat)
    if (completeUntilMs !== undefined) progress.proven(batch.partition, completeUntilMs)
  }
  progress.read(batch.partition, batch.lastOffset())
}

/**
 * An instant at which the whole batch was in the topic, by `performance.now()`: all keys in it were in use before. It is
 * not that of the batch, for then each batch of a flood of unknown keys would have to wait for a fetch of its own, and
 * who writes a batch in that time would keep every heartbeat behind it.
 */
function heardAt(batch: EachBatchPayload['batch'], reaches: Map<number, Reach>): number {
  const known = reaches.get(batch.partition)
  const end = BigInt(batch.highWatermark)
  // A partition that has become shorter has lost events, and others have their offsets.
  if (known && known.offset <= end && BigInt(batch.lastOffset()) < known.offset) return known.at
  const reach = { offset: end, at: performance.now() }
  reaches.set(batch.partition, reach)
  return reach.at
}

/** `heardAt` is an instant by `performance.now()`: all keys in the batch were in use before. */
type HeardReading = Reading & { heardAt: number }

/** @returns what a heartbeat proves: milliseconds */
async function readMessage(
  { value }: KafkaMessage,
  reading: HeardReading,
  heartbeat: () => Promise<void>,
): Promise<number | undefined> {
  const { intake, skipped, fail } = reading
  if (!value || value.length > MAX_TOKEN_BYTES) {
    intake.refuse('event_malformed', 'kafka')
    return undefined
  }
  const token = value.toString('latin1')
  let read = intake.read(token, 'kafka')
  while (read.outcome === 'key_unknown') {
    const verdict = await settle(read.kid, reading, heartbeat)
    if (verdict === 'absent') {
      skip(read.kid, skipped)
      intake.refuse('key_absent', 'kafka')
      return undefined
    }
    read = intake.read(token, 'kafka')
  }
  // An issuer had this key before the one that was asked: what it signed has to be read after all.
  if ((read.outcome === 'applied' || read.outcome === 'proof') && skipped.has(read.kid)) {
    beginAnew('a key has appeared whose events were skipped', fail)
  }
  if (read.outcome === 'refused' && read.reason === 'clock_set_back') {
    beginAnew('events were skipped by a clock that was ahead', fail)
  }
  return read.outcome === 'proof' && read.proof.type === 'heartbeat' ? read.proof.completeUntilMs : undefined
}

function beginAnew(reason: string, fail: (error: unknown) => void): never {
  const error = new Error(`${reason}; reading them again`)
  fail(error)
  throw error
}

/** Waits until it is known whether the issuer has the key, and keeps the membership of the group alive meanwhile. */
async function settle(
  kid: string,
  { keys, signal, stillAlive, heardAt }: HeardReading,
  heartbeat: () => Promise<void>,
) {
  const settled = keys.settle(kid, signal, heardAt)
  for (;;) {
    const verdict = await Promise.race([settled, pause(1000, signal)])
    if (signal.aborted) throw new Error('the feed from Kafka has ended')
    if (verdict) return verdict
    stillAlive()
    await heartbeat()
  }
}

const MAX_SKIPPED = 1000

function skip(kid: string, skipped: Set<string>): void {
  if (skipped.size >= MAX_SKIPPED) skipped.delete(skipped.values().next().value!)
  skipped.add(kid)
}
