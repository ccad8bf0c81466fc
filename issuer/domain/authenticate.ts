import {
  type AccessClaims,
  type TokenRefusal,
  type TokenRules,
  type VerifiedToken,
  verifyAccessToken,
} from '../../shared/access-token.ts'
import type { Clock } from '../../shared/clock.ts'
import { ALGORITHM_NAMES, parseJws } from '../../shared/jws.ts'
import type { KeySet } from './key-set.ts'
import type { Ledger, Users } from './ports.ts'
import type { User } from './user.ts'

/** Who is asking. */
export interface Caller {
  claims: AccessClaims
  user: User
}

export type Authenticated =
  | { ok: true; caller: Caller }
  | { ok: false; reason: TokenRefusal | 'session_revoked' | 'user_gone' | 'user_inactive' | 'epoch_passed' }

export interface Authenticate {
  /** Everything: the token itself, and that neither its session nor its user has been logged out since. */
  caller(token: string): Promise<Authenticated>
  /** The token itself only. */
  token(token: string): Promise<VerifiedToken>
  /** Whether this issuer signed the token for this audience, whenever that was. */
  expiredToken(token: string): Promise<VerifiedToken>
}

/** The issuer refuses what it has revoked by asking its own stores: it needs no feed. */
export function createAuthenticate(
  { keySet, ledger, users, clock }: { keySet: KeySet; ledger: Ledger; users: Users; clock: Clock },
  { issuer, audience }: { issuer: string; audience: readonly string[] },
): Authenticate {
  const rules: TokenRules = { keyFor: keySet.keyFor, algorithms: ALGORITHM_NAMES, issuer, audience }

  const verify = async (token: string, nowMs: number): Promise<VerifiedToken> => {
    const verified = verifyAccessToken(token, rules, nowMs)
    if (verified.ok || verified.refusal !== 'key_unknown') return verified
    // Another issuer may have made the key a moment ago.
    await keySet.refresh()
    return verifyAccessToken(token, rules, nowMs)
  }

  return {
    token: (token) => verify(token, clock.now()),
    async expiredToken(token) {
      const iat = (parseJws(token)?.payload as { iat?: unknown } | undefined)?.iat
      return verify(token, Math.min(Number.isSafeInteger(iat) ? (iat as number) * 1000 : Infinity, clock.now()))
    },
    async caller(token) {
      const verified = await verify(token, clock.now())
      if (!verified.ok) return { ok: false, reason: verified.refusal }
      const { claims } = verified
      const [revoked, user] = await Promise.all([ledger.isSessionRevoked(claims.sid), users.byId(claims.sub)])
      if (revoked) return { ok: false, reason: 'session_revoked' }
      if (!user) return { ok: false, reason: 'user_gone' }
      if (!user.isActive) return { ok: false, reason: 'user_inactive' }
      if (claims.epoch < user.epoch) return { ok: false, reason: 'epoch_passed' }
      return { ok: true, caller: { claims, user } }
    },
  }
}
