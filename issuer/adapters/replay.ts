import type { Clock } from '../../shared/clock.ts'
import type { Revocation } from '../../shared/revocation.ts'
import type { Ledger, LedgerCursor } from '../domain/ports.ts'
import { KEYS_LEASE_MS, liveKeyRevocations, type StoredSigningKey } from '../domain/signing-key.ts'

/** No revocation lasts until then, so that a read gives a place and no entries. */
const NEVER_S = Number.MAX_SAFE_INTEGER
/** How long after a key was revoked an issuer that does not know it may still get an event published: milliseconds. */
const UNAWARE_MS = 2 * KEYS_LEASE_MS
/** How long after its signature the event of a session can concern a token, beyond the token's lifetime: milliseconds. */
const BEYOND_LIFETIME_MS = 60_000

export interface ReplayParts {
  ledger: Pick<Ledger, 'since' | 'live'>
  /** The signing keys as they are known, those that are gone included. */
  storedKeys(): readonly StoredSigningKey[]
  /** The longest that any issuer's access tokens live, asked each time: seconds. */
  readonly lifetimeS: number
  instance: string
  clock: Clock
}

/** Publishes revocations; throws when the feed has not acknowledged them. */
type Publish = (revocations: Revocation[]) => Promise<void>

export interface Replay {
  /** To be called in each round before the heartbeat, which then holds for it too. */
  round(publish: Publish): Promise<void>
  /** Whether a key has turned out to be revoked since; then no heartbeat may be signed before another round. */
  isOutdated(): boolean
  /** The feed has failed: whatever was lost with it is said again. */
  beginAnew(): void
}

/**
 * What a log that forgets, and whose readers believe no revoked key, needs beside new entries.
 * - Key revocations concern tokens for far longer than the log keeps an event: they are repeated once in a lifetime of
 *   an access token, less than the log keeps them in any case, and after every failure.
 * - What a revoked key has signed counts for nothing any more, the revocations among it included. So all that are live
 *   are published again; and as issuers that do not know of it yet may go on for a moment, so is, for that long, every
 *   entry they have added.
 */
export function createReplay(parts: ReplayParts): Replay {
  const { ledger, storedKeys, instance, clock } = parts
  const replayed = new Set<string>()
  let place: { cursor: LedgerCursor } | undefined
  let repeatedAt = Number.NEGATIVE_INFINITY

  const live = (nowMs: number) => liveKeyRevocations(storedKeys(), nowMs)
  const recent = (nowMs: number) =>
    live(nowMs).filter(({ revokedAt }) => nowMs < revokedAt + UNAWARE_MS + parts.lifetimeS * 1000 + BEYOND_LIFETIME_MS)
  const unseen = (nowMs: number) => recent(nowMs).filter(({ revocation }) => !replayed.has(revocation.kid))

  const publishDue = async (nowMs: number, publish: Publish) => {
    const nowS = Math.floor(nowMs / 1000)
    const news = unseen(nowMs)
    if (news.length > 0) {
      place = { cursor: (await ledger.since(instance, undefined, NEVER_S)).cursor }
      for await (const batch of ledger.live(instance, nowS)) await publish(batch)
      for (const { revocation } of news) replayed.add(revocation.kid)
    } else if (place) {
      const { entries, cursor } = await ledger.since(instance, place.cursor, nowS)
      if (entries.length > 0) await publish(entries.map(({ revocation }) => revocation))
      // The last read is one that began when everybody knew.
      place = recent(nowMs).some(({ revokedAt }) => nowMs < revokedAt + UNAWARE_MS) ? { cursor } : undefined
    }
    const keys = live(nowMs)
    if (keys.length > 0 && Math.abs(nowMs - repeatedAt) >= parts.lifetimeS * 1000) {
      await publish(keys.map(({ revocation }) => revocation))
      repeatedAt = nowMs
    }
  }

  return {
    isOutdated: () => unseen(clock.now()).length > 0,
    round: (publish) => publishDue(clock.now(), publish),
    beginAnew() {
      replayed.clear()
      repeatedAt = Number.NEGATIVE_INFINITY
    },
  }
}
