import type { Clock } from '../../shared/clock.ts'
import type { Tokens } from './issue-tokens.ts'
import { newUser, readNewUser } from './new-user.ts'
import type { OneTimeLinks } from './one-time-links.ts'
import type { Audit, PasswordHasher, Users } from './ports.ts'
import { auditFacts, type ClientFacts, type StartSession } from './start-session.ts'
import type { User } from './user.ts'

export interface RegisterInput {
  email: string
  username?: string
  password: string
  /** Whether a session is to be started as well. */
  login: boolean
  client: ClientFacts
}

export type RegisterResult =
  /** Without tokens also where everybody was logged out in that moment. */
  | { ok: true; user: User; tokens: Tokens | undefined }
  /** What happened is in a mail to that address, and told to nobody else. */
  | { ok: true; user: undefined }
  | { ok: false; code: 'invalid_request' | 'password_rejected'; errors: string[] }
  | { ok: false; code: 'email_taken' | 'username_taken' }

/** Creates a user. What may be had, the client does not choose: role, tier and flags are these. */
export type Register = (input: RegisterInput) => Promise<RegisterResult>

export interface RegisterPorts {
  users: Users
  hasher: PasswordHasher
  startSession: StartSession
  links: OneTimeLinks
  audit: Audit
  clock: Clock
}

export interface RegisterRules {
  /** Whether a user has to verify the e-mail address before the first login. */
  requireVerified: boolean
  /** Whether a new user is mailed the link that verifies the address. */
  mailAtRegistration: boolean
}

/** The unique index alone decides what is taken: two at once can't both be told that a name is free. */
export function createRegister(
  { users, hasher, startSession, links, audit, clock }: RegisterPorts,
  { requireVerified, mailAtRegistration }: RegisterRules,
): Register {
  return async ({ email, username, password, login, client }) => {
    const read = readNewUser({ email, username, password })
    if (!read.ok) return read
    const { names } = read
    if (requireVerified && login) {
      return { ok: false, code: 'invalid_request', errors: ['login: not before the e-mail address is verified'] }
    }
    // Before it is known whether the address is taken: what is said of the name must not tell.
    const { usernameKey } = names
    if (requireVerified && usernameKey !== null && (await users.byUsernameKey(usernameKey))) {
      return { ok: false, code: 'username_taken' }
    }

    const issuedAtMs = clock.now()
    const passwordHash = await hasher.hash(read.password)
    const user = newUser(names, passwordHash, issuedAtMs)
    const inserted = await users.insert(user)
    if (!inserted.ok && inserted.taken === 'email' && requireVerified) {
      await links.alreadyRegistered(user.emailKey, client)
      return { ok: true, user: undefined }
    }
    if (!inserted.ok) return { ok: false, code: `${inserted.taken}_taken` }
    audit.record('register', { sub: user.id, ...auditFacts(client) })
    if (mailAtRegistration) await links.welcome(user, client)
    if (requireVerified) return { ok: true, user: undefined }
    const started = login ? await startSession(user, client, issuedAtMs) : undefined
    return { ok: true, user: started?.user ?? user, tokens: started?.tokens }
  }
}
