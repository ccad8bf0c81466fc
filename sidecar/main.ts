import type { ServerOptions, Server as TlsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import type { FastifyInstance } from 'fastify'
import { type Clock, systemClock } from '../shared/clock.ts'
import { kafkaSecurity } from '../shared/kafka-settings.ts'
import { createLifecycle, type Lifecycle, pause } from '../shared/lifecycle.ts'
import { createLog, type Log } from '../shared/log.ts'
import { isLoopback } from '../shared/loopback.ts'
import { addProcessMetrics, createMetrics, type Metrics } from '../shared/metrics.ts'
import type { Check } from '../shared/operations.ts'
import type { Revocation } from '../shared/revocation.ts'
import { buildAdmin } from './admin.ts'
import type { DecisionState } from './domain/decide.ts'
import { createFreshness } from './domain/freshness.ts'
import { createKeyRing, type KeyRing } from './domain/key-ring.ts'
import { createRevocationList } from './domain/revocation-list.ts'
import { createRouteTable } from './domain/routes.ts'
import { createVerifier } from './domain/verify.ts'
import { startFeeds } from './feeds/feed.ts'
import { type KeyFetcher, startKeyFetcher } from './feeds/jwks.ts'
import { openCertificate } from './https.ts'
import { createForwardAuth } from './proxy/forward-auth.ts'
import { createOpenStreams, type OpenStreams } from './proxy/open-streams.ts'
import { trustedPeers } from './proxy/peer.ts'
import { createRequestMetrics, type RequestMetrics } from './proxy/request-metrics.ts'
import { createUpstreams, type Upstreams } from './proxy/upstreams.ts'
import { buildProxy, drain } from './server.ts'
import { readSidecarSettings, type SidecarSettings } from './settings.ts'

export interface RunningSidecar {
  /** Where the proxy listens. */
  url: string
  /** Where health and metrics listen. */
  adminUrl: string
  /** Resolves when it is ready for traffic for the first time, or ends. */
  ready: Promise<void>
  /** Drains it: accepts for a while, finishes what is open, then ends everything. */
  close(): Promise<void>
}

/** How often open streams are looked at for expired tokens, and old entries are forgotten: milliseconds. */
const SWEEP_MS = 500
const READY_LOOK_MS = 25
/** How long a client may take for the head of a request, and how often that is looked at: milliseconds. */
const HEADERS_TIMEOUT_MS = 15_000
const TIMEOUT_CHECK_MS = 5000
/** How long a client may take nothing of an answer that waits for it, as nginx and HAProxy have it: milliseconds. */
const STALL_TIMEOUT_MS = 60_000

interface Base {
  settings: SidecarSettings
  clock: Clock
  log: Log
  metrics: Metrics
  lifecycle: Lifecycle
}

/**
 * Starts one sidecar and returns when it listens. Until keys and revocations are known, routes that need a token answer
 * 503.
 * @throws SettingsError for settings or routes that are wrong, the system's error for a port that can't be used
 */
export async function startSidecar(
  env: NodeJS.ProcessEnv,
  options: { clock?: Clock; log?: Log } = {},
): Promise<RunningSidecar> {
  const settings = readSidecarSettings(env)
  const log = options.log ?? createLog('sidecar', settings.LOG_LEVEL)
  const lifecycle = createLifecycle(log)
  const base: Base = { settings, clock: options.clock ?? systemClock, log, metrics: createMetrics(), lifecycle }
  try {
    return await start(base)
  } catch (error) {
    await lifecycle.close()
    throw error
  }
}

/** Everything in the order in which one part stands on another. */
async function start(base: Base): Promise<RunningSidecar> {
  const { settings, clock, log, metrics, lifecycle } = base
  await addProcessMetrics(metrics)
  if (settings.ISSUER_INTERNAL_URL.startsWith('http:') && !isLoopback(settings.ISSUER_INTERNAL_URL)) {
    log.warn(
      { url: settings.ISSUER_INTERNAL_URL },
      'keys and feed come over plain HTTP: who is on the way can replace them',
    )
  }

  const ring = createKeyRing({ maxStaleMs: settings.JWKS_MAX_STALE })
  const revocations = createRevocationList()
  const freshness = createFreshness({ maxStalenessMs: settings.MAX_STALENESS, clock })
  const verifier = createVerifier({
    rules: {
      keyFor: ring.keyFor,
      algorithms: settings.TOKEN_ALGORITHMS,
      issuer: settings.ISSUER_URL,
      audience: settings.AUDIENCE,
    },
    cacheSize: settings.TOKEN_CACHE_SIZE,
  })
  const state: DecisionState = { routes: createRouteTable([]), verifier, revocations, freshness }
  const upstreams = createUpstreams(settings.UPSTREAM, {
    ca: settings.UPSTREAM_CA,
    maxConnections: settings.UPSTREAM_CONNECTIONS,
    metrics,
  })
  lifecycle.onClose('connections to upstreams', () => upstreams.destroy())
  if (settings.ROUTES_FILE !== undefined) {
    // Only then: the YAML parser is 3 of 100 MB resident.
    const { startRoutesFile } = await import('./feeds/routes-file.ts')
    const onRoutes = (table: DecisionState['routes']) => {
      state.routes = table
      upstreams.retain(table.routes)
    }
    await startRoutesFile({ path: settings.ROUTES_FILE, onRoutes, log, metrics, lifecycle })
  }

  const openStreams = createOpenStreams()
  const keys = startKeys(base, ring)
  const feeds = await startFeeds({
    ...feedAddresses(settings),
    ring,
    keys,
    revocations,
    freshness,
    onRevocation: (revocation: Revocation) => openStreams.cut(revocation),
    fallbackAfterMs: settings.FEED_FALLBACK_AFTER,
    maxStalenessMs: settings.MAX_STALENESS,
    digestIntervalMs: settings.DIGEST_INTERVAL,
    clock,
    log,
    metrics,
    lifecycle,
  })
  every(SWEEP_MS, lifecycle, () => {
    const nowMs = clock.now()
    openStreams.sweep(nowMs, { isFresh: freshness.isFresh(nowMs), graceMs: settings.STREAM_GRACE })
    // An own clock that is ahead for a while must not make forgotten what still matters: the issuers' has to agree.
    revocations.sweep(Math.floor(Math.min(nowMs, freshness.completeUntil()) / 1000))
    keys.expire()
  })

  let draining = false
  const ready = (): Check[] => [{ name: 'serving', ok: !draining }, ...feeds.ready()]
  const requestMetrics = createRequestMetrics(metrics, openStreams, () => verifier.counts)
  const forwardAuth = createForwardAuth({
    state,
    keys,
    identityHeaders: settings.IDENTITY_HEADERS,
    isTrusted: trustedPeers(settings.FORWARD_AUTH_TRUSTED),
    metrics: requestMetrics,
    clock,
    log,
  })
  const admin = buildAdmin({ metrics, ready, revocations, forwardAuth, log })
  lifecycle.onClose('admin server', () => admin.close())
  const adminUrl = await listen(admin, settings.SIDECAR_ADMIN_HOST, settings.SIDECAR_ADMIN_PORT)

  const certificate = await openCertificate(settings, { log, metrics, lifecycle })
  const proxy = buildGeneralLane(base, {
    state,
    keys,
    upstreams,
    tls: certificate?.context,
    openStreams,
    metrics: requestMetrics,
    isDraining: () => draining,
  })
  certificate?.keepFresh(proxy.server as TlsServer)
  lifecycle.onClose('proxy server', () => proxy.close())
  const url = await listen(proxy, settings.SIDECAR_HOST, settings.SIDECAR_PORT)
  log.info({ url, adminUrl, upstream: settings.UPSTREAM.address }, 'listening')

  return {
    url,
    adminUrl,
    ready: untilReady(ready, base),
    close: async () => {
      if (!draining) {
        draining = true
        log.info({ open: openStreams.size }, 'draining')
        await drain(proxy, openStreams, { delayMs: settings.DRAIN_DELAY, deadlineMs: settings.DRAIN_DEADLINE })
      }
      // Only now do the feeds end: what is still open has to hear of revocations.
      await lifecycle.close()
    },
  }
}

function startKeys({ settings, clock, log, metrics, lifecycle }: Base, ring: KeyRing): KeyFetcher {
  return startKeyFetcher({
    ring,
    issuer: settings.ISSUER_URL,
    url: `${settings.ISSUER_INTERNAL_URL}/.well-known/jwks.json`,
    ca: settings.ISSUER_CA,
    cachePath: join(settings.DATA_DIR, 'sidecar-keys.json'),
    refreshMs: settings.JWKS_REFRESH,
    cooldownMs: settings.JWKS_COOLDOWN,
    maxStaleMs: settings.JWKS_MAX_STALE,
    clock,
    log,
    metrics,
    lifecycle,
  })
}

function feedAddresses(settings: SidecarSettings) {
  const { ISSUER_URL, ISSUER_INTERNAL_URL, ISSUER_CA: ca, KAFKA_BROKERS, KAFKA_TOPIC, FEED_TOKEN } = settings
  return {
    issuer: ISSUER_URL,
    kafka: KAFKA_BROKERS && { brokers: KAFKA_BROKERS, topic: KAFKA_TOPIC, security: kafkaSecurity(settings) },
    stream: FEED_TOKEN && { url: `${ISSUER_INTERNAL_URL}/revocations`, ca, feedToken: FEED_TOKEN[0]! },
  }
}

interface LaneParts {
  state: DecisionState
  keys: KeyFetcher
  upstreams: Upstreams
  tls: ServerOptions | undefined
  openStreams: OpenStreams
  metrics: RequestMetrics
  isDraining(): boolean
}

function buildGeneralLane({ settings, clock, log }: Base, parts: LaneParts): FastifyInstance {
  return buildProxy({
    ...parts,
    headerRules: {
      identityHeaders: settings.IDENTITY_HEADERS,
      forwardToken: settings.FORWARD_TOKEN,
      isTrusted: trustedPeers(settings.TRUST_PROXY),
    },
    timeouts: {
      headersMs: HEADERS_TIMEOUT_MS,
      requestMs: settings.REQUEST_TIMEOUT,
      stallMs: STALL_TIMEOUT_MS,
      checkMs: TIMEOUT_CHECK_MS,
    },
    clock,
    log,
  })
}

function every(ms: number, lifecycle: Lifecycle, act: () => void): void {
  const timer = setInterval(act, ms)
  lifecycle.onClose('timer', () => clearInterval(timer))
}

async function listen(app: FastifyInstance, host: string, port: number): Promise<string> {
  await app.listen({ host, port })
  const { address, family, port: taken } = app.server.address() as AddressInfo
  const scheme = app.initialConfig.https ? 'https' : 'http'
  return `${scheme}://${family === 'IPv6' ? `[${address}]` : address}:${taken}`
}

async function untilReady(ready: () => Check[], { log, lifecycle }: Base): Promise<void> {
  const startedAt = performance.now()
  while (!lifecycle.signal.aborted) {
    if (ready().every(({ ok }) => ok)) {
      log.info({ ms: Math.round(performance.now() - startedAt) }, 'ready')
      return
    }
    await pause(READY_LOOK_MS, lifecycle.signal)
  }
}
