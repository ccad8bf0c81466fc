import type { Clock } from '../../shared/clock.ts'
import type { Tokens } from './issue-tokens.ts'
import { readEmail, readUsername } from './normal-form.ts'
import { isUnusable, normalizePassword } from './password-policy.ts'
import type { Audit, PasswordHasher, Users } from './ports.ts'
import type { ClientFacts, StartSession } from './start-session.ts'
import type { User, UserChange } from './user.ts'

export interface LoginInput {
  /** Which of the two is up to the client. */
  login: { email: string } | { username: string }
  password: string
  client: ClientFacts
}

/** Why a login failed is for the audit log; the client hears the same for all of it. */
export type LoginResult = { ok: true; user: User; tokens: Tokens } | { ok: false; code: 'credentials_invalid' }

/**
 * Checks the password and starts a session of its own.
 * @throws StoreUnavailable, HashingOverloaded
 */
export type Login = (input: LoginInput) => Promise<LoginResult>

export interface LoginPorts {
  users: Users
  hasher: PasswordHasher
  startSession: StartSession
  audit: Audit
  clock: Clock
}

/**
 * Unknown user, wrong password, disabled account, empty password: one answer after one hash. A password too long to be
 * anyone's is refused without: that depends on nothing but the request.
 */
export function createLogin({ users, hasher, startSession, audit, clock }: LoginPorts): Login {
  return async ({ login, password, client }) => {
    const refuse = (reason: string, user?: User): LoginResult => {
      audit.record('login_failed', { reason, sub: user?.id ?? null, address: client.address })
      return { ok: false, code: 'credentials_invalid' }
    }
    if (isUnusable(password)) return refuse('password_unusable')
    const issuedAtMs = clock.now()
    const user = await find(users, login)
    const normal = normalizePassword(password)
    const matches = await hasher.verify(user?.passwordHash, normal)
    if (!user) return refuse('user_unknown')
    if (!matches) return refuse('password_wrong', user)
    if (!user.isActive) return refuse('user_inactive', user)

    const change: UserChange = { lastLogin: clock.now() }
    if (hasher.needsRehash(user.passwordHash)) change.passwordHash = await hasher.hash(normal)
    if (!(await users.update(user.id, change))) return refuse('user_gone')
    const tokens = await startSession(user, client, issuedAtMs)
    audit.record('login', { sub: user.id, address: client.address })
    return { ok: true, user: { ...user, ...change }, tokens }
  }
}

async function find(users: Users, login: LoginInput['login']): Promise<User | undefined> {
  if ('email' in login) {
    const email = readEmail(login.email)
    return email && users.byEmailKey(email.key)
  }
  const username = readUsername(login.username)
  return username && users.byUsernameKey(username.key)
}
