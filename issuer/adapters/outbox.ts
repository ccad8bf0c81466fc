import { type Clock, LEEWAY_S } from '../../shared/clock.ts'
import { type Lifecycle, pause } from '../../shared/lifecycle.ts'
import { expected, type Log } from '../../shared/log.ts'
import { counter, gauge, type Metrics } from '../../shared/metrics.ts'
import { partitionKey, type Revocation } from '../../shared/revocation.ts'
import type { SecurityEvent } from '../../shared/security-event.ts'
import type { Ledger, OutgoingEvent, Publisher } from '../domain/ports.ts'
import type { Replay } from './replay.ts'

/** Entries read, published and marked at once. */
const BATCH = 500

export interface OutboxParts {
  ledger: Pick<Ledger, 'unpublished' | 'markPublished'>
  publisher: Publisher
  sign(event: SecurityEvent): string
  /** Which issuer process says so. */
  instance: string
  clock: Clock
  /** Publishes what the log needs beside new entries. */
  replay?: Replay
}

/**
 * One round of the outbox: publishes what the ledger holds unpublished, of whichever issuer, marks it once it is
 * acknowledged, and only then says how far the feed is complete: up to the instant at which the first read began.
 * Every step that fails ends the round, and with it the claim.
 * @param onRead told how many entries each read gave
 * @returns how many entries were published
 */
export async function publishRound(parts: OutboxParts, onRead?: (entries: number) => void): Promise<number> {
  try {
    return await publishAll(parts, onRead)
  } catch (error) {
    parts.replay?.beginAnew()
    throw error
  }
}

async function publishAll(parts: OutboxParts, onRead?: (entries: number) => void): Promise<number> {
  const { ledger, publisher, sign, instance, clock, replay } = parts
  const publish = (revocations: Revocation[]) =>
    publisher.publish(revocations.map((revocation) => toEvent(revocation, sign)))
  const completeUntilMs = clock.now()
  let published = 0
  for (let full = true; full; ) {
    const entries = await ledger.unpublished(instance, BATCH, Math.floor(completeUntilMs / 1000) - LEEWAY_S)
    onRead?.(entries.length)
    if (entries.length > 0) {
      await publish(entries.map(({ revocation }) => revocation))
      await ledger.markPublished(entries.map(({ id }) => id))
    }
    published += entries.length
    full = entries.length === BATCH
  }
  do {
    await replay?.round(publish)
  } while (replay?.isOutdated())
  // Nothing is awaited from there to the signature, so it knows of no revoked key that the replay has not heard of.
  const token = sign({ type: 'heartbeat', instance, completeUntilMs })
  await publisher.publish([{ key: undefined, token }])
  return published
}

/** All that is live in the ledger, published or not, for a log that may lack some of it. */
export async function* liveEvents({
  ledger,
  sign,
  instance,
  clock,
}: Omit<OutboxParts, 'ledger' | 'publisher'> & { ledger: Pick<Ledger, 'live'> }): AsyncGenerator<OutgoingEvent[]> {
  for await (const batch of ledger.live(instance, Math.floor(clock.now() / 1000))) {
    yield batch.map((revocation) => toEvent(revocation, sign))
  }
}

function toEvent(revocation: Revocation, sign: OutboxParts['sign']): OutgoingEvent {
  return { key: partitionKey(revocation), token: sign({ type: 'revocation', revocation }) }
}

/**
 * Runs {@link publishRound} now and then on, never two at once.
 * @param intervalMs from the beginning of one round to that of the next: milliseconds
 */
export function startOutbox(
  options: OutboxParts & { intervalMs: number; log: Log; metrics: Metrics; lifecycle: Lifecycle },
): void {
  const { intervalMs, log, lifecycle, clock } = options
  const observe = createObserver(options.metrics, clock)
  let failing = false

  const round = async () => {
    try {
      const published = await publishRound(options, observe.read)
      observe.succeeded(published)
      if (failing) log.info('revocations are published again')
      failing = false
    } catch (err) {
      observe.failed()
      if (!failing)
        log.error({ err: expected(err) }, 'revocations cannot be published; they stay in the ledger until they can')
      failing = true
    }
  }
  const run = async () => {
    while (!lifecycle.signal.aborted) {
      const began = performance.now()
      await round()
      await pause(intervalMs - (performance.now() - began), lifecycle.signal)
    }
  }
  const running = run()
  lifecycle.onClose('outbox', () => running)
}

function createObserver(metrics: Metrics, clock: Clock) {
  let backlog = 0
  let lastSuccess = clock.now()
  const rounds = counter(
    metrics,
    'revocation_outbox_rounds_total',
    'Rounds of the outbox, each of which reads the ledger, publishes what is due and sends a heartbeat.',
    ['outcome'],
  )
  const entries = counter(
    metrics,
    'revocation_outbox_published_total',
    'Revocations that the outbox published because nobody else had.',
  )
  gauge(
    metrics,
    'revocation_outbox_backlog',
    'Unpublished revocations that the last read of the ledger gave; at most one batch.',
    () => backlog,
  )
  gauge(
    metrics,
    'revocation_outbox_last_success_age_seconds',
    'Time since the last complete round of the outbox: how far complete_until stands behind.',
    () => Math.max(0, clock.now() - lastSuccess) / 1000,
  )
  return {
    read(count: number) {
      backlog = count
    },
    succeeded(published: number) {
      backlog = 0
      lastSuccess = clock.now()
      rounds.inc({ outcome: 'done' })
      entries.inc(published)
    },
    failed: () => rounds.inc({ outcome: 'failed' }),
  }
}
