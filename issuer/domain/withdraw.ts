import type { Users } from './ports.ts'
import type { Ended, Revoke } from './revoke.ts'
import { SUPERUSER_ROLE, type User, type UserChange } from './user.ts'
import type { UserPosition } from './user-query.ts'

export type Withdrawn =
  | { ok: true; user: User; ended: Ended }
  | { ok: false; code: 'last_superuser' | 'conflict' | 'not_found' }

/**
 * Takes something from a user, roles or the account itself, and with it every session: their tokens still say
 * otherwise. Refused where nobody would be left who may do everything.
 * @param user as it was when this was decided; when it is something else by now, that is a conflict
 * @throws StoreUnavailable
 */
export type Withdraw = (user: User, change: UserChange) => Promise<Withdrawn>

export function createWithdraw({ users, revoke }: { users: Users; revoke: Revoke }): Withdraw {
  return async (user, change) => {
    const { id, roles, isActive } = user
    const decisive = isActiveSuperuser(user)
    if (decisive && !(await hasSuperuser(users, id))) return { ok: false, code: 'last_superuser' }

    // In one step with the epoch: from here on no session of before can be refreshed, whatever fails after.
    const after = await users.update(id, change, { onlyIf: { roles, isActive }, raiseEpoch: true })
    if (after === undefined || 'taken' in after) {
      return { ok: false, code: (await users.byId(id)) ? 'conflict' : 'not_found' }
    }
    const ended = (await revoke.user(id, after.epoch)) ?? { sessions: 0, propagated: true }
    // Of two superusers who remove each other at once, both were not the last one when they began.
    if (decisive && !(await hasSuperuser(users))) {
      await users.update(id, { roles, isActive }, { onlyIf: { roles: after.roles, isActive: after.isActive } })
      return { ok: false, code: 'last_superuser' }
    }
    return { ok: true, user: after, ended }
  }
}

function isActiveSuperuser({ isActive, roles }: User): boolean {
  return isActive && roles.includes(SUPERUSER_ROLE)
}

/** @param except whether there is one beside this user */
async function hasSuperuser(users: Users, except?: string): Promise<boolean> {
  let after: UserPosition | undefined
  do {
    const page = await users.page({ order: 'created', role: SUPERUSER_ROLE, isActive: true, limit: 2, after })
    if (page.users.some(({ id }) => id !== except)) return true
    after = page.next
  } while (after)
  return false
}
