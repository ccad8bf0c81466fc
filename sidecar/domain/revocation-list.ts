import type { AccessClaims } from '../../shared/access-token.ts'
import { type Revocation, revocationId } from '../../shared/revocation.ts'
import { createUuidTable, isUuid } from './uuid-table.ts'

type Covers = (kind: Revocation['kind'], exp: number) => boolean

/** What was revoked and could still concern a token: exact, and asked for every request. */
export interface RevocationList {
  /**
   * Adding is always safe: a repetition changes nothing, and of two about the same the stricter holds.
   * @returns whether it revokes something that was not revoked before
   */
  add(revocation: Revocation): boolean
  /** Whether adding it would change nothing at all. */
  has(revocation: Revocation): boolean
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
   * All revocations that were added and that `covers` wants, those included that are over but not yet swept or that a
   * stricter one has made needless: by their name as of `revocationId` and their expiry in seconds, in no order. They
   * come in batches that cost a fraction of a millisecond each; some are empty. Between two the list may be changed:
   * what was there before and still is comes once.
   */
  batches(covers: Covers): Iterable<[id: string, exp: number][]>
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
  const users = createExpiringMap<RevokedUser>(({ others }, nowS) => {
    others?.forEach((exp, epoch) => {
      if (exp <= nowS) others.delete(epoch)
    })
  })
  const keys = createExpiringMap<{ exp: number }>()

  return {
    add(revocation) {
      switch (revocation.kind) {
        case 'session':
          return isUuid(revocation.sid)
            ? sessions.add(revocation.sid, revocation.exp)
            : otherSessions.add(revocation.sid, revocation)
        case 'user': {
          const { sub, epoch, exp } = revocation
          const known = users.get(sub)
          users.add(sub, withRevocation(known, epoch, exp))
          return epoch > (known?.epoch ?? 0)
        }
        case 'key':
          return keys.add(revocation.kid, revocation)
      }
    },
    has(revocation) {
      const { exp } = revocation
      switch (revocation.kind) {
        case 'session':
          return exp <= Math.max(sessions.until(revocation.sid), otherSessions.get(revocation.sid)?.exp ?? 0)
        case 'user': {
          const known = users.get(revocation.sub)
          const own = revocation.epoch === known?.epoch ? known.own : known?.others?.get(revocation.epoch)
          return exp <= (own ?? 0)
        }
        case 'key':
          return exp <= (keys.get(revocation.kid)?.exp ?? 0)
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
    *batches(covers) {
      const session = (exp: number) => covers('session', exp)
      for (const batch of sessions.batches(session)) yield batch.map(([sid, exp]) => [`session:${sid}`, exp])
      for (const batch of otherSessions.batches()) {
        yield batch.filter(([, { exp }]) => session(exp)).map(([sid, { exp }]) => [`session:${sid}`, exp])
      }
      for (const batch of users.batches()) yield batch.flatMap(([sub, user]) => userEntries(sub, user, covers))
      for (const batch of keys.batches()) {
        yield batch.filter(([, { exp }]) => covers('key', exp)).map(([kid, { exp }]) => [`key:${kid}`, exp])
      }
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

interface RevokedUser {
  /** The latest expiry of all. */
  exp: number
  /** The highest of all: the one that decides. */
  epoch: number
  /** The expiry of the revocation with that epoch. */
  own: number
  /** Those of other epochs, which decide nothing any more; but the ledger has them too. Nearly always there are none. */
  others: Map<number, number> | undefined
}

function withRevocation(known: RevokedUser | undefined, epoch: number, exp: number): RevokedUser {
  if (!known) return { exp, epoch, own: exp, others: undefined }
  if (epoch === known.epoch) return { ...known, exp, own: Math.max(exp, known.own) }
  const [highest, other] = epoch > known.epoch ? [{ epoch, own: exp }, known] : [known, { epoch, own: exp }]
  const others = known.others ?? new Map<number, number>()
  others.set(other.epoch, Math.max(other.own, others.get(other.epoch) ?? 0))
  return { exp, epoch: highest.epoch, own: highest.own, others }
}

function userEntries(sub: string, { epoch, own, others }: RevokedUser, covers: Covers) {
  return [[epoch, own] as const, ...(others ?? [])]
    .filter(([, exp]) => covers('user', exp))
    .map(([of, exp]): [id: string, exp: number] => [revocationId({ kind: 'user', sub, epoch: of, exp }), exp])
}

const ENTRIES_A_SWEEP = 20_000
const ENTRIES_A_BATCH = 512

/** @param prune makes an entry that stays smaller */
function createExpiringMap<Entry extends { exp: number }>(prune?: (entry: Entry, nowS: number) => void) {
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
    *batches(): Iterable<[name: string, entry: Entry][]> {
      let batch: [string, Entry][] = []
      for (const one of entries) {
        batch.push(one)
        if (batch.length < ENTRIES_A_BATCH) continue
        yield batch
        batch = []
      }
      yield batch
    },
    sweep(nowS: number): void {
      for (let n = 0; n < ENTRIES_A_SWEEP; n++) {
        const next = unswept.next()
        if (next.done) {
          unswept = entries.entries()
          return
        }
        const [name, entry] = next.value
        if (entry.exp <= nowS) entries.delete(name)
        else prune?.(entry, nowS)
      }
    },
  }
}
