import type { Revocation } from '../../shared/revocation.ts'
import type { Rotation, RotationClaim, Session } from './session.ts'
import type { StoredSigningKey } from './signing-key.ts'
import type { User, UserChange } from './user.ts'

/**
 * What the use cases need from outside. Every call of a store may throw {@link StoreUnavailable}; nothing else is an
 * expected failure.
 */

/** A store can't be reached or can't promise durability now. The client gets 503 and keeps its credentials. */
export class StoreUnavailable extends Error {
  constructor(store: string, cause: unknown) {
    super(`${store} is not available`, { cause })
    this.name = 'StoreUnavailable'
  }
}

export type InsertedUser = { ok: true } | { ok: false; taken: 'email' | 'username' }

/** Users, in the durable store. The unique indexes are the only arbiter of what is taken. */
export interface Users {
  insert(user: User): Promise<InsertedUser>
  byId(id: string): Promise<User | undefined>
  byEmailKey(key: string): Promise<User | undefined>
  byUsernameKey(key: string): Promise<User | undefined>
  /** @returns the user as it stands after the change; `undefined` when there is none */
  update(id: string, change: UserChange): Promise<User | undefined | { ok: false; taken: 'email' | 'username' }>
  /** Counts the epoch up in one atomic step. @returns the new epoch; `undefined` when there is no such user */
  raiseEpoch(id: string): Promise<number | undefined>
}

/** Sessions: losing the last writes is survivable, for the ledger knows what ended. */
export interface Sessions {
  create(session: Session): Promise<void>
  /** One atomic step in one round trip; the rule is `judgeRotation`. */
  rotate(claim: RotationClaim): Promise<Rotation>
  byId(sid: string): Promise<Session | undefined>
  /** The live ones of a user, newest first. */
  list(sub: string, nowMs: number): Promise<Session[]>
  /** @returns whether there was one */
  end(sid: string): Promise<boolean>
  /** Ends every session of the user with a lower epoch. @returns how many were live */
  endAll(sub: string, belowEpoch: number, nowMs: number): Promise<number>
}

/** One revocation in the ledger. */
export interface LedgerEntry {
  /** `revocationId` of the revocation: recording it twice is one entry. */
  id: string
  revocation: Revocation
  /** When the entry may be deleted: not before no store could bring the session back. Milliseconds. */
  keepUntilMs: number
}

/** A place in the ledger; opaque to everyone but its adapter. Absent: the beginning. */
export type LedgerCursor = unknown

/**
 * The ledger of revocations, in the durable store. `record` is the point of no return of every logout.
 */
export interface Ledger {
  /** Returns when the entries are durable on a majority. Repeating it is harmless and does not unpublish. */
  record(entries: LedgerEntry[]): Promise<void>
  isSessionRevoked(sid: string): Promise<boolean>
  /**
   * Entries not yet published, of whichever issuer, oldest first. When it returns fewer than `limit`, it has seen
   * every entry committed before the call began (a majority write of this instance's own heartbeat comes first, so
   * that no deposed primary can answer).
   */
  unpublished(instance: string, limit: number): Promise<LedgerEntry[]>
  /** Call it only after the broker's acknowledgement. */
  markPublished(ids: string[]): Promise<void>
  /**
   * Entries that can still concern a token at `nowS` and were committed after `cursor` was given; some may come again.
   * All that were committed before the call began are in what this and earlier calls returned.
   */
  since(instance: string, cursor: LedgerCursor, nowS: number): Promise<{ entries: LedgerEntry[]; cursor: LedgerCursor }>
  /** Everything that can still concern a token at `nowS` (seconds) and was committed before the call, in batches. */
  live(instance: string, nowS: number): AsyncIterable<Revocation[]>
}

/** Signing keys, in the durable store, private parts encrypted. */
export interface SigningKeys {
  all(): Promise<StoredSigningKey[]>
  /** Adds a key unless there is a current one already; of several issuers at once one wins. @returns whether it won */
  insertFirst(key: StoredSigningKey): Promise<boolean>
}

/** One signed event on its way to the sidecars. */
export interface OutgoingEvent {
  /** What keeps order: the partition key. `undefined`: for every partition (heartbeats). */
  key: string | undefined
  /** A Security Event Token. */
  token: string
}

/** The feed that sidecars read. */
export interface Publisher {
  /** Returns when the feed has acknowledged all of them, in order; throws when it has not. */
  publish(events: OutgoingEvent[]): Promise<void>
}

/** Password hashing, bounded. */
export interface PasswordHasher {
  /** @returns a PHC string. @throws HashingOverloaded when the lane is full or the deadline passed */
  hash(password: string): Promise<string>
  /** @param hash `undefined` does the same work against a hash that nothing matches */
  verify(hash: string | undefined, password: string): Promise<boolean>
  /** Whether the hash was made with other parameters than today's. */
  needsRehash(hash: string): boolean
}

/** The hashing lane is full; the client may come again. */
export class HashingOverloaded extends Error {
  /** When to come again: seconds. */
  readonly retryAfterS: number
  constructor(retryAfterS: number) {
    super('the hashing lane is full')
    this.name = 'HashingOverloaded'
    this.retryAfterS = retryAfterS
  }
}

/** Security events for the audit log, without secrets. */
export interface Audit {
  record(event: string, facts: Record<string, string | number | boolean | null>): void
}
