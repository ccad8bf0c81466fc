import { randomUUID } from 'node:crypto'
import { type AddressInfo, createServer as createNetServer } from 'node:net'
import { type Clock, systemClock } from '../shared/clock.ts'
import { createLifecycle, type Lifecycle, pause } from '../shared/lifecycle.ts'
import { createLog, type Log } from '../shared/log.ts'
import { addProcessMetrics, createMetrics, type Metrics } from '../shared/metrics.ts'
import type { Check } from '../shared/operations.ts'
import { type SecurityEvent, signSecurityEvent } from '../shared/security-event.ts'
import { createAudit } from './adapters/audit.ts'
import { createEventStream, type EventStream } from './adapters/event-stream.ts'
import { createHashingLane } from './adapters/hashing-lane.ts'
import { readOrCreateMasterKey } from './adapters/master-key-file.ts'
import { startOutbox } from './adapters/outbox.ts'
import { ensureSigningKey } from './domain/ensure-signing-key.ts'
import { createKeySealing } from './domain/key-sealing.ts'
import { createKeySet, type KeySet } from './domain/key-set.ts'
import type { Publisher, SigningKeys } from './domain/ports.ts'
import { refreshTokenKeys } from './domain/refresh-token.ts'
import { createServer } from './server.ts'
import { type IssuerSettings, readIssuerSettings } from './settings.ts'
import { openStores } from './stores.ts'

export interface RunningIssuer {
  /** Where it listens. */
  url: string
  /** Ends it in order: the server first, then what it stands on. */
  close(): Promise<void>
}

// What other issuers add to the ledger reaches the streams of this one within this time: milliseconds.
const TAIL_MS = 200
// Well below the time for which a new key is published before it signs: milliseconds.
const KEY_RELOAD_MS = 30_000
// An issuer works without Kafka; only right after the start it waits for it before it calls itself ready: milliseconds.
const KAFKA_GRACE_MS = 10_000

/**
 * Starts one issuer and returns when it listens.
 * @param options.signal ends the start while it waits
 * @throws SettingsError for settings that are wrong, the system's error for a port or a folder that can't be used
 */
export async function startIssuer(
  env: NodeJS.ProcessEnv,
  options: { clock?: Clock; log?: Log; signal?: AbortSignal } = {},
): Promise<RunningIssuer> {
  const settings = readIssuerSettings(await withFreePort(env))
  const log = options.log ?? createLog('issuer', settings.LOG_LEVEL)
  const lifecycle = createLifecycle(log, settings.SHUTDOWN_DEADLINE)
  // A store that is down is waited for; whoever starts this may not want to wait any longer.
  const giveUp = () => void lifecycle.close()
  options.signal?.addEventListener('abort', giveUp)
  try {
    const url = await start(settings, options.clock ?? systemClock, log, lifecycle)
    log.info({ url, issuer: settings.ISSUER_URL }, 'listening')
    return { url, close: lifecycle.close }
  } catch (error) {
    await lifecycle.close()
    throw error
  } finally {
    options.signal?.removeEventListener('abort', giveUp)
  }
}

/** Everything in the order in which one part stands on another. */
async function start(settings: IssuerSettings, clock: Clock, log: Log, lifecycle: Lifecycle): Promise<string> {
  const instance = randomUUID()
  const metrics = createMetrics()
  await addProcessMetrics(metrics)

  const stores = await openStores(settings, clock, log, lifecycle)
  const masterKeys = settings.MASTER_KEY ?? [readOrCreateMasterKey(settings.DATA_DIR)]
  const keySet = await startKeySet(settings, stores.signingKeys, masterKeys, clock, log, lifecycle)
  const sign = (event: SecurityEvent) =>
    signSecurityEvent(keySet.current(), event, {
      issuer: settings.ISSUER_URL,
      audience: settings.AUDIENCE,
      nowMs: clock.now(),
    })

  const shared = { ledger: stores.ledger, sign, clock, instance, log, lifecycle, metrics }
  const stream = createEventStream({
    ...shared,
    issuer: settings.ISSUER_URL,
    tailMs: TAIL_MS,
    heartbeatMs: settings.HEARTBEAT_INTERVAL,
  })
  const feed = await startFeed(settings, stream, shared)

  const app = await createServer(
    {
      ...stores,
      publisher: feed.publisher,
      hasher: await createHasher(settings, metrics),
      audit: createAudit(log, metrics),
      keySet,
      macKeys: refreshTokenKeys(masterKeys),
      sign,
      feed: { stream, feedToken: settings.FEED_TOKEN },
      ready: async () => [...(await stores.check()), ...feed.checks()],
      instance,
      clock,
      log,
      metrics,
    },
    {
      issuer: settings.ISSUER_URL,
      audience: settings.AUDIENCE,
      accessTokenTtlMs: settings.ACCESS_TOKEN_TTL,
      profileClaims: settings.ACCESS_TOKEN_CLAIMS.filter((claim) => claim !== 'none'),
      refreshTtlMs: settings.REFRESH_TOKEN_TTL,
      idleMs: settings.REFRESH_TOKEN_IDLE,
      publishTimeoutMs: settings.PUBLISH_TIMEOUT,
      secureCookie: settings.COOKIE_SECURE,
      corsOrigins: settings.CORS_ORIGINS,
      trustedProxies: settings.TRUST_PROXY,
    },
  )
  lifecycle.onClose('HTTP server', () => app.close())
  await app.listen({ host: settings.ISSUER_HOST, port: settings.ISSUER_PORT })
  return addressOf(app.server.address() as AddressInfo)
}

