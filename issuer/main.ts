import { randomUUID } from 'node:crypto'
import type { Server as HttpsServer } from 'node:https'
import { type AddressInfo, createServer as createNetServer } from 'node:net'
import { type Clock, systemClock } from '../shared/clock.ts'
import { closeServer } from '../shared/close-server.ts'
import { kafkaSecurity } from '../shared/kafka-settings.ts'
import { createLifecycle, type Lifecycle } from '../shared/lifecycle.ts'
import { createLog, type Log } from '../shared/log.ts'
import { addProcessMetrics, createMetrics, type Metrics } from '../shared/metrics.ts'
import type { Check } from '../shared/operations.ts'
import { withLocalFallback } from './adapters/counts-fallback.ts'
import { createEventStream, type EventStream } from './adapters/event-stream.ts'
import { checkKeyFileMode } from './adapters/key-file-mode.ts'
import { startKeyUpkeep } from './adapters/key-upkeep.ts'
import { createLedgerDigest } from './adapters/ledger-digest.ts'
import { readOrCreateMasterKey } from './adapters/master-key-file.ts'
import { createMemoryCounts } from './adapters/memory/counts.ts'
import { liveEvents, startOutbox } from './adapters/outbox.ts'
import { startPeerUpkeep } from './adapters/peer-upkeep.ts'
import { createReplay } from './adapters/replay.ts'
import { startAudit } from './audit.ts'
import type { KeySet } from './domain/key-set.ts'
import { createPeers, type Peers } from './domain/peers.ts'
import type { Publisher } from './domain/ports.ts'
import { refreshTokenKeys } from './domain/refresh-token.ts'
import { createEnterRevokedKeys } from './domain/revoke-key.ts'
import { createSignEvent } from './domain/sign-event.ts'
import { createHasher } from './hashing.ts'
import { openCertificate } from './https.ts'
import { type KeyParts, keyRules, type OpenedKeys, openKeys } from './keys.ts'
import { startMailer } from './mail.ts'
import { createServer } from './server.ts'
import { type IssuerSettings, readIssuerSettings } from './settings.ts'
import { openStores, type Stores } from './stores.ts'

export interface RunningIssuer {
  /** Where it listens. */
  url: string
  /** Ends it in order: the server first, then what it stands on. */
  close(): Promise<void>
}

// What other issuers add to the ledger reaches the streams of this one within this time: milliseconds.
const TAIL_MS = 200
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
  checkKeyFileMode(env.SIGNING_KEY_FILE, log)
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
  const peers = await startPeers(settings, stores, { instance, clock, log, lifecycle })
  const masterKeys = settings.MASTER_KEY ?? [readOrCreateMasterKey(settings.DATA_DIR)]
  const audit = await startAudit(settings, { instance, log, metrics, lifecycle })
  const { keySet, sealing } = await startKeys(
    settings,
    { ...stores, peers, masterKeys, clock, audit, log },
    metrics,
    lifecycle,
  )
  const sign = createSignEvent({ keySet, clock }, { issuer: settings.ISSUER_URL, audience: settings.AUDIENCE })

  const shared = { ledger: stores.ledger, sign, clock, instance, log, lifecycle, metrics }
  const stream = createEventStream({
    ...shared,
    issuer: settings.ISSUER_URL,
    tailMs: TAIL_MS,
    heartbeatMs: settings.HEARTBEAT_INTERVAL,
  })
  const feed = await startFeed(settings, stream, keySet, { ...shared, peers })

  const certificate = await openCertificate(settings, { log, metrics, lifecycle })
  const localCounts = createMemoryCounts(clock)
  const digestParts = {
    ...shared,
    get lifetimeS() {
      return peers.agreedLifetimeS()
    },
  }
  const app = await createServer(
    {
      ...stores,
      publisher: feed.publisher,
      counts: stores.counts ? withLocalFallback(stores.counts, localCounts, metrics) : localCounts,
      hasher: await createHasher(settings, metrics),
      mailer: await startMailer(settings, shared),
      audit,
      keySet,
      peers,
      sealing,
      macKeys: refreshTokenKeys(masterKeys),
      sign,
      feed: {
        stream,
        digest: createLedgerDigest(digestParts),
        feedTokens: settings.FEED_TOKEN ?? [],
      },
      ready: async () => [...(await stores.check()), ...feed.checks()],
      instance,
      clock,
      log,
      metrics,
    },
    {
      issuer: settings.ISSUER_URL,
      audience: settings.AUDIENCE,
      profileClaims: settings.ACCESS_TOKEN_CLAIMS.filter((claim) => claim !== 'none'),
      refreshTtlMs: settings.REFRESH_TOKEN_TTL,
      idleMs: settings.REFRESH_TOKEN_IDLE,
      sessionLimit: settings.SESSION_LIMIT || undefined,
      requireVerified: settings.REQUIRE_VERIFIED_EMAIL,
      mailAtRegistration: settings.REQUIRE_VERIFIED_EMAIL || settings.SMTP_URL !== undefined,
      publishTimeoutMs: settings.PUBLISH_TIMEOUT,
      secureCookie: settings.COOKIE_SECURE,
      passwordGrant: settings.PASSWORD_GRANT,
      corsOrigins: settings.CORS_ORIGINS,
      trustedProxies: settings.TRUST_PROXY,
      rateLimits: settings.RATE_LIMITS,
      loginThrottle: settings.LOGIN_THROTTLE,
      keys: keyRules(settings, peers.longestLifetimeS),
      tls: certificate?.context,
    },
  )
  lifecycle.onClose('HTTP server', () => closeServer(app))
  await app.listen({ host: settings.ISSUER_HOST, port: settings.ISSUER_PORT })
  certificate?.keepFresh(app.server as HttpsServer)
  return addressOf(app.server.address() as AddressInfo, certificate ? 'https' : 'http')
}

