import { Counter } from 'prom-client'
import { counter, gauge, histogram, type Metrics } from '../../shared/metrics.ts'
import type { OpenStreams } from './open-streams.ts'

/** How a request went: answered by the upstream, refused here, failed, or ended before the answer was complete. */
export type Outcome = 'served' | 'denied' | 'failed' | 'ended'

/** Where a request came in: to be forwarded, or asked about by a proxy that forwards it itself. */
export type Door = 'proxy' | 'forward_auth'

export interface RequestMetrics {
  /**
   * Counts one request that is over.
   * @param reason why it was not simply served; from a fixed set, never from the request
   * @param ms how long it took, from the head to the last byte; left out where that means nothing
   * @param door the proxy when left out
   */
  count(route: string, outcome: Outcome, reason: string, ms?: number, door?: Door): void
  upstreamError(code: string): void
  /** Served although it could not be known whether the token was revoked. */
  stale(route: string): void
}

const DURATION_BUCKETS_S = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60]

export interface TokenCacheCounts {
  hits: number
  misses: number
  size: number
}

export function createRequestMetrics(
  metrics: Metrics,
  openStreams: Pick<OpenStreams, 'size'>,
  tokenCache: () => TokenCacheCounts,
): RequestMetrics {
  const requests: Record<Door, Tally> = { proxy: new Tally(), forward_auth: new Tally() }
  new Counter({
    name: 'sidecar_requests_total',
    help: 'Requests by door, route, outcome and reason.',
    labelNames: ['door', 'route', 'outcome', 'reason'],
    registers: [metrics],
    collect() {
      this.reset()
      for (const [door, tally] of Object.entries(requests)) {
        for (const { count, ...labels } of tally.cells()) this.inc({ door, ...labels }, count)
      }
    },
  })
  const durations = histogram(
    metrics,
    'sidecar_request_duration_seconds',
    'Time from the head of a request to the last byte of its answer.',
    [],
    DURATION_BUCKETS_S,
  )
  const upstreamErrors = counter(
    metrics,
    'sidecar_upstream_errors_total',
    'Requests that the upstream did not answer, by error code.',
    ['code'],
  )
  const stale = counter(
    metrics,
    'sidecar_stale_requests_total',
    'Requests served without knowing whether the token was revoked, as the route allows.',
    ['route'],
  )
  gauge(metrics, 'sidecar_open_streams', 'Requests and tunnels that are open.', () => openStreams.size)
  gauge(metrics, 'sidecar_token_cache_size', 'Verified tokens that are remembered.', () => tokenCache().size)
  new Counter({
    name: 'sidecar_token_checks_total',
    help: 'Tokens looked at, by whether they were found verified (hit) or had to be verified (miss).',
    labelNames: ['result'],
    registers: [metrics],
    collect() {
      const { hits, misses } = tokenCache()
      this.reset()
      this.inc({ result: 'hit' }, hits)
      this.inc({ result: 'miss' }, misses)
    },
  })

  return {
    count(route, outcome, reason, ms, door = 'proxy') {
      requests[door].add(route, outcome, reason)
      if (ms !== undefined) durations.observe(ms / 1000)
    },
    upstreamError: (code) => upstreamErrors.inc({ code }),
    stale: (route) => stale.inc({ route }),
  }
}

/** Counts at the cost of two map look-ups a request; prom-client's counter, which hashes its labels, is filled at the scrape. */
class Tally {
  readonly #counts = new Map<string, Map<string, { outcome: Outcome; reason: string; count: number }>>()

  cells(): { route: string; outcome: Outcome; reason: string; count: number }[] {
    return [...this.#counts].flatMap(([route, cells]) => [...cells.values()].map((cell) => ({ route, ...cell })))
  }

  add(route: string, outcome: Outcome, reason: string): void {
    let cells = this.#counts.get(route)
    if (!cells) {
      cells = new Map()
      this.#counts.set(route, cells)
    }
    // A reason belongs to one outcome alone, but for those that happen before and after the answer has begun.
    const key = outcome === 'served' ? outcome : `${outcome} ${reason}`
    const cell = cells.get(key)
    if (cell) cell.count++
    else cells.set(key, { outcome, reason, count: 1 })
  }
}
