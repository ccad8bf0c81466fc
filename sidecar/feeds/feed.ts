import type { Clock } from '../../shared/clock.ts'
import type { KafkaAddress } from '../../shared/kafka.ts'
import { type Lifecycle, pause } from '../../shared/lifecycle.ts'
import type { Log } from '../../shared/log.ts'
import { gauge, type Metrics } from '../../shared/metrics.ts'
import type { Check } from '../../shared/operations.ts'
import type { Revocation } from '../../shared/revocation.ts'
import type { Freshness } from '../domain/freshness.ts'
import type { KeyRing } from '../domain/key-ring.ts'
import type { RevocationList } from '../domain/revocation-list.ts'
import { createIntake, type Feed } from './intake.ts'
import { createIssuerStream, type IssuerStream } from './issuer-stream.ts'
import type { KeyFetcher } from './jwks.ts'
import type { KafkaFeed, KafkaFeedOptions } from './kafka.ts'
import { startReconciliation } from './reconcile.ts'

export interface FeedOptions {
  /** The `iss` that events have to have. */
  issuer: string
  /** None: the issuer's stream is the only feed. */
  kafka: KafkaAddress | undefined
  /** The issuer's stream; none: Kafka is the only feed. */
  stream: { url: string; ca?: string | undefined; feedToken: string } | undefined
  ring: KeyRing
  keys: KeyFetcher
  revocations: Pick<RevocationList, 'add' | 'has' | 'batches'>
  freshness: Freshness
  /** Told of each revocation that is new, so that open connections can be ended. */
  onRevocation(revocation: Revocation): void
  /** How far Kafka may be behind before the issuer's stream is read as well: milliseconds. */
  fallbackAfterMs: number
  maxStalenessMs: number
  /** How often the list of revocations is compared with the issuer's, if there is a stream: milliseconds. */
  digestIntervalMs: number
  clock: Clock
  log: Log
  metrics: Metrics
  lifecycle: Lifecycle
}

/** How often it is asked whether the issuer's stream is needed: milliseconds. */
const LOOK_EVERY_MS = 250
/** How long Kafka has to be up to date before the stream is closed again: milliseconds. */
const STEADY_FOR_MS = 5000
const STREAM_IDLE_MS = 10_000

/**
 * Starts what tells this sidecar of revocations: Kafka, with the issuer's stream for the start and for when Kafka falls
 * behind; or the stream alone. Either carries the whole proof of completeness.
 * @returns `ready`: what has to hold before traffic may come
 */
export async function startFeeds(options: FeedOptions): Promise<{ ready(): Check[] }> {
  const { freshness, keys, clock, lifecycle, log } = options
  // What is dropped is dropped on disk as well.
  const intake = createIntake({ ...options, ring: { keyFor: options.ring.keyFor, revoke: keys.revoke } })
  const shared = { intake, keys, log, lifecycle }
  const progress = (source: Feed) => (completeUntilMs: number) => void freshness.advance(source, completeUntilMs)

  const stream =
    options.stream &&
    createIssuerStream({ ...shared, ...options.stream, idleMs: STREAM_IDLE_MS, onProgress: progress('stream') })
  // Its snapshot is here before a Kafka consumer has even joined its group.
  stream?.open()
  const kafka =
    options.kafka && (await startKafka({ ...shared, address: options.kafka, onProgress: progress('kafka') }))
  if (kafka && stream) {
    const watching = watchKafka(options, kafka, stream)
    lifecycle.onClose('choice of feeds', () => watching)
  }
  if (options.stream) {
    const { stream: address, digestIntervalMs: intervalMs } = options
    startReconciliation({ ...options, ...shared, ...address, intervalMs, idleMs: STREAM_IDLE_MS })
  }
  addGauges(options, kafka, stream)

  return {
    ready() {
      const complete = Boolean(kafka?.complete() || stream?.complete())
      const fresh = freshness.isFresh(clock.now())
      return [
        keys.check(),
        {
          name: 'revocations',
          ok: complete && fresh,
          ...(!(complete && fresh) && { detail: complete ? 'stale' : 'incomplete' }),
        },
      ]
    },
  }
}

/** kafkajs takes 20 MB and more; without Kafka it is not even loaded. */
async function startKafka(options: KafkaFeedOptions): Promise<KafkaFeed> {
  const { startKafkaFeed } = await import('./kafka.ts')
  return startKafkaFeed(options)
}

/** Opens the issuer's stream when Kafka falls behind and closes it when Kafka has been up to date for a while. */
async function watchKafka(options: FeedOptions, kafka: KafkaFeed, stream: IssuerStream): Promise<void> {
  const { freshness, fallbackAfterMs, clock, log, lifecycle } = options
  let steadySince: number | undefined
  while (!lifecycle.signal.aborted) {
    const upToDate = kafka.complete() && clock.now() - freshness.completeUntil('kafka') <= fallbackAfterMs
    steadySince = upToDate ? (steadySince ?? performance.now()) : undefined
    if (!upToDate && !stream.isOpen) {
      log.warn('Kafka is behind; the stream of the issuer is read as well')
      stream.open()
    } else if (stream.isOpen && steadySince !== undefined && performance.now() - steadySince > STEADY_FOR_MS) {
      log.info('Kafka is up to date; the stream of the issuer is closed')
      stream.close()
    }
    await pause(LOOK_EVERY_MS, lifecycle.signal)
  }
}

function addGauges({ metrics, freshness, clock }: FeedOptions, kafka?: KafkaFeed, stream?: IssuerStream): void {
  gauge(
    metrics,
    'revocation_feed_age_seconds',
    'How far back the knowledge of revocations ends: now minus complete_until of the best feed; +Inf before the first.',
    () => freshness.ageMs(clock.now()) / 1000,
  )
  gauge(
    metrics,
    'revocation_feed_kafka_complete',
    'Whether the feed from Kafka has been read up to where it ended at the start: 0 or 1.',
    () => Number(kafka?.complete() ?? false),
  )
  gauge(
    metrics,
    'revocation_feed_stream_open',
    'Whether the event stream of the issuer is being read: 0 or 1; with Kafka it is the fallback.',
    () => Number(stream?.isOpen ?? false),
  )
}
