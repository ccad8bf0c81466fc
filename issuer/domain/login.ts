import type { Clock } from '../../shared/clock.ts'
import type { RoleGrants } from './grants.ts'
import type { Tokens } from './issue-tokens.ts'
import { readEmail, readUsername } from './normal-form.ts'
import { isUnusable, normalizePassword } from './password-policy.ts'
import type { Audit, PasswordHasher, Users } from './ports.ts'
import { narrowScope } from './scope.ts'
import { auditFacts, type ClientFacts, type StartSession } from './start-session.ts'
import type { Throttle, Throttled } from './throttle.ts'
import type { User } from './user.ts'

export interface LoginInput {
  /** Which of the two is up to the client. */
  login: { email: string } | { username: string }
  password: string
  client: ClientFacts
  /** What the scope of the session's tokens is narrowed to; by default all that the roles permit. */
  scope?: string | null
}

/** Why a login failed is for the audit log; the client hears the same for all of it. */
export type LoginResult =
  | { ok: true; user: User; tokens: Tokens }
  | { ok: false; code: 'credentials_invalid' | 'scope_invalid' }
  | Throttled

/**
 * Checks the password and starts a session of its own.
 * @throws StoreUnavailable, HashingOverloaded
 */
export type Login = (input: LoginInput) => Promise<LoginResult>

export interface LoginRules {
  /** Whether a user has to have verified the e-mail address first. */
  requireVerified: boolean
}

// A second time only for who was logged out everywhere, or changed the password, while the first one ran.
const MAX_ATTEMPTS = 2

export interface LoginPorts {
  users: Users
  hasher: PasswordHasher
  roleGrants: RoleGrants
  startSession: StartSession
  audit: Audit
  clock: Clock
}

/**
 * Unknown user, wrong password, disabled or unverified account, empty password: one answer after one hash. A password
 * too long to be anyone's is refused without: that depends on nothing but the request.
 */
export function createLogin(
  { users, hasher, roleGrants, startSession, audit, clock }: LoginPorts,
  { requireVerified }: LoginRules,
): Login {
  /** Only where the hash is still the one that was checked: the user may have another password by now. */
  const rehash = async ({ id, passwordHash }: User, password: string) => {
    if (!hasher.needsRehash(passwordHash)) return
    await users.update(id, { passwordHash: await hasher.hash(password) }, { onlyIf: { passwordHash } })
  }

  return async ({ login, password, client, scope }) => {
    const refuse = (reason: string, user?: User): LoginResult => {
      audit.record('login_failed', { reason, sub: user?.id ?? null, ...auditFacts(client) })
      return { ok: false, code: 'credentials_invalid' }
    }
    if (isUnusable(password)) return refuse('password_unusable')
    const normal = normalizePassword(password)
    for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
      const issuedAtMs = clock.now()
      const user = await find(users, login)
      const matches = await hasher.verify(user?.passwordHash, normal)
      if (!user) return refuse('user_unknown')
      if (!matches) return refuse('password_wrong', user)
      if (!user.isActive) return refuse('user_inactive', user)
      if (requireVerified && !user.isVerified) return refuse('user_unverified', user)
      if (typeof scope === 'string' && !narrowScope((await roleGrants.of(user.roles)).permissions, scope).ok) {
        return { ok: false, code: 'scope_invalid' }
      }

      await rehash(user, normal)
      const started = await startSession(user, client, issuedAtMs, scope)
      if (!started) continue
      audit.record('login', { sub: user.id, ...auditFacts(client) })
      return { ok: true, ...started }
    }
    return refuse('user_changed')
  }
}

/** The same login, unless the name or the network has failed too often. */
export function throttleLogin(login: Login, throttle: Throttle): Login {
  return (input) => throttle(nameOf(input.login), input.client, () => login(input))
}

function nameOf(login: LoginInput['login']): string {
  if ('email' in login) return readEmail(login.email)?.key ?? login.email
  return readUsername(login.username)?.key ?? login.username
}

async function find(users: Users, login: LoginInput['login']): Promise<User | undefined> {
  if ('email' in login) {
    const email = readEmail(login.email)
    return email && users.byEmailKey(email.key)
  }
  const username = readUsername(login.username)
  return username && users.byUsernameKey(username.key)
}
