import type { Revocation } from '../../shared/revocation.ts'
import type { Client, ClientChange, SecretRotation } from './client.ts'
import type { IssuerReport } from './issuer-report.ts'
import type { OneTimeToken } from './one-time-token.ts'
import type { Role, RoleChange } from './role.ts'
import type { Rotation, RotationClaim, Session } from './session.ts'
import type { StoredSigningKey } from './signing-key.ts'
import type { User, UserChange } from './user.ts'
import type { UserPage, UserQuery } from './user-query.ts'

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
/** `id`: a user of the caller's own choosing is there already. */
export type InsertedOfMany = InsertedUser | { ok: false; taken: 'id' }

/** Users, in the durable store. The unique indexes are the only arbiter of what is taken. */
export interface Users {
  insert(user: User): Promise<InsertedUser>
  /** Inserts those it can, in one round trip. @returns what became of each, in their order */
  insertMany(users: readonly User[]): Promise<InsertedOfMany[]>
  byId(id: string): Promise<User | undefined>
  byEmailKey(key: string): Promise<User | undefined>
  byUsernameKey(key: string): Promise<User | undefined>
  /**
   * One atomic step.
   * @param more.onlyIf what the user has to be before it
   * @param more.raiseEpoch whether the epoch counts up with it
   * @returns the user as it stands after the change; `undefined` when there is none, or none that is as demanded
   */
  update(
    id: string,
    change: UserChange,
    more?: { onlyIf?: UserCondition; raiseEpoch?: boolean },
  ): Promise<User | undefined | { ok: false; taken: 'email' | 'username' }>
  /** Counts the epoch up in one atomic step. @returns the new epoch; `undefined` when there is no such user */
  raiseEpoch(id: string): Promise<number | undefined>
  /**
   * Raises the epochs of at most `limit` users by `by`, in the order of their ids from the one after `after` on.
   * @returns of how many, and the last of them; nobody is left when `last` is `undefined`
   */
  raiseEpochs(by: number, limit: number, after?: string): Promise<{ count: number; last: string | undefined }>
  /** One page of a list. It looks at a bounded number of users, so it may be short, or empty, and still not the last. */
  page(query: UserQuery): Promise<UserPage>
  /** @returns whether there was one */
  delete(id: string): Promise<boolean>
  /** Takes a role from at most `limit` of those who have it. @returns from how many */
  takeRole(name: string, limit: number): Promise<number>
}

export type UserCondition = Partial<Pick<User, 'email' | 'passwordHash' | 'epoch' | 'isActive' | 'roles'>>

/** Roles, in the durable store. There are few of them. */
export interface Roles {
  /** All of them, by name. */
  all(): Promise<Role[]>
  /** @returns false when the name is taken */
  insert(role: Role): Promise<boolean>
  /** @returns the role as it stands after the change; `undefined` when there is none */
  update(name: string, change: RoleChange): Promise<Role | undefined>
  /** @returns whether there was one */
  delete(name: string): Promise<boolean>
}

/** Mailed single-use tokens, in the durable store, until they are used or expire. */
export interface OneTimeTokens {
  insert(token: OneTimeToken): Promise<void>
  find(hash: string): Promise<OneTimeToken | undefined>
  /** Deletes it in one atomic step. @returns whether it was there: of several at once one gets true */
  take(hash: string): Promise<boolean>
}

/** Sessions: losing the last writes is survivable, for the ledger knows what ended. */
export interface Sessions {
  /** @returns how many the user now has, among them perhaps some that ended by themselves */
  create(session: Session): Promise<number>
  /** One atomic step in one round trip; the rule is `judgeRotation`. */
  rotate(claim: RotationClaim): Promise<Rotation>
  byId(sid: string): Promise<Session | undefined>
  /** The live ones of a user, newest first. */
  list(sub: string, nowMs: number): Promise<Session[]>
  /** Lets a session live on in a later epoch of its user. @returns whether there was one */
  carryOver(sid: string, epoch: number): Promise<boolean>
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
  /**
   * Returns when the entries are durable on a majority. Repeating it is harmless and does not unpublish.
   * @returns the revocations as they are on record: one that was there before keeps its expiry
   */
  record(entries: LedgerEntry[]): Promise<Revocation[]>
  isSessionRevoked(sid: string): Promise<boolean>
  /**
   * Entries not yet published, of whichever issuer, that can still concern a token at `nowS` (seconds; absent: all):
   * those that end first come first, of these the oldest. When it returns fewer than `limit`, it has seen every such
   * entry committed before the call began (a majority write of this instance's own heartbeat comes first, so that no
   * deposed primary can answer).
   */
  unpublished(instance: string, limit: number, nowS?: number): Promise<LedgerEntry[]>
  /** Call it only after the broker's acknowledgement: where there is no broker, nothing is ever marked. */
  markPublished(ids: string[]): Promise<void>
  /**
   * Entries that can still concern a token at `nowS` and were committed after `cursor` was given; some may come again.
   * All that were committed before the call began are in what this and earlier calls returned.
   */
  since(instance: string, cursor: LedgerCursor, nowS: number): Promise<{ entries: LedgerEntry[]; cursor: LedgerCursor }>
  /** Everything that can still concern a token at `nowS` (seconds) and was committed before the call, in batches. */
  live(instance: string, nowS: number): AsyncIterable<Revocation[]>
}

