import type { Clock } from '../../shared/clock.ts'
import { readNames } from './new-user.ts'
import type { Audit, UserCondition, Users } from './ports.ts'
import { auditFacts, type ClientFacts } from './start-session.ts'
import type { User } from './user.ts'
import type { Withdraw, Withdrawn } from './withdraw.ts'

export interface ProfileChange {
  email?: string
  /** null for none. */
  username?: string | null
}

export type ProfileResult =
  | { ok: true; user: User }
  | { ok: false; code: 'invalid_request'; errors: string[] }
  | { ok: false; code: 'email_taken' | 'username_taken' | 'not_found' | 'conflict' }

/** What may be changed of a user without a special permission. Every function throws StoreUnavailable. */
export interface Profile {
  /**
   * A changed address has to be verified again, and the one before is told.
   * @param by who does it: the id of a user or a client, null for the command line
   * @param onlyIf what the user has to be until then; else the change is a conflict
   */
  update(
    user: User,
    change: ProfileChange,
    by: string | null,
    client: ClientFacts,
    onlyIf?: UserCondition,
  ): Promise<ProfileResult>
  /** Ends every session and lets nobody log in. The user stays, so that nobody else takes the name. */
  deactivate(user: User, by: string | null): Promise<Withdrawn>
}

export interface ProfilePorts {
  users: Users
  withdraw: Withdraw
  /** Tells the address that a user had until now; without it nobody is told. */
  tell?: (before: User) => Promise<void>
  /** Has a changed address verified; without it nobody is asked to. */
  verify?: (user: User, client: ClientFacts) => Promise<unknown>
  audit: Audit
  clock: Clock
}

export function createProfile({ users, withdraw, tell, verify, audit, clock }: ProfilePorts): Profile {
  return {
    async update(user, change, by, client, onlyIf) {
      const read = readNames(change)
      if (!read.ok) return read
      const { names } = read
      // Not by its normal form: mail goes to the address as it is written, and nobody has shown that they read that.
      const moved = names.email !== undefined && names.email !== user.email
      const complete = { ...names, ...(moved && { isVerified: false }), updatedAt: clock.now() }
      const updated = await users.update(user.id, complete, onlyIf && { onlyIf })
      if (updated === undefined) return { ok: false, code: onlyIf ? 'conflict' : 'not_found' }
      if ('taken' in updated) return { ok: false, code: `${updated.taken}_taken` }
      audit.record('profile_changed', {
        sub: user.id,
        by,
        email: moved,
        username: 'username' in names,
        ...auditFacts(client),
      })
      if (moved) {
        await tell?.(user)
        await verify?.(updated, client)
      }
      return { ok: true, user: updated }
    },

    async deactivate(user, by) {
      const result = await withdraw(user, { isActive: false, updatedAt: clock.now() })
      if (result.ok) audit.record('user_deactivated', { sub: user.id, by, ...result.ended })
      return result
    },
  }
}
