import type { Clock } from '../../shared/clock.ts'
import { hashOneTimeToken, isUsable } from './one-time-token.ts'
import { normalizePassword, passwordProblems } from './password-policy.ts'
import type { Audit, Mailer, OneTimeTokens, PasswordHasher, Users } from './ports.ts'
import type { Ended, Revoke } from './revoke.ts'
import { auditFacts, type ClientFacts } from './start-session.ts'

export interface ResetPasswordInput {
  token: string
  password: string
  client: ClientFacts
}

export type ResetPasswordResult =
  | { ok: true; ended: Ended }
  | { ok: false; code: 'link_invalid' }
  | { ok: false; code: 'password_rejected'; errors: string[] }

/**
 * Uses up a mailed token for a new password, and ends every session: whoever forgot the password may have lost more. The
 * token came by mail, so the address is verified by it too. A password that is refused does not use up the token.
 * @throws StoreUnavailable, HashingOverloaded
 */
export type ResetPassword = (input: ResetPasswordInput) => Promise<ResetPasswordResult>

export interface ResetPasswordPorts {
  users: Users
  oneTimeTokens: OneTimeTokens
  hasher: PasswordHasher
  mailer: Mailer
  revoke: Revoke
  audit: Audit
  clock: Clock
}

export function createResetPassword(ports: ResetPasswordPorts): ResetPassword {
  const { users, oneTimeTokens, hasher, mailer, revoke, audit, clock } = ports
  return async ({ token, password, client }) => {
    const refuse = (sub?: string): ResetPasswordResult => {
      audit.record('link_refused', { purpose: 'reset_password', sub: sub ?? null, ...auditFacts(client) })
      return { ok: false, code: 'link_invalid' }
    }
    const hash = hashOneTimeToken(token)
    const kept = hash === undefined ? undefined : await oneTimeTokens.find(hash)
    const user = kept && (await users.byId(kept.sub))
    if (!kept || !user || !isUsable(kept, 'reset_password', user, clock.now())) return refuse(user?.id)

    const errors = passwordProblems(password, user.username === null ? [user.email] : [user.email, user.username])
    if (errors.length > 0) return { ok: false, code: 'password_rejected', errors }
    const passwordHash = await hasher.hash(normalizePassword(password))
    if (!(await oneTimeTokens.take(kept.hash))) return refuse(user.id)

    // In one step with the epoch: from here on no session of before can be refreshed, whatever fails after.
    const change = { passwordHash, isVerified: true, updatedAt: clock.now() }
    const before = { passwordHash: user.passwordHash, email: user.email, isActive: true }
    const changed = await users.update(user.id, change, { onlyIf: before, raiseEpoch: true })
    if (changed === undefined || 'taken' in changed) return refuse(user.id)
    const ended = (await revoke.user(user.id, changed.epoch)) ?? { sessions: 0, propagated: true }
    mailer.send({ kind: 'password_changed', to: changed.email })
    audit.record('password_reset', { sub: user.id, ...ended, ...auditFacts(client) })
    return { ok: true, ended }
  }
}
