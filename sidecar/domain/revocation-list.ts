import type { AccessClaims } from '../../shared/access-token.ts'
import { type Revocation, revocationId } from '../../shared/revocation.ts'
import { createUuidTable, isUuid } from './uuid-table.ts'

/** What was revoked and could still concern a token: exact, and asked for every request. */
export interface RevocationList {
  /**
   * Adding is always safe: a repetition changes nothing, and of two about the same the stricter holds.
   * @returns whether it revokes something that was not revoked before
   */
  add(revocation: Revocation): boolean
  /** Whether a verified token is revoked: its session, its user's epoch, or the key that signed it. */
  revokes(claims: AccessClaims, kid: string): boolean
  revokesKey(kid: string): boolean
  /**
   * Forgets what can't concern a valid token any more. Each call does a part of the work, so that a million entries
   * never hold up a request: all of it is done after 16 calls, or one for every 20,000 entries that are not sessions.
   * @param nowS the present: seconds
   */
  sweep(nowS: number): void
  /**
   * Visits all entries, in no order, those that are over but not yet swept included.
   * @param visitor gets the entry's name as of `revocationId`, of a user that of the highest epoch, and its expiry: seconds
   */
  visit(visitor: (id: string, exp: number) => void): void
  readonly counts: { readonly session: number; readonly user: number; readonly key: number }
  readonly size: number
}

/**
 * A session is known by its id alone: ids are random UUIDs of one issuer, and its other half, the user, could only make
 * the list miss.
 */
export function createRevocationList(): RevocationList {
  const sessions = createUuidTable()
  // Ids that are no UUIDs are possible where sessions were imported; correct, but not compact.
  const otherSessions = createExpiringMap<{ exp: number }>()
  const users = createExpiringMap<{ exp: number; epoch: number }>()
  const keys = createExpiringMap<{ exp: number }>()

  return {
    add(revocation) {
      switch (revocation.kind) {
        case 'session':
          return isUuid(revocation.sid)
            ? sessions.add(revocation.sid, revocation.exp)
            : otherSessions.add(revocation.sid, revocation)
        case 'user': {
          const known = users.get(revocation.sub)
          const epoch = Math.max(revocation.epoch, known?.epoch ?? 0)
          users.add(revocation.sub, { exp: revocation.exp, epoch })
          return epoch !== known?.epoch
        }
        case 'key':
          return keys.add(revocation.kid, revocation)
      }
    },
    revokes({ sid, sub, epoch }, kid) {
      if (sessions.has(sid) || otherSessions.has(sid) || keys.has(kid)) return true
      const user = users.get(sub)
      return user !== undefined && epoch < user.epoch
    },
    revokesKey: (kid) => keys.has(kid),
    sweep(nowS) {
      sessions.sweep(nowS)
      for (const map of [otherSessions, users, keys]) map.sweep(nowS)
    },
    visit(visitor) {
      sessions.visit((sid, exp) => visitor(`session:${sid}`, exp))
      for (const [sid, { exp }] of otherSessions.entries) visitor(`session:${sid}`, exp)
      for (const [sub, { exp, epoch }] of users.entries) visitor(revocationId({ kind: 'user', sub, epoch, exp }), exp)
      for (const [kid, { exp }] of keys.entries) visitor(`key:${kid}`, exp)
    },
    get counts() {
      return {
        session: sessions.size + otherSessions.entries.size,
        user: users.entries.size,
        key: keys.entries.size,
      }
    },
    get size() {
      const { session, user, key } = this.counts
      return session + user + key
    },
  }
}

const ENTRIES_A_SWEEP = 20_000

function createExpiringMap<Entry extends { exp: number }>() {
  const entries = new Map<string, Entry>()
  let unswept = entries.entries()
  return {
    entries: entries as ReadonlyMap<string, Entry>,
    // Nearly always there is none, and then the name need not even be hashed.
    has: (name: string) => entries.size > 0 && entries.has(name),
    get: (name: string) => (entries.size > 0 ? entries.get(name) : undefined),
    /** Keeps the later expiry; returns whether the name is new. */
    add(name: string, entry: Entry): boolean {
      const known = entries.get(name)
      entries.set(name, { ...entry, exp: Math.max(entry.exp, known?.exp ?? 0) })
      return !known
    },
    sweep(nowS: number): void {
      for (let n = 0; n < ENTRIES_A_SWEEP; n++) {
        const next = unswept.next()
        if (next.done) {
          unswept = entries.entries()
          return
        }
        const [name, { exp }] = next.value
        if (exp <= nowS) entries.delete(name)
      }
    },
  }
}
