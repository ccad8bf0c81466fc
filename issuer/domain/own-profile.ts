import { readNames } from './new-user.ts'
import { isUnusable, normalizePassword } from './password-policy.ts'
import type { Audit, PasswordHasher } from './ports.ts'
import type { Profile, ProfileChange, ProfileResult } from './profile.ts'
import { auditFacts, type ClientFacts } from './start-session.ts'
import type { Throttle, Throttled } from './throttle.ts'
import type { User } from './user.ts'
import { withPlace } from './with-place.ts'

export interface OwnProfileChange extends ProfileChange {
  /** Needed for another e-mail address; checked whenever it is given. */
  currentPassword?: string
}

export type OwnProfileResult = ProfileResult | { ok: false; code: 'password_required' | 'password_wrong' } | Throttled

/**
 * Changes a user's own address or name. Another address takes the present password: whoever has nothing but a stolen
 * access token could else have a reset link mailed to an address of theirs. A wrong one counts as a failed login does.
 * @throws StoreUnavailable, HashingOverloaded
 */
export type UpdateOwnProfile = (user: User, change: OwnProfileChange, client: ClientFacts) => Promise<OwnProfileResult>

export interface OwnProfilePorts {
  profile: Pick<Profile, 'update'>
  hasher: PasswordHasher
  throttle: Throttle
  audit: Audit
}

export function createUpdateOwnProfile({ profile, hasher, throttle, audit }: OwnProfilePorts): UpdateOwnProfile {
  const refuse = (code: 'password_required' | 'password_wrong', sub: string, client: ClientFacts) => {
    audit.record('email_change_refused', { reason: code, sub, ...auditFacts(client) })
    return { ok: false, code } as const
  }

  const check = async ({ id, passwordHash }: User, password: string, client: ClientFacts) => {
    const matches = !isUnusable(password) && (await hasher.verify(passwordHash, normalizePassword(password)))
    return matches ? ({ ok: true } as const) : refuse('password_wrong', id, client)
  }

  const confirm = withPlace(hasher, (user: User, password: string, client: ClientFacts) =>
    throttle(user.emailKey, client, () => check(user, password, client)),
  )

  return async (user, { currentPassword, ...change }, client) => {
    if (change.email === undefined && change.username === undefined) {
      return { ok: false, code: 'invalid_request', errors: ['body: email or username is needed'] }
    }
    const read = readNames(change)
    if (!read.ok) return read
    const { email = user.email } = read.names
    if (currentPassword === undefined) {
      return email === user.email
        ? profile.update(user, change, user.id, client)
        : refuse('password_required', user.id, client)
    }
    const confirmed = await confirm(user, currentPassword, client)
    if (!confirmed.ok) return confirmed
    // The hash that was checked may be another's by now.
    const { passwordHash } = user
    return profile.update(user, change, user.id, client, { email: user.email, passwordHash, isActive: true })
  }
}
