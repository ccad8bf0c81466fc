import type { Clock } from '../../shared/clock.ts'
import type { Caller } from './authenticate.ts'
import { isUnusable, normalizePassword, passwordProblems } from './password-policy.ts'
import { type Audit, type Mailer, type PasswordHasher, type Sessions, StoreUnavailable, type Users } from './ports.ts'
import type { Ended, Revoke } from './revoke.ts'
import { auditFacts, type ClientFacts } from './start-session.ts'
import type { Throttle, Throttled } from './throttle.ts'

export interface ChangePasswordInput {
  current: string
  password: string
  client: ClientFacts
}

export type ChangePasswordResult =
  | { ok: true; ended: Ended }
  | { ok: false; code: 'password_wrong' | 'conflict' }
  | { ok: false; code: 'password_rejected'; errors: string[] }
  | Throttled

/**
 * Gives a user another password, and ends every session but the one it is done in.
 * @throws StoreUnavailable, HashingOverloaded
 */
export type ChangePassword = (caller: Caller, input: ChangePasswordInput) => Promise<ChangePasswordResult>

export interface ChangePasswordPorts {
  users: Users
  sessions: Sessions
  hasher: PasswordHasher
  revoke: Revoke
  mailer: Mailer
  audit: Audit
  clock: Clock
}

export function createChangePassword(ports: ChangePasswordPorts): ChangePassword {
  const { users, sessions, hasher, revoke, mailer, audit, clock } = ports

  /** The others one by one, by their ids: a revocation of the user would also refuse the tokens of this session. */
  const endOthers = async (sub: string, sid: string, epoch: number): Promise<Ended | undefined> => {
    try {
      await sessions.carryOver(sid, epoch)
      const others = (await sessions.list(sub, clock.now())).filter((session) => session.epoch < epoch)
      return await revoke.sessions(others.filter((session) => session.sid !== sid))
    } catch (error) {
      if (!(error instanceof StoreUnavailable)) throw error
      // Which they are can't be known now: then all of them, this one too.
      return revoke.user(sub, epoch)
    }
  }

  return async ({ user, claims }, { current, password, client }) => {
    const { id, passwordHash } = user
    const errors = passwordProblems(password, user.username === null ? [user.email] : [user.email, user.username])
    if (errors.length > 0) return { ok: false, code: 'password_rejected', errors }
    const matches = !isUnusable(current) && (await hasher.verify(passwordHash, normalizePassword(current)))
    if (!matches) {
      audit.record('password_change_failed', { sub: id, ...auditFacts(client) })
      return { ok: false, code: 'password_wrong' }
    }

    const change = { passwordHash: await hasher.hash(normalizePassword(password)), updatedAt: clock.now() }
    // The hash that was checked may be another's by now. In one step with the epoch: no session of before can be
    // refreshed from here on, but the one that is carried over, and no login that checked the old password succeeds. That
    // one too has to be of the epoch as it was: whoever was logged out everywhere meanwhile does not come back by it.
    const onlyIf = { passwordHash, epoch: user.epoch, isActive: true }
    const changed = await users.update(id, change, { onlyIf, raiseEpoch: true })
    if (changed === undefined || 'taken' in changed) return { ok: false, code: 'conflict' }
    const ended = (await endOthers(id, claims.sid, changed.epoch)) ?? { sessions: 0, propagated: true }
    mailer.send({ kind: 'password_changed', to: changed.email })
    audit.record('password_changed', { sub: id, sid: claims.sid, ...ended, ...auditFacts(client) })
    return { ok: true, ended }
  }
}

/** The same, unless the account has been guessed at too often: whoever took an access token can guess here too. */
export function throttleChangePassword(changePassword: ChangePassword, throttle: Throttle): ChangePassword {
  return (caller, input) => throttle(caller.user.emailKey, input.client, () => changePassword(caller, input))
}
