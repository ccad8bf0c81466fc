import type { AccessClaims } from '../../shared/access-token.ts'
import type { Clock } from '../../shared/clock.ts'
import type { Authenticate } from './authenticate.ts'
import { FIRST_PARTY_CLIENT_ID } from './issue-tokens.ts'
import type { Ledger, Sessions, Users } from './ports.ts'
import { hashNonce, type MacKey, type PresentedRefreshToken, readRefreshToken } from './refresh-token.ts'
import { judgeRotation } from './session.ts'

/** What may be told of a token (RFC 7662 section 2.2). Of one that is not active nothing else is. Times in seconds. */
export type Introspection =
  | { active: false }
  | ({ active: true; token_type: 'Bearer' } & Omit<
      AccessClaims,
      'roles' | 'epoch' | 'tier' | 'email' | 'email_verified'
    >)
  | {
      active: true
      token_type: 'refresh_token'
      client_id: string
      sub: string
      sid: string
      iat: number
      exp: number
      scope?: string
    }

/**
 * Says whether this issuer would accept a token now, of either kind; a refresh token is not used up by it.
 * @throws StoreUnavailable
 */
export type Introspect = (token: string) => Promise<Introspection>

export interface IntrospectPorts {
  authenticate: Authenticate
  sessions: Sessions
  ledger: Ledger
  users: Users
  macKeys: readonly MacKey[]
  clock: Clock
}

const INACTIVE = { active: false } as const

export function createIntrospect({
  authenticate,
  sessions,
  ledger,
  users,
  macKeys,
  clock,
}: IntrospectPorts): Introspect {
  const ofRefreshToken = async ({ sid, generation, nonce, isOf }: PresentedRefreshToken): Promise<Introspection> => {
    const session = await sessions.byId(sid)
    const claim = { sid, generation, nonceHash: hashNonce(nonce), nowMs: clock.now(), idleMs: 0 }
    const { outcome } = judgeRotation(session, claim)
    if (!session || !isOf(session.sub) || outcome === 'unknown' || outcome === 'reused') return INACTIVE
    const [revoked, user] = await Promise.all([ledger.isSessionRevoked(sid), users.byId(session.sub)])
    if (revoked || !user?.isActive || session.epoch < user.epoch) return INACTIVE
    return {
      active: true,
      token_type: 'refresh_token',
      client_id: FIRST_PARTY_CLIENT_ID,
      sub: session.sub,
      sid,
      iat: Math.floor(session.rotatedAt / 1000),
      exp: Math.floor(session.idleExpiresAt / 1000),
      ...(session.scope !== null && { scope: session.scope }),
    }
  }

  return async (token) => {
    const refreshToken = readRefreshToken(macKeys, token)
    if (refreshToken) return ofRefreshToken(refreshToken)
    const result = await authenticate.principal(token)
    if (!result.ok) return INACTIVE
    const { iss, aud, sub, client_id, jti, iat, exp, sid, scope } = result.principal.claims
    return {
      active: true,
      token_type: 'Bearer',
      ...{ iss, aud, sub, client_id, jti, iat, exp, sid },
      ...(scope !== undefined && { scope }),
    }
  }
}