/** What this issuer and the others of its store know of each other; they know of it before it issues anything. */
async function startPeers(
  settings: IssuerSettings,
  { issuerReports }: Stores,
  { instance, clock, log, lifecycle }: { instance: string; clock: Clock; log: Log; lifecycle: Lifecycle },
): Promise<Peers> {
  const own = { lifetimeS: settings.ACCESS_TOKEN_TTL / 1000, kafka: settings.KAFKA_BROKERS !== undefined }
  const peers = createPeers({ issuerReports, clock }, { instance, ...own })
  await peers.exchange()
  startPeerUpkeep({ peers, own, log, lifecycle })
  return peers
}

/** The keys, and what keeps them up. */
async function startKeys(
  settings: IssuerSettings,
  parts: KeyParts & Pick<Stores, 'ledger'> & { peers: Peers },
  metrics: Metrics,
  lifecycle: Lifecycle,
): Promise<OpenedKeys> {
  const { ledger, peers, clock, log } = parts
  const keys = await openKeys(parts, keyRules(settings, peers.longestLifetimeS), settings.SIGNING_KEY)
  const enterRevokedKeys = createEnterRevokedKeys({ keySet: keys.keySet, ledger, clock })
  startKeyUpkeep({ ...keys, enterRevokedKeys, clock, log, metrics, lifecycle })
  return keys
}

interface Feed {
  publisher: Publisher
  checks(): Check[]
}

type FeedParts = Omit<Parameters<typeof startOutbox>[0], 'publisher' | 'intervalMs' | 'replay' | 'ledger'> &
  Pick<Stores, 'ledger'> & { peers: Peers }

/** Kafka, when there is one, beside this issuer's own stream; alone, the stream has the ledger as its log. */
async function startFeed(
  settings: IssuerSettings,
  stream: EventStream,
  keySet: KeySet,
  parts: FeedParts,
): Promise<Feed> {
  if (!settings.KAFKA_BROKERS) return withoutKafka(stream, parts.peers)
  const { instance, log, lifecycle, clock, peers } = parts
  const { createKafkaPublisher } = await import('./adapters/kafka-publisher.ts')
  const address = {
    brokers: settings.KAFKA_BROKERS,
    topic: settings.KAFKA_TOPIC,
    security: kafkaSecurity(settings),
    longestLifetimeS: peers.reportedLifetimeS,
  }
  const kafka = createKafkaPublisher(address, instance, log, lifecycle, undefined, () => liveEvents(parts))
  const publisher: Publisher = {
    async publish(events) {
      await stream.publisher.publish(events)
      await kafka.publish(events)
    },
  }
  const replay = createReplay({
    ...parts,
    storedKeys: keySet.stored,
    get lifetimeS() {
      return peers.reportedLifetimeS()
    },
  })
  startOutbox({ ...parts, publisher, replay, intervalMs: settings.HEARTBEAT_INTERVAL })
  const graceUntil = clock.now() + KAFKA_GRACE_MS
  const check = (): Check => {
    const { name, ok } = kafka.check()
    if (ok) return { name, ok }
    return { name, ok: clock.now() >= graceUntil, detail: 'not reachable; revocations wait in the ledger' }
  }
  return { publisher, checks: () => [check()] }
}

/**
 * Where the ledger is the log, recording is publishing. But beside issuers with Kafka there may be sidecars that read
 * nothing else: what they learn by is the mark that such an issuer sets.
 */
function withoutKafka(stream: EventStream, peers: Peers): Feed {
  const publisher: Publisher = {
    async publish(events) {
      await stream.publisher.publish(events)
      if (peers.someHaveKafka()) throw new Error('an issuer that has Kafka has to publish it')
    },
    acknowledgedBy: () => (peers.someHaveKafka() ? 'others' : 'ledger'),
  }
  const detail = 'other issuers have KAFKA_BROKERS and this one has not; its revocations wait for one of them'
  return { publisher, checks: () => (peers.someHaveKafka() ? [{ name: 'kafka', ok: true, detail }] : []) }
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

function addressOf({ address, family, port }: AddressInfo, scheme: string): string {
  const host = { '0.0.0.0': '127.0.0.1', '::': '[::1]' }[address] ?? (family === 'IPv6' ? `[${address}]` : address)
  return `${scheme}://${host}:${port}`
}
