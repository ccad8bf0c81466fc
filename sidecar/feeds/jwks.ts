import { LRUCache } from 'lru-cache'
import { Agent, request } from 'undici'
import type { Clock } from '../../shared/clock.ts'
import { MAX_JWKS_BYTES, parseJwks } from '../../shared/jwks.ts'
import type { VerificationKey } from '../../shared/jws.ts'
import { type Lifecycle, pause } from '../../shared/lifecycle.ts'
import { expected, type Log } from '../../shared/log.ts'
import { counter, gauge, type Metrics } from '../../shared/metrics.ts'
import type { Check } from '../../shared/operations.ts'
import type { KeyRing } from '../domain/key-ring.ts'
import { createKeyFile, type KeptKeys } from './jwks-file.ts'

export interface KeyFetcherOptions {
  ring: KeyRing
  /** Whose keys they are: the `iss` claim. */
  issuer: string
  /** The JWK Set of the issuer. */
  url: string
  /** PEM of a certificate authority to trust for it instead of the usual ones. */
  ca?: string | undefined
  /** Where the last good set is kept for a cold start while the issuer is away; none: nowhere. */
  cachePath?: string
  refreshMs: number
  /** The shortest time from one attempt to the next, whether it failed or not: milliseconds. */
  cooldownMs: number
  /** How long keys are used that the issuer has not confirmed: milliseconds. */
  maxStaleMs: number
  clock: Clock
  log: Log
  metrics: Metrics
  lifecycle: Lifecycle
}

export interface KeyFetcher {
  /** Resolves once there are keys, or the process ends. */
  ready: Promise<void>
  /**
   * Whether the issuer has this key. Waits for one fetch at most, also for one that is under way.
   * @returns `absent` when the issuer was asked and does not; `unavailable` when it could not be asked now
   */
  lookUp(kid: string): Promise<'known' | 'absent' | 'unavailable'>
  /**
   * As {@link lookUp}, but waits for as long as it takes to know. A fetch that began after the key was first heard of
   * answers for it, so that a flood of unknown keys costs no more than one.
   * @param heardAt by `performance.now()`; now, unless it is given
   * @returns `unavailable` only when `signal` was aborted
   */
  settle(kid: string, signal: AbortSignal, heardAt?: number): Promise<'known' | 'absent' | 'unavailable'>
  /**
   * Drops a key for good, from the ring and from the set on disk.
   * @param exp until when a set that has it could be found anywhere: seconds
   */
  revoke(kid: string, exp: number): void
  /** Drops all keys once they are too old to be trusted; to be called about twice a second. */
  expire(): void
  check(): Check
}

const FETCH_DEADLINE_MS = 5000
/** Over how long the fetches of all sidecars are spread that hear of the same thing: milliseconds. */
const SPREAD_MS = 1000
const MAX_ABSENT = 1000
/** How long the issuer is not asked again for a key it did not have: milliseconds. */
const ABSENT_FOR_MS = 30_000

/**
 * Keeps the key ring filled: on a timer of its own, so that no request waits for the refresh of a key that is known.
 * While the issuer is away the last keys stay, up to `maxStaleMs`; then there are none, and everything is refused.
 */
