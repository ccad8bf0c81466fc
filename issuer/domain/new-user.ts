import { randomUUID } from 'node:crypto'
import { MAX_USERNAME, readEmail, readUsername } from './normal-form.ts'
import { normalizePassword, passwordProblems } from './password-policy.ts'
import { DEFAULT_ROLE } from './role.ts'
import type { User } from './user.ts'

export interface NewUserInput {
  email: string
  username: string | undefined
  password: string
}

export type Names = Pick<User, 'email' | 'emailKey' | 'username' | 'usernameKey'>

export type ReadNewUser =
  | { ok: true; names: Names; password: string }
  | { ok: false; code: 'invalid_request' | 'password_rejected'; errors: string[] }

/**
 * Reads what somebody wants to be called and to log in with.
 * @returns names and password in their normal forms, or a line for each thing that is wrong
 */
export function readNewUser({ email, username, password }: NewUserInput): ReadNewUser {
  const read = readNames({ email, username })
  const objections = passwordProblems(password, username === undefined ? [email] : [email, username])
  if (!read.ok) return { ...read, errors: [...read.errors, ...objections] }
  if (objections.length > 0) return { ok: false, code: 'password_rejected', errors: objections }
  const names = { username: null, usernameKey: null, ...read.names } as Names
  return { ok: true, names, password: normalizePassword(password) }
}

export type ReadNames = { ok: true; names: Partial<Names> } | { ok: false; code: 'invalid_request'; errors: string[] }

/** Reads what is given of them; a user name of null is none. */
export function readNames({ email, username }: { email?: string; username?: string | null | undefined }): ReadNames {
  const names: Partial<Names> = {}
  const errors: string[] = []
  if (email !== undefined) {
    const address = readEmail(email)
    if (address) Object.assign(names, { email: address.text, emailKey: address.key })
    else errors.push('email: not an e-mail address')
  }
  if (username !== undefined) {
    const name = username === null ? { text: null, key: null } : readUsername(username)
    if (name) Object.assign(names, { username: name.text, usernameKey: name.key })
    else errors.push(`username: at most ${MAX_USERNAME} letters, digits and . _ - and none but a letter or digit first`)
  }
  return errors.length > 0 ? { ok: false, code: 'invalid_request', errors } : { ok: true, names }
}

/** A user as everyone begins. What may be had, no client chooses: role, tier and flags are these. */
export function newUser(names: Names, passwordHash: string, nowMs: number): User {
  return {
    id: randomUUID(),
    ...names,
    passwordHash,
    epoch: 0,
    roles: [DEFAULT_ROLE],
    tier: 'free',
    isActive: true,
    isVerified: false,
    createdAt: nowMs,
    updatedAt: nowMs,
    lastLogin: null,
  }
}
