import { randomUUID } from 'node:crypto'
import type { Clock } from '../../shared/clock.ts'
import type { Tokens } from './issue-tokens.ts'
import { MAX_USERNAME, readEmail, readUsername } from './normal-form.ts'
import { normalizePassword, passwordProblems } from './password-policy.ts'
import type { Audit, PasswordHasher, Users } from './ports.ts'
import type { ClientFacts, StartSession } from './start-session.ts'
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
  | { ok: true; user: User; tokens: Tokens | undefined }
  | { ok: false; code: 'invalid_request' | 'password_rejected'; errors: string[] }
  | { ok: false; code: 'email_taken' | 'username_taken' }

/** Creates a user. What may be had, the client does not choose: role, tier and flags are these. */
export type Register = (input: RegisterInput) => Promise<RegisterResult>

const NEW_USER = { epoch: 0, roles: ['subscriber'], tier: 'free', isActive: true, isVerified: false } as const

export interface RegisterPorts {
  users: Users
  hasher: PasswordHasher
  startSession: StartSession
  audit: Audit
  clock: Clock
}

/** The unique index alone decides what is taken: two at once can't both be told that a name is free. */
export function createRegister({ users, hasher, startSession, audit, clock }: RegisterPorts): Register {
  return async ({ email, username, password, login, client }) => {
    const address = readEmail(email)
    const name = username === undefined ? undefined : readUsername(username)
    const errors: string[] = []
    if (!address) errors.push('email: not an e-mail address')
    if (username !== undefined && !name) {
      errors.push(`username: at most ${MAX_USERNAME} letters, digits and . _ - and none but a letter or digit first`)
    }
    const objections = passwordProblems(password, username === undefined ? [email] : [email, username])
    if (!address || errors.length > 0) return { ok: false, code: 'invalid_request', errors: [...errors, ...objections] }
    if (objections.length > 0) return { ok: false, code: 'password_rejected', errors: objections }

    const issuedAtMs = clock.now()
    const user: User = {
      ...NEW_USER,
      roles: [...NEW_USER.roles],
      id: randomUUID(),
      email: address.text,
      emailKey: address.key,
      username: name?.text ?? null,
      usernameKey: name?.key ?? null,
      passwordHash: await hasher.hash(normalizePassword(password)),
      createdAt: issuedAtMs,
      updatedAt: issuedAtMs,
      lastLogin: login ? issuedAtMs : null,
    }
    const inserted = await users.insert(user)
    if (!inserted.ok) return { ok: false, code: `${inserted.taken}_taken` }
    audit.record('register', { sub: user.id, address: client.address })
    return { ok: true, user, tokens: login ? await startSession(user, client, issuedAtMs) : undefined }
  }
}
