import {
  type AccessClaims,
  type TokenRefusal,
  type TokenRules,
  type VerifiedToken,
  verifyAccessToken,
} from '../../shared/access-token.ts'
import type { Clock } from '../../shared/clock.ts'
import { ALGORITHM_NAMES, parseJws } from '../../shared/jws.ts'
import type { Client } from './client.ts'
import { isClientToken } from './client-credentials.ts'
import type { KeySet } from './key-set.ts'
import type { Clients, Ledger, Sessions, Users } from './ports.ts'
import { isCarriedOver } from './session.ts'
import type { User } from './user.ts'

/** Who is asking. */
export interface Caller {
  claims: AccessClaims
  user: User
}

/** A service that asks for itself. */
export interface ClientCaller {
  claims: AccessClaims
  client: Client
}

export type Principal = Caller | ClientCaller

export type AuthenticationRefusal =
  | TokenRefusal
  | 'session_revoked'
  | 'user_gone'
  | 'user_inactive'
  | 'client_gone'
  | 'client_inactive'
  | 'epoch_passed'

export type AuthenticatedPrincipal = { ok: true; principal: Principal } | { ok: false; reason: AuthenticationRefusal }

export type Authenticated = { ok: true; caller: Caller } | { ok: false; reason: AuthenticationRefusal | 'not_a_user' }

export interface Authenticate {
  /** Everything: the token itself, and that neither its session nor its user or client has been logged out since. */
  principal(token: string): Promise<AuthenticatedPrincipal>
  /** The same for users alone; the valid token of a service is refused as `not_a_user`. */
  caller(token: string): Promise<Authenticated>
  /** The token itself only. */
  token(token: string): Promise<VerifiedToken>
  /** Whether this issuer signed the token for this audience, whenever that was. */
  expiredToken(token: string): Promise<VerifiedToken>
}

export interface AuthenticatePorts {
  keySet: KeySet
  ledger: Ledger
  users: Users
  sessions: Pick<Sessions, 'byId'>
  clients: Clients
  clock: Clock
}

/** The issuer refuses what it has revoked by asking its own stores: it needs no feed. */
export function createAuthenticate(
  { keySet, ledger, users, sessions, clients, clock }: AuthenticatePorts,
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

  const principal = async (token: string): Promise<AuthenticatedPrincipal> => {
    const verified = await verify(token, clock.now())
    if (!verified.ok) return { ok: false, reason: verified.refusal }
    const { claims } = verified
    const ofClient = isClientToken(claims)
    const [revoked, user, client] = await Promise.all([
      ledger.isSessionRevoked(claims.sid),
      ofClient ? undefined : users.byId(claims.sub),
      ofClient ? clients.byId(claims.sub) : undefined,
    ])
    if (revoked) return { ok: false, reason: 'session_revoked' }
    const subject = user ?? client
    if (!subject) return { ok: false, reason: ofClient ? 'client_gone' : 'user_gone' }
    if (!subject.isActive) return { ok: false, reason: ofClient ? 'client_inactive' : 'user_inactive' }
    if (claims.epoch < subject.epoch && !(user && (await isCarriedOver(sessions, claims.sid, user)))) {
      return { ok: false, reason: 'epoch_passed' }
    }
    return { ok: true, principal: client ? { claims, client } : { claims, user: user! } }
  }

  return {
    token: (token) => verify(token, clock.now()),
    async expiredToken(token) {
      const iat = (parseJws(token)?.payload as { iat?: unknown } | undefined)?.iat
      return verify(token, Math.min(Number.isSafeInteger(iat) ? (iat as number) * 1000 : Infinity, clock.now()))
    },
    principal,
    async caller(token) {
      const result = await principal(token)
      if (!result.ok) return result
      return 'user' in result.principal ? { ok: true, caller: result.principal } : { ok: false, reason: 'not_a_user' }
    },
  }
}
