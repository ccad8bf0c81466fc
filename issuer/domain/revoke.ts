import { type Clock, seconds } from '../../shared/clock.ts'
import { withDeadline } from '../../shared/lifecycle.ts'
import { expected, type Log } from '../../shared/log.ts'
import { partitionKey, type Revocation, revocationExpiry, revocationId } from '../../shared/revocation.ts'
import type { SecurityEvent } from '../../shared/security-event.ts'
import { RECORD_DEADLINE_MS } from './issuer-report.ts'
import { type Ledger, type LedgerEntry, type Publisher, type Sessions, StoreUnavailable, type Users } from './ports.ts'

/** What an end of sessions came to. */
export interface Ended {
  /** How many sessions were live until now. */
  sessions: number
  /** Whether the feed has acknowledged it; otherwise it is safe in the ledger and goes out later. */
  propagated: boolean
}

export interface RevokedSession {
  sid: string
  sub: string
  /** Its absolute end, when known: milliseconds since the Unix epoch. */
  expiresAt?: number
}

export interface Revoke {
  /** Ends one session. */
  session(target: RevokedSession): Promise<Ended>
  /** Ends several at once. */
  sessions(targets: readonly RevokedSession[]): Promise<Ended>
  /**
   * Ends every session of a user.
   * @param endedBy the user's present epoch, to finish what raised it instead of raising it again
   * @returns `undefined` when there is no such user
   */
  user(sub: string, endedBy?: number): Promise<Ended | undefined>
  /** Tells of a signing key that has been dropped. @returns whether the feed has acknowledged it */
  key(revocation: Extract<Revocation, { kind: 'key' }>): Promise<boolean>
  /** Whether this session was ended before, and then whether the feed has acknowledged that. */
  previous(sid: string): Promise<{ propagated: boolean } | undefined>
}

export interface RevokePorts {
  users: Users
  sessions: Sessions
  ledger: Ledger
  publisher: Publisher
  /** Signs with the current key. */
  sign(event: SecurityEvent): string
  clock: Clock
  log: Log
  /** Which issuer process this is. */
  instance: string
}

export interface RevokeRules {
  /** The longest that any issuer's access tokens live, asked for each revocation: seconds. */
  readonly lifetimeS: number
  refreshTtlMs: number
  /** How long to wait for the feed: milliseconds. */
  publishTimeoutMs: number
}

const MAX_UNPUBLISHED_READ = 1000

/**
 * The heart of every logout: ledger, sessions, feed, mark. Once the ledger has it, it happens, whatever fails after:
 * a refresh asks the ledger, and the outbox of any issuer publishes what is not marked.
 *
 * Every function throws StoreUnavailable when it can't be said that the ledger has it.
 */
export function createRevoke(ports: RevokePorts, rules: RevokeRules): Revoke {
  const { users, sessions, ledger, clock, log, instance } = ports
  const expiry = () => revocationExpiry(clock.now() + RECORD_DEADLINE_MS, rules.lifetimeS)

  // What is published has the expiry of the ledger's entry, whoever was first: sidecars compare theirs with it.
  const record = async (entries: LedgerEntry[]) => {
    try {
      return await withDeadline(ledger.record(entries), RECORD_DEADLINE_MS)
    } catch (error) {
      throw error instanceof StoreUnavailable ? error : new StoreUnavailable('the ledger', error)
    }
  }

  // A session store that can't be reached keeps nobody logged in: every refresh asks the ledger as well.
  const endSessions = async (end: Promise<number>) => {
    try {
      return await end
    } catch (err) {
      if (!(err instanceof StoreUnavailable)) throw err
      log.warn({ err: expected(err) }, 'a revoked session could not be deleted; the ledger keeps it from being used')
      return 0
    }
  }

  const endEach = async (targets: readonly RevokedSession[]): Promise<Ended> => {
    if (targets.length === 0) return { sessions: 0, propagated: true }
    const exp = expiry()
    const entries = targets.map(({ sid, sub, expiresAt }) =>
      ledgerEntry({ kind: 'session', sid, sub, exp }, expiresAt ?? clock.now() + rules.refreshTtlMs),
    )
    const revocations = await record(entries)
    const ended = await Promise.all(targets.map(({ sid }) => endSessions(sessions.end(sid).then(Number))))
    return {
      sessions: ended.reduce((sum, count) => sum + count, 0),
      propagated: await propagate(ports, revocations, rules.publishTimeoutMs),
    }
  }

  return {
    session: (target) => endEach([target]),
    sessions: endEach,

    async user(sub, endedBy) {
      const epoch = endedBy ?? (await users.raiseEpoch(sub))
      if (epoch === undefined) return undefined
      const revocation: Revocation = { kind: 'user', sub, epoch, exp: expiry() }
      // The user's own epoch keeps the sessions from being used; the entry is needed for tokens only.
      const revocations = await record([ledgerEntry(revocation, 0)])
      const ended = await endSessions(sessions.endAll(sub, epoch, clock.now()))
      return { sessions: ended, propagated: await propagate(ports, revocations, rules.publishTimeoutMs) }
    },

    async key(revocation) {
      return propagate(ports, await record([ledgerEntry(revocation, 0)]), rules.publishTimeoutMs)
    },

    async previous(sid) {
      if (!(await ledger.isSessionRevoked(sid))) return undefined
      if (ports.publisher.acknowledgedBy?.() === 'ledger') return { propagated: true }
      const waiting = await ledger.unpublished(instance, MAX_UNPUBLISHED_READ, seconds(clock))
      const known = waiting.length < MAX_UNPUBLISHED_READ
      return { propagated: known && !waiting.some(({ id }) => id === `session:${sid}`) }
    },
  }
}

/** @param neededUntilMs how long a store could bring back what was revoked: milliseconds since the Unix epoch */
function ledgerEntry(revocation: Revocation, neededUntilMs: number): LedgerEntry {
  return { id: revocationId(revocation), revocation, keepUntilMs: Math.max(neededUntilMs, revocation.exp * 1000) }
}

/**
 * Publishes and waits for the acknowledgement, at most the given time: milliseconds. One that comes later still marks
 * the entry; without one the outbox goes on trying.
 */
async function propagate(ports: RevokePorts, revocations: Revocation[], timeoutMs: number): Promise<boolean> {
  const { publisher, ledger, sign, log } = ports
  try {
    const acknowledged = publisher.publish(
      revocations.map((revocation) => ({
        key: partitionKey(revocation),
        token: sign({ type: 'revocation', revocation }),
      })),
    )
    // Only the log that sidecars read can acknowledge: another mark would keep from it what it has never had.
    const marked = publisher.acknowledgedBy
      ? acknowledged
      : acknowledged.then(() => ledger.markPublished(revocations.map(revocationId)))
    marked.catch((err) =>
      log.warn({ err: expected(err) }, 'a revocation is not published or not marked; the outbox will do it'),
    )
    await withDeadline(acknowledged, timeoutMs)
    return true
  } catch {
    return false
  }
}
