import type { AccessClaims } from '../../shared/access-token.ts'
import { refusedFrom } from '../../shared/access-token.ts'
import type { Revocation } from '../../shared/revocation.ts'
import type { Identity } from '../domain/decide.ts'
import { createYoungStreams, type Linked } from './young-streams.ts'

/** Why a connection is ended before its time. */
export type EndReason = 'revoked' | 'expired' | 'revocations_stale' | 'draining'

/** A request that is being answered, or a tunnel: whatever a token has opened. */
export interface OpenStream extends Linked {
  /** `undefined`: nobody's, so no revocation concerns it. */
  readonly identity: Identity | undefined
  /** When it was let in: milliseconds since the epoch. */
  readonly openedMs: number
  /** Whether it may not go on when it can't be known who has logged out. */
  readonly endsWhenStale: boolean
  /** Ends it; may be called more than once. */
  end(reason: EndReason): void
}

export interface OpenStreams {
  open(stream: OpenStream): void
  done(stream: OpenStream): void
  /** Ends every stream whose token this revocation covers. */
  cut(revocation: Revocation): void
  endAll(reason: EndReason): void
  /**
   * Ends what has expired, and what may not go on without knowing who has logged out once that is not known for
   * {@link STALE_MS}; to be called about twice a second, see {@link SETTLE_MS}.
   * @param known `isFresh`: whether a revocation would have been heard of; `graceMs`: how long a stream may outlive its
   * token while that is so: milliseconds
   */
  sweep(nowMs: number, known: { isFresh: boolean; graceMs: number }): void
  readonly size: number
}

/**
 * A stream enters the indexes when it is this old: milliseconds. Nearly every request is answered before, so what it
 * pays is one insertion into a list; a revocation has to look through the young ones, which are few.
 */
export const SETTLE_MS = 1000

/**
 * How long nothing has to be known until streams end: milliseconds. A process that stood still finds what it missed in its
 * sockets when it goes on, a moment after its timers.
 */
export const STALE_MS = 1000

/** How many streams are ended before other work gets its turn. */
const BATCH = 250

export function createOpenStreams(): OpenStreams {
  const young = createYoungStreams<OpenStream>()
  const settled = new Set<OpenStream>()
  const bySession = createIndex((claims) => claims.sid)
  const byUser = createIndex((claims) => claims.sub)
  let staleSinceMs = Infinity

  const isOpen = (stream: OpenStream) => stream.isYoung || settled.has(stream)

  const endEach = (streams: OpenStream[], reason: EndReason) => {
    for (const stream of streams.splice(0, BATCH)) if (isOpen(stream)) stream.end(reason)
    if (streams.length > 0) setImmediate(endEach, streams, reason)
  }

  const endSettled = (isMeant: (stream: OpenStream) => boolean, reason: EndReason) =>
    endEach([...settled].filter(isMeant), reason)

  const candidates = (revocation: Revocation): Iterable<OpenStream> => {
    if (revocation.kind === 'session') return bySession.get(revocation.sid)
    return revocation.kind === 'user' ? byUser.get(revocation.sub) : settled
  }

  const settle = (stream: OpenStream) => {
    young.delete(stream)
    settled.add(stream)
    bySession.add(stream)
    byUser.add(stream)
  }

  return {
    open: (stream) => {
      young.add(stream)
    },
    done(stream) {
      if (young.delete(stream) || !settled.delete(stream)) return
      bySession.delete(stream)
      byUser.delete(stream)
    },
    cut(revocation) {
      const streams = [...young, ...candidates(revocation)].filter(({ identity }) => covers(revocation, identity))
      endEach(streams, 'revoked')
    },
    endAll(reason) {
      for (const stream of [...young, ...settled]) stream.end(reason)
    },
    sweep(nowMs, { isFresh, graceMs }) {
      staleSinceMs = isFresh ? Infinity : Math.min(staleSinceMs, nowMs)
      for (const stream of young) {
        // They stand in the order in which they came; a clock that was set back must not keep a stream young for ever.
        if (stream.openedMs > nowMs - SETTLE_MS && stream.openedMs <= nowMs) break
        settle(stream)
      }
      const outlivesMs = isFresh ? graceMs : 0
      const isOver = ({ claims }: Identity) => nowMs >= refusedFrom(claims.exp) + outlivesMs
      endSettled(({ identity }) => identity !== undefined && isOver(identity), 'expired')
      if (nowMs - staleSinceMs >= STALE_MS) endSettled(({ endsWhenStale }) => endsWhenStale, 'revocations_stale')
    },
    get size() {
      return young.size + settled.size
    },
  }
}

function covers(revocation: Revocation, identity: Identity | undefined): boolean {
  if (!identity) return false
  const { claims, kid } = identity
  switch (revocation.kind) {
    case 'session':
      return claims.sid === revocation.sid
    case 'user':
      return claims.sub === revocation.sub && claims.epoch < revocation.epoch
    case 'key':
      return kid === revocation.kid
  }
}

function createIndex(keyOf: (claims: AccessClaims) => string) {
  const streams = new Map<string, Set<OpenStream>>()
  return {
    get: (key: string): Iterable<OpenStream> => streams.get(key) ?? [],
    add(stream: OpenStream) {
      if (!stream.identity) return
      const key = keyOf(stream.identity.claims)
      const same = streams.get(key)
      if (same) same.add(stream)
      else streams.set(key, new Set([stream]))
    },
    delete(stream: OpenStream) {
      if (!stream.identity) return
      const key = keyOf(stream.identity.claims)
      const same = streams.get(key)
      if (same?.delete(stream) && same.size === 0) streams.delete(key)
    },
  }
}