async function startKeySet(
  settings: IssuerSettings,
  signingKeys: SigningKeys,
  masterKeys: readonly string[],
  clock: Clock,
  log: Log,
  lifecycle: Lifecycle,
): Promise<KeySet> {
  const ports = { signingKeys, sealing: createKeySealing(masterKeys), clock }
  await ensureSigningKey(ports, settings.SIGNING_ALGORITHM)
  const keySet = createKeySet(ports, settings.ACCESS_TOKEN_TTL / 1000)
  await keySet.reload()
  const reloadNowAndThen = async () => {
    for (;;) {
      await pause(KEY_RELOAD_MS, lifecycle.signal)
      if (lifecycle.signal.aborted) return
      await keySet.reload().catch((err) => log.warn({ err }, 'the signing keys could not be read again'))
    }
  }
  const reloading = reloadNowAndThen()
  lifecycle.onClose('key set', () => reloading)
  return keySet
}

interface Feed {
  publisher: Publisher
  checks(): Check[]
}

type FeedParts = Omit<Parameters<typeof startOutbox>[0], 'publisher' | 'intervalMs'>

/** Kafka, when there is one, beside this issuer's own stream; alone, the stream has the ledger as its log. */
async function startFeed(settings: IssuerSettings, stream: EventStream, parts: FeedParts): Promise<Feed> {
  if (!settings.KAFKA_BROKERS) return { publisher: stream.publisher, checks: () => [] }
  const { instance, log, lifecycle, clock } = parts
  const { createKafkaPublisher } = await import('./adapters/kafka-publisher.ts')
  const address = {
    brokers: settings.KAFKA_BROKERS,
    topic: settings.KAFKA_TOPIC,
    lifetimeS: settings.ACCESS_TOKEN_TTL / 1000,
  }
  const kafka = createKafkaPublisher(address, instance, log, lifecycle)
  const publisher: Publisher = {
    async publish(events) {
      await stream.publisher.publish(events)
      await kafka.publish(events)
    },
  }
  startOutbox({ ...parts, publisher, intervalMs: settings.HEARTBEAT_INTERVAL })
  const graceUntil = clock.now() + KAFKA_GRACE_MS
  const check = (): Check => {
    const { name, ok } = kafka.check()
    if (ok) return { name, ok }
    return { name, ok: clock.now() >= graceUntil, detail: 'not reachable; revocations wait in the ledger' }
  }
  return { publisher, checks: () => [check()] }
}

function createHasher(settings: IssuerSettings, metrics: Metrics) {
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

/** Without ISSUER_URL the port is a part of the issuer's name, so "any free port" has to be settled first. */
async function withFreePort(env: NodeJS.ProcessEnv): Promise<NodeJS.ProcessEnv> {
  if (env.ISSUER_PORT !== '0' || env.ISSUER_URL || env.ISSUER_URL_FILE) return env
  const server = createNetServer()
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject).listen(0, env.ISSUER_HOST || '127.0.0.1', resolve)
  })
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return { ...env, ISSUER_PORT: String(port) }
}

function addressOf({ address, family, port }: AddressInfo): string {
  const host = { '0.0.0.0': '127.0.0.1', '::': '[::1]' }[address] ?? (family === 'IPv6' ? `[${address}]` : address)
  return `http://${host}:${port}`
}
