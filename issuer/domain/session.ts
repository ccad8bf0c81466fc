/** One login on one device. Times are milliseconds since the Unix epoch. */
export interface Session {
  /** UUID; the `sid` claim, the same through every refresh. */
  sid: string
  /** The user's id. */
  sub: string
  /** The user's epoch at the login; lower than the user's present one means the session is dead. */
  epoch: number
  /** How often the refresh token was rotated: the number of the one that is current. */
  generation: number
  /** SHA-256 of the refresh token's nonce, base64url: no token is at rest anywhere. */
  nonceHash: string
  createdAt: number
  /** When the current generation came to be. */
  rotatedAt: number
  /** The absolute end. */
  expiresAt: number
  /** The end unless it is used before; every rotation moves it, never past `expiresAt`. */
  idleExpiresAt: number
  /** As the client sent it, shortened; null when it sent none. */
  userAgent: string | null
  address: string | null
  /** What the scope of its tokens was narrowed to at the login; null for all that the user's roles permit. */
  scope: string | null
}

/**
 * Whether a session lives on in its user's present epoch, although tokens of it may still name an earlier one: a
 * password change spares the session it was made in.
 */
export async function isCarriedOver(
  sessions: { byId(sid: string): Promise<Session | undefined> },
  sid: string,
  user: { id: string; epoch: number },
): Promise<boolean> {
  const session = await sessions.byId(sid)
  return session?.sub === user.id && session.epoch >= user.epoch
}

/** How long after a rotation the token before it is still answered with the same successor: milliseconds. */
export const RETRY_WINDOW_MS = 10_000

/** A refresh token's claim on its session. */
export interface RotationClaim {
  sid: string
  generation: number
  /** SHA-256 of the nonce, base64url. */
  nonceHash: string
  nowMs: number
  /** How long the session lives on without use: milliseconds. */
  idleMs: number
}

/**
 * What one atomic step made of the claim. `session` is as it stands after it.
 * - `rotated`: the current generation was presented and counted up.
 * - `retry`: the one before, within the window; nothing changed, the successor is the current generation.
 * - `caught-up`: a later one than the store knew (it lost its last write); it counts as current and was counted up.
 * - `reused`: used up; nothing changed. Whoever holds it, the session has to end.
 * - `unknown`: no such session, ended, expired, or another nonce.
 */
export type Rotation =
  | { outcome: 'rotated' | 'retry' | 'caught-up' | 'reused'; session: Session }
  | { outcome: 'unknown' }

/** The rule of rotation, for stores that can run it in a transaction; a store that runs it as a script says the same. */
export function judgeRotation(session: Session | undefined, claim: RotationClaim): Rotation {
  if (!session || session.nonceHash !== claim.nonceHash) return { outcome: 'unknown' }
  if (claim.nowMs >= session.expiresAt || claim.nowMs >= session.idleExpiresAt) return { outcome: 'unknown' }
  if (claim.generation === session.generation - 1 && claim.nowMs <= session.rotatedAt + RETRY_WINDOW_MS) {
    return { outcome: 'retry', session }
  }
  if (claim.generation < session.generation) return { outcome: 'reused', session }
  return {
    outcome: claim.generation === session.generation ? 'rotated' : 'caught-up',
    session: {
      ...session,
      generation: claim.generation + 1,
      rotatedAt: claim.nowMs,
      idleExpiresAt: Math.min(claim.nowMs + claim.idleMs, session.expiresAt),
    },
  }
}

/** A session as it is shown: never its hash or generation. Times are ISO 8601. */
export function publicSession(session: Session) {
  return {
    sid: session.sid,
    user_agent: session.userAgent,
    address: session.address,
    created_at: new Date(session.createdAt).toISOString(),
    last_used_at: new Date(session.rotatedAt).toISOString(),
    expires_at: new Date(session.idleExpiresAt).toISOString(),
  }
}
