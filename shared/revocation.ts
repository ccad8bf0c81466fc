import { LEEWAY_S } from './clock.ts'

/**
 * What can be revoked, each with the time from which no token it concerns can be valid any more.
 * `session`: every token of one login. `user`: every token of the user whose `epoch` is lower. `key`: every token
 * the key signed.
 */
export type Revocation =
  | { kind: 'session'; sid: string; sub: string; exp: number }
  | { kind: 'user'; sub: string; epoch: number; exp: number }
  | { kind: 'key'; kid: string; exp: number }

/** One name for one revocation, so that a repetition is recognised. */
export function revocationId(revocation: Revocation): string {
  switch (revocation.kind) {
    case 'session':
      return `session:${revocation.sid}`
    case 'user':
      return `user:${revocation.sub}:${revocation.epoch}`
    case 'key':
      return `key:${revocation.kid}`
  }
}

/** The partition key: events of one user stay in order whatever the number of partitions. */
export function partitionKey(revocation: Revocation): string {
  return revocation.kind === 'key' ? revocation.kid : revocation.sub
}

/**
 * When a revocation may be forgotten, in seconds: every token it concerns was issued before `revokedAtMs` by a clock
 * at most the leeway ahead, and is refused from `exp` plus leeway on.
 * @param lifetimeS how long an access token lives: seconds
 */
export function revocationExpiry(revokedAtMs: number, lifetimeS: number): number {
  return Math.ceil(revokedAtMs / 1000) + lifetimeS + 2 * LEEWAY_S
}

const MAX_ID = 256

/** Reads a revocation of unknown origin; `undefined` when any part of it is missing or wrongly typed. */
export function parseRevocation(value: unknown): Revocation | undefined {
  if (typeof value !== 'object' || value === null) return undefined
  const { kind, sid, sub, epoch, kid, exp } = value as Record<string, unknown>
  if (!Number.isSafeInteger(exp) || (exp as number) <= 0) return undefined
  const until = exp as number
  if (kind === 'session') return isId(sid) && isId(sub) ? { kind, sid, sub, exp: until } : undefined
  if (kind === 'user') {
    const valid = isId(sub) && Number.isSafeInteger(epoch) && (epoch as number) > 0
    return valid ? { kind, sub, epoch: epoch as number, exp: until } : undefined
  }
  if (kind === 'key') return isId(kid) ? { kind, kid, exp: until } : undefined
  return undefined
}

function isId(value: unknown): value is string {
  return typeof value === 'string' && value.length > 0 && value.length <= MAX_ID
}
