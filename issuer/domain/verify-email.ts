import type { Clock } from '../../shared/clock.ts'
import { hashOneTimeToken, isUsable } from './one-time-token.ts'
import type { Audit, OneTimeTokens, Users } from './ports.ts'
import { auditFacts, type ClientFacts } from './start-session.ts'

/**
 * Uses up a mailed token: whoever has it reads the mail of the user's address.
 * @returns false when the token is unknown, used up, expired, or the address has changed since
 * @throws StoreUnavailable
 */
export type VerifyEmail = (token: string, client: ClientFacts) => Promise<boolean>

export interface VerifyEmailPorts {
  users: Users
  oneTimeTokens: OneTimeTokens
  audit: Audit
  clock: Clock
}

export function createVerifyEmail({ users, oneTimeTokens, audit, clock }: VerifyEmailPorts): VerifyEmail {
  return async (token, client) => {
    const hash = hashOneTimeToken(token)
    const kept = hash === undefined ? undefined : await oneTimeTokens.find(hash)
    const user = kept && (await users.byId(kept.sub))
    const usable = kept && user && isUsable(kept, 'verify_email', user, clock.now())
    if (!usable || !(await oneTimeTokens.take(kept.hash))) {
      audit.record('link_refused', { purpose: 'verify_email', sub: user?.id ?? null, ...auditFacts(client) })
      return false
    }
    const change = { isVerified: true, updatedAt: clock.now() }
    // The address may have changed since it was read.
    const changed = await users.update(user.id, change, { onlyIf: { email: user.email } })
    if (changed === undefined) return false
    audit.record('email_verified', { sub: user.id, ...auditFacts(client) })
    return true
  }
}
