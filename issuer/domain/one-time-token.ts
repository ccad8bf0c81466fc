import { createHash, randomBytes } from 'node:crypto'
import type { User } from './user.ts'

/** What a mailed token is good for. */
export type Purpose = 'verify_email' | 'reset_password'

/** A mailed token as the store keeps it: nothing in it tells the token or the address it went to. */
export interface OneTimeToken {
  /** SHA-256 of the token, base64url. */
  hash: string
  /** The user's id. */
  sub: string
  purpose: Purpose
  /** Digest of what it was issued for ({@link stateOf}); once that has changed the token is void. */
  state: string
  /** Milliseconds since the Unix epoch. */
  expiresAt: number
}

/** Mail can be slow, and people read it later; a stolen mailbox is the reason why resets end sooner. Milliseconds. */
export const LIFETIME_MS: Record<Purpose, number> = { verify_email: 24 * 3_600_000, reset_password: 3_600_000 }

const TOKEN_BYTES = 32
const TOKEN = /^[A-Za-z0-9_-]{43}$/

/** @returns the token, for the mail alone, and what the store keeps of it */
export function newOneTimeToken(user: User, purpose: Purpose, nowMs: number): { token: string; kept: OneTimeToken } {
  const token = randomBytes(TOKEN_BYTES).toString('base64url')
  const expiresAt = nowMs + LIFETIME_MS[purpose]
  return { token, kept: { hash: digest(token), sub: user.id, purpose, state: stateOf(user, purpose), expiresAt } }
}

/** One that was void from the beginning: nobody gets it, but keeping it is the same work. */
export function voidToken(purpose: Purpose, nowMs: number): OneTimeToken {
  return { hash: digest(randomBytes(TOKEN_BYTES).toString('base64url')), sub: '', purpose, state: '', expiresAt: nowMs }
}

/** What the store knows a token by; `undefined` when it can't be one. 256 random bits need no slow hash. */
export function hashOneTimeToken(token: string): string | undefined {
  return TOKEN.test(token) ? digest(token) : undefined
}

/** Whether the token may still be used for this, by the user as they stand. */
export function isUsable(kept: OneTimeToken, purpose: Purpose, user: User, nowMs: number): boolean {
  return kept.purpose === purpose && nowMs < kept.expiresAt && user.isActive && kept.state === stateOf(user, purpose)
}

/** The address, as the mail goes to it, and for a reset the password that it replaces. */
function stateOf({ id, email, passwordHash }: User, purpose: Purpose): string {
  return digest(JSON.stringify([purpose, id, email, purpose === 'reset_password' ? passwordHash : '']))
}

function digest(text: string): string {
  return createHash('sha256').update(text).digest('base64url')
}
