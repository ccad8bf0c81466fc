import type { Clock } from '../../shared/clock.ts'
import type { Administrator } from './administrator.ts'
import { covers, type RoleGrants } from './grants.ts'
import type { Audit, Sessions, Users } from './ports.ts'
import type { Profile, ProfileChange, ProfileResult } from './profile.ts'
import type { Ended, Revoke } from './revoke.ts'
import type { Session } from './session.ts'
import type { ClientFacts } from './start-session.ts'
import type { User, UserChange } from './user.ts'
import type { UserPage, UserQuery } from './user-query.ts'
import type { Withdraw } from './withdraw.ts'

export type UserAdministration = Pick<UserChange, 'roles' | 'tier' | 'isActive' | 'isVerified'>

type Refusal<Code extends string> = { ok: false; code: Code }

export type AdministeredUser =
  | { ok: true; user: User; ended: Ended | undefined }
  | Refusal<'not_found' | 'forbidden' | 'conflict' | 'last_superuser'>
  | { ok: false; code: 'invalid_request'; errors: string[] }

/**
 * What administrators do with users. Nobody gives a role, or changes a user, with more permissions than their own.
 *
 * Every function throws StoreUnavailable.
 */
export interface AdministerUsers {
  page(query: UserQuery): Promise<UserPage>
  get(id: string): Promise<User | undefined>
  /** Changes what a user's own profile does not offer. What takes something away ends every session of the user. */
  update(id: string, change: UserAdministration, by: Administrator): Promise<AdministeredUser>
  updateProfile(
    id: string,
    change: ProfileChange,
    by: Administrator,
    client: ClientFacts,
  ): Promise<ProfileResult | Refusal<'forbidden'>>
  /** Deletes a user for good, after every session has ended. */
  delete(
    id: string,
    by: Administrator,
  ): Promise<{ ok: true; ended: Ended } | Refusal<'not_found' | 'forbidden' | 'conflict' | 'last_superuser'>>
  /** The live sessions, newest first; `undefined` when there is no such user. */
  sessions(id: string): Promise<Session[] | undefined>
  /** Ends one of them. @returns `undefined` when this user has no such session */
  endSession(id: string, sid: string, by: Administrator): Promise<Ended | undefined>
  /** Ends all of them. @returns `undefined` when there is no such user */
  logout(id: string, by: Administrator): Promise<Ended | undefined>
}

export interface AdministerUsersPorts {
  users: Users
  sessions: Sessions
  roleGrants: RoleGrants
  profile: Profile
  withdraw: Withdraw
  revoke: Revoke
  audit: Audit
  clock: Clock
}

export function createAdministerUsers(ports: AdministerUsersPorts): AdministerUsers {
  const { users, sessions, roleGrants, profile, withdraw, revoke, audit, clock } = ports

  /** The user, for someone who has at least the same permissions. */
  const find = async (id: string, by: Administrator) => {
    const user = await users.byId(id)
    if (!user) return { ok: false, code: 'not_found' } as const
    const allowed = covers(by.grants, await roleGrants.of(user.roles))
    return allowed ? ({ ok: true, user } as const) : ({ ok: false, code: 'forbidden' } as const)
  }

  const judgeRoles = async (roles: string[], by: Administrator): Promise<AdministeredUser | undefined> => {
    // What a role grants may have changed a moment ago at another issuer.
    roleGrants.forget()
    const grants = await roleGrants.of(roles)
    const unknown = roles.filter((name) => !grants.roles.includes(name))
    const errors = unknown.map((name) => `roles: there is no role ${JSON.stringify(name)}`)
    if (errors.length > 0) return { ok: false, code: 'invalid_request', errors }
    return covers(by.grants, grants) ? undefined : { ok: false, code: 'forbidden' }
  }

  /** What was cut off half-way is finished by its repetition: the epoch is in the user, but not yet in the feed. */
  const finish = async (user: User): Promise<Ended | undefined> =>
    user.epoch > 0 ? revoke.user(user.id, user.epoch) : undefined

  return {
    page: (query) => users.page(query),
    get: (id) => users.byId(id),

    async update(id, change, by) {
      const found = await find(id, by)
      if (!found.ok) return found
      const { user } = found
      const refusal = change.roles && (await judgeRoles(change.roles, by))
      if (refusal) return refusal

      const record = (ended: Ended | undefined) =>
        audit.record('user_changed', {
          sub: id,
          by: by.id,
          fields: Object.keys(change).sort().join(' '),
          ...(change.roles && { roles: change.roles.join(' ') }),
          ...ended,
        })
      const deactivates = change.isActive === false
      const withdrawsRole = user.roles.some((role) => change.roles && !change.roles.includes(role))
      const complete = { ...change, updatedAt: clock.now() }
      if (withdrawsRole || (deactivates && user.isActive)) {
        const result = await withdraw(user, complete)
        if (result.ok) record(result.ended)
        return result
      }
      const onlyIf = { ...(change.roles && { roles: user.roles }), ...(deactivates && { isActive: false }) }
      const updated = await users.update(id, complete, { onlyIf })
      if (updated === undefined || 'taken' in updated) {
        return { ok: false, code: (await users.byId(id)) ? 'conflict' : 'not_found' }
      }
      const repeats = deactivates || change.roles?.length === user.roles.length
      const ended = repeats ? await finish(updated) : undefined
      record(ended)
      return { ok: true, user: updated, ended }
    },

    async updateProfile(id, change, by, client) {
      const found = await find(id, by)
      return found.ok ? profile.update(found.user, change, by.id, client) : found
    },

    async delete(id, by) {
      const found = await find(id, by)
      if (!found.ok) return found
      const result = await withdraw(found.user, { isActive: false, updatedAt: clock.now() })
      if (!result.ok) return result
      await users.delete(id)
      audit.record('user_deleted', { sub: id, by: by.id, ...result.ended })
      return { ok: true, ended: result.ended }
    },

    async sessions(id) {
      const user = await users.byId(id)
      return user && (await sessions.list(id, clock.now())).filter(({ epoch }) => epoch >= user.epoch)
    },

    async endSession(id, sid, by) {
      const session = await sessions.byId(sid)
      if (session?.sub !== id) return undefined
      const ended = await revoke.session(session)
      audit.record('session_ended', {
        reason: 'by_administrator',
        sub: id,
        sid,
        by: by.id,
        propagated: ended.propagated,
      })
      return ended
    },

    async logout(id, by) {
      const ended = await revoke.user(id)
      if (ended) audit.record('logout_all', { reason: 'by_administrator', sub: id, by: by.id, ...ended })
      return ended
    },
  }
}