/** What the issuers of one store say of themselves, in the durable store; kept for a day after the last time. */
export interface IssuerReports {
  /**
   * Writes the own report, durably on a majority, and then reads: what others had written before the call is among it,
   * and so is what they write before they read this one.
   * @returns all of them, the own one included
   */
  exchange(own: Omit<IssuerReport, 'at'>): Promise<IssuerReport[]>
  /** Reads them without saying anything. */
  all(): Promise<IssuerReport[]>
}

/** Signing keys, in the durable store, private parts encrypted. */
export interface SigningKeys {
  /** Oldest first. */
  all(): Promise<StoredSigningKey[]>
  /**
   * One atomic step: reads all keys and stores what `decide` makes of them; what it leaves out is deleted. Of several at
   * once, of whichever issuer, each sees what the one before it has stored.
   * @param decide may be called several times; it gives the same object for a key that stays as it is
   * @returns the keys as they stand after it
   */
  change(
    decide: (keys: readonly StoredSigningKey[]) => readonly StoredSigningKey[],
  ): Promise<readonly StoredSigningKey[]>
}

/** Service clients, in the durable store. */
export interface Clients {
  insert(client: Client): Promise<void>
  byId(id: string): Promise<Client | undefined>
  /** At most `limit` of them, by id, from the one after `after` on. */
  list(after: string | undefined, limit: number): Promise<Client[]>
  /**
   * One atomic step.
   * @param raiseEpoch whether the epoch counts up with it
   * @returns the client as it stands after it; `undefined` when there is none
   */
  update(id: string, change: ClientChange, raiseEpoch: boolean): Promise<Client | undefined>
  /** The same for the secret: the present one becomes the one before. */
  rotateSecret(id: string, rotation: SecretRotation, raiseEpoch: boolean): Promise<Client | undefined>
  /** @returns whether there was one */
  delete(id: string): Promise<boolean>
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
  /**
   * For a publisher that does not write the log that sidecars read, and so acknowledges nothing that may be marked in
   * the ledger: what does instead. `ledger`: there is no log, what is recorded is published. `others`: issuers that
   * write it mark what it has acknowledged.
   */
  acknowledgedBy?(): 'ledger' | 'others'
}

/** Password hashing, bounded. */
export interface PasswordHasher {
  /** @returns a PHC string. @throws HashingOverloaded when the lane is full or the deadline passed */
  hash(password: string): Promise<string>
  /** @param hash `undefined` does the same work against a hash that nothing matches */
  verify(hash: string | undefined, password: string): Promise<boolean>
  /** Whether the hash was made with other parameters than today's. */
  needsRehash(hash: string): boolean
  /**
   * Takes a place for a request that is going to hash, before it asks any store: those on their way to the lane would
   * otherwise all count on the one place that is free. @returns gives it back. @throws HashingOverloaded when none is left
   */
  enter(): () => void
  /** When no place is left, so that `enter` would throw: after how long to come again. Seconds. */
  fullForS(): number | undefined
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

/** Requests counted against a limit, by all replicas together. Losing the counts is survivable. */
export interface RequestCounts {
  /**
   * Counts one request. The first of a key opens its window.
   * @returns how many there were in this window, this one included, and in how many milliseconds it ends
   */
  hit(key: string, windowMs: number): Promise<{ count: number; endsInMs: number }>
}

/** Whose password is guessed, and from where; both short and printable. */
export interface Guess {
  account: string
  network: string
}

/** Failed guesses of passwords, counted by all replicas together; the rules are those of throttle.ts. */
export interface GuessCounts {
  /**
   * Asks for one guess and, when it may be made, counts it as failed before anyone knows: many at once are as many.
   * @returns how long to wait: milliseconds, 0 when it may be made
   */
  claim(guess: Guess, nowMs: number): Promise<number>
  /** Says what a claimed guess ended in; `void`: nobody knows whether it was right. */
  settle(guess: Guess, outcome: 'right' | 'wrong' | 'void', nowMs: number): Promise<void>
}

export type MailKind = 'verify_email' | 'reset_password' | 'already_registered' | 'password_changed' | 'email_changed'

export interface Mail {
  kind: MailKind
  /** The address as the store has it. */
  to: string
  /** The single-use token of the link, where there is one. */
  token?: string
}

/** Outgoing mail. Sending is tried for a while in the background and may fail: whoever waits for a mail asks again. */
export interface Mailer {
  /** Returns at once and never throws. */
  send(mail: Mail): void
}

/** Security events for the audit log, without secrets. */
export interface Audit {
  record(event: string, facts: Record<string, string | number | boolean | null>): void
}
