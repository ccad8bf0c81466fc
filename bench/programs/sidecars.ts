import { systemClock } from '../../shared/clock.ts'
import { kafkaSecurity } from '../../shared/kafka-settings.ts'
import { createLifecycle } from '../../shared/lifecycle.ts'
import { createLog } from '../../shared/log.ts'
import { createMetrics } from '../../shared/metrics.ts'
import { createFreshness } from '../../sidecar/domain/freshness.ts'
import { createKeyRing } from '../../sidecar/domain/key-ring.ts'
import { createRevocationList } from '../../sidecar/domain/revocation-list.ts'
import { startFeeds } from '../../sidecar/feeds/feed.ts'
import { startKeyFetcher } from '../../sidecar/feeds/jwks.ts'
import { readSidecarSettings } from '../../sidecar/settings.ts'

// Many sidecars in one process, as far as revocations are concerned: each with keys, feed, list and a Kafka consumer of
// its own. It says `ready` when all are, and when each has heard of as many revocations as it was told to expect, in a
// line of JSON, when each session was refused for the first and for the last time.

export interface Sidecars {
  count: number
  /** Revocations after which this ends. */
  expected: number
  /** Settings of the sidecar. */
  env: Record<string, string>
}

/** By session: CLOCK_MONOTONIC, which all processes of a machine share, in milliseconds. */
export type Refusals = Record<string, { first: number; last: number; sidecars: number }>

const { count, expected, env } = JSON.parse(process.argv[2]!) as Sidecars
const settings = readSidecarSettings(env)
const refusals = new Map<string, Refusals[string]>()
const done = Promise.withResolvers<void>()
const lifecycle = createLifecycle(createLog('sidecars', 'error'))
let finished = 0

const ready = await Promise.all(Array.from({ length: count }, startOne))
while (!ready.every((isReady) => isReady())) await new Promise((resolve) => setTimeout(resolve, 20))
process.stdout.write('ready\n')
refusals.clear()
await done.promise
process.stdout.write(`${JSON.stringify(Object.fromEntries(refusals))}\n`)
await lifecycle.close()

async function startOne(): Promise<() => boolean> {
  const log = createLog('sidecar', 'error')
  const metrics = createMetrics()
  const ring = createKeyRing({ maxStaleMs: settings.JWKS_MAX_STALE })
  const revocations = createRevocationList()
  const freshness = createFreshness({ maxStalenessMs: settings.MAX_STALENESS, clock: systemClock })
  const issuer = settings.ISSUER_URL
  const base = { ring, clock: systemClock, log, metrics, lifecycle }
  const keys = startKeyFetcher({
    ...base,
    issuer,
    url: `${settings.ISSUER_INTERNAL_URL}/.well-known/jwks.json`,
    refreshMs: settings.JWKS_REFRESH,
    cooldownMs: settings.JWKS_COOLDOWN,
    maxStaleMs: settings.JWKS_MAX_STALE,
  })
  let heard = 0
  const feeds = await startFeeds({
    ...base,
    issuer,
    kafka: { brokers: settings.KAFKA_BROKERS!, topic: settings.KAFKA_TOPIC, security: kafkaSecurity(settings) },
    stream: undefined,
    keys,
    revocations,
    freshness,
    onRevocation(revocation) {
      if (revocation.kind !== 'session') return
      const now = Number(process.hrtime.bigint()) / 1e6
      const known = refusals.get(revocation.sid)
      if (known) Object.assign(known, { last: now, sidecars: known.sidecars + 1 })
      else refusals.set(revocation.sid, { first: now, last: now, sidecars: 1 })
      if (++heard === expected && ++finished === count) done.resolve()
    },
    fallbackAfterMs: settings.FEED_FALLBACK_AFTER,
    maxStalenessMs: settings.MAX_STALENESS,
    digestIntervalMs: settings.DIGEST_INTERVAL,
  })
  return () => feeds.ready().every(({ ok }) => ok)
}