export function startKeyFetcher(options: KeyFetcherOptions): KeyFetcher {
  const { ring, url, refreshMs, cooldownMs, maxStaleMs, clock, log, lifecycle } = options
  const { signal } = lifecycle
  const file = createKeyFile(options.cachePath, options.issuer, log)
  const agent = new Agent({ connections: 1, connect: { timeout: FETCH_DEADLINE_MS, ca: options.ca } })
  const absent = new LRUCache<string, true>({ max: MAX_ABSENT, ttl: ABSENT_FOR_MS })
  const ready = Promise.withResolvers<void>()
  let fetching: Promise<boolean> | undefined
  /** When the last fetch began that brought keys. */
  let lastGood = Number.NEGATIVE_INFINITY
  let attemptedAt = Number.NEGATIVE_INFINITY
  let failing = false
  let writing = Promise.resolve()
  let lastSet: KeptKeys = { keys: [], fetchedAtMs: 0 }
  const revoked = new Map<string, number>()
  const outcomes = observe(options.metrics, () =>
    ring.fetchedAtMs === undefined ? Number.POSITIVE_INFINITY : Math.max(0, clock.now() - ring.fetchedAtMs) / 1000,
  )

  const accept = (set: KeptKeys) => {
    lastSet = set
    ring.replace(set.keys, set.fetchedAtMs)
    ready.resolve()
  }

  const keep = () => {
    const nowS = clock.now() / 1000
    for (const [kid, exp] of revoked) if (exp <= nowS) revoked.delete(kid)
    const set = { ...lastSet, keys: lastSet.keys.filter(({ kid }) => !ring.isRevoked(kid)) }
    writing = writing.then(() => file.write(set, new Map(revoked)))
  }

  const revoke = (kid: string, exp: number) => {
    ring.revoke(kid)
    revoked.set(kid, Math.max(exp, revoked.get(kid) ?? 0))
  }

  const fetchKeys = async () => {
    const began = performance.now()
    attemptedAt = began
    try {
      const keys = await downloadKeys(url, agent, signal)
      const nowMs = clock.now()
      lastGood = began
      accept({ keys, fetchedAtMs: nowMs })
      outcomes.inc({ outcome: 'fetched' })
      if (failing) log.info('the keys of the issuer can be fetched again')
      failing = false
      keep()
      return true
    } catch (err) {
      if (signal.aborted) return false
      outcomes.inc({ outcome: 'failed' })
      if (!failing) log.warn({ err: expected(err), url }, 'the keys of the issuer cannot be fetched')
      failing = true
      return false
    }
  }

  /** At most one at a time. */
  const fetchOnce = () => {
    fetching ??= fetchKeys().finally(() => {
      fetching = undefined
    })
    return fetching
  }

  const cooldown = () => Math.max(0, attemptedAt + cooldownMs - performance.now())

  const verdict = (kid: string) => {
    if (ring.keyFor(kid)) return 'known'
    if (ring.isRevoked(kid)) return 'absent'
    return absent.has(kid) ? 'absent' : undefined
  }

  const refresh = async () => {
    const kept = await file.read(clock.now(), maxStaleMs)
    for (const [kid, exp] of kept.revoked) revoke(kid, exp)
    if (kept.set) accept(kept.set)
    while (!signal.aborted) {
      const good = await fetchOnce()
      const wait = good ? refreshMs : Math.min(cooldownMs, refreshMs)
      await pause(wait * (good ? 0.9 + Math.random() * 0.2 : 1 + Math.random() * 0.2), signal)
    }
    ready.resolve()
  }
  const running = refresh()
  lifecycle.onClose('key fetcher', async () => {
    await running
    await writing
    await agent.destroy()
  })

  return {
    ready: ready.promise,
    async lookUp(kid) {
      const heardAt = performance.now()
      const known = verdict(kid)
      if (known) return known
      if (!fetching && cooldown() > 0) return 'unavailable'
      await fetchOnce()
      // One that was under way may have been answered before there was this key.
      if (lastGood >= heardAt && !ring.keyFor(kid)) absent.set(kid, true)
      return verdict(kid) ?? 'unavailable'
    },
    async settle(kid, until, heardAt = performance.now()) {
      while (!until.aborted && !signal.aborted) {
        const known = verdict(kid)
        if (known) return known
        // Whoever caused it.
        if (lastGood > heardAt) {
          absent.set(kid, true)
          return 'absent'
        }
        if (fetching) await fetching
        else if (cooldown() > 0) await pause(cooldown(), AbortSignal.any([until, signal]))
        else await fetchOnce()
      }
      return 'unavailable'
    },
    revoke(kid, exp) {
      revoke(kid, exp)
      keep()
      // Whichever key took over, another one stands by since then; the next emergency should not have to wait for it.
      void pause(Math.random() * SPREAD_MS, signal).then(() => (signal.aborted ? undefined : fetchOnce()))
    },
    expire() {
      const before = ring.size
      ring.expire(clock.now())
      if (before > 0 && ring.size === 0) log.error('the keys are too old to be used; no token can be verified any more')
    },
    check: () => ({ name: 'keys', ok: ring.size > 0 }),
  }
}

/**
 * Fetches a key set, once, within 5 s.
 * @throws when the answer is anything but a key set with at least one key that can be used
 */
export async function downloadKeys(url: string, dispatcher: Agent, signal: AbortSignal): Promise<VerificationKey[]> {
  const { statusCode, body } = await request(url, {
    dispatcher,
    // A cache between could answer with a set from before the key that is looked for.
    headers: { accept: 'application/jwk-set+json, application/json', 'cache-control': 'no-cache' },
    signal: AbortSignal.any([signal, AbortSignal.timeout(FETCH_DEADLINE_MS)]),
  })
  const chunks: Buffer[] = []
  let size = 0
  // Leaving the loop early ends the connection.
  for await (const chunk of body as AsyncIterable<Buffer>) {
    // A redirect is not followed: where keys come from is configuration (CVE-2026-48522).
    if (statusCode !== 200) break
    size += chunk.length
    if (size > MAX_JWKS_BYTES) throw new Error('the key set is too large')
    chunks.push(chunk)
  }
  if (statusCode !== 200) throw new Error(`the issuer answered ${statusCode}`)
  const keys = parseJwks(JSON.parse(Buffer.concat(chunks).toString('utf8')))
  if (!keys || keys.length === 0) throw new Error('the issuer gave no key that can be used')
  return keys
}

function observe(metrics: Metrics, age: () => number) {
  gauge(metrics, 'jwks_age_seconds', 'Time since the issuer last confirmed the keys in use; +Inf: never.', age)
  return counter(metrics, 'jwks_fetches_total', 'Attempts to fetch the key set of the issuer, by outcome.', ['outcome'])
}
