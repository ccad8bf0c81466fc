import { randomUUID } from 'node:crypto'
import { ACCESS_TOKEN_TYPE, type AccessClaims } from '../../shared/access-token.ts'
import { type Clock, seconds } from '../../shared/clock.ts'
import { type SigningKeyPair, signJws } from '../../shared/jws.ts'
import type { Grants } from './grants.ts'
import type { KeySet } from './key-set.ts'
import { type MacKey, mintRefreshToken } from './refresh-token.ts'
import { fittingScope } from './scope.ts'
import type { Session } from './session.ts'
import type { User } from './user.ts'

/** Tokens that this issuer gives to its own clients name it as the client (RFC 9068 section 2.2 requires one). */
export const FIRST_PARTY_CLIENT_ID = 'sallyport'

/** The profile claims there are, each of which configuration may leave out. */
const PROFILE_CLAIMS = {
  tier: (user: User) => user.tier,
  email: (user: User) => user.email,
  email_verified: (user: User) => user.isVerified,
}

export type ProfileClaim = keyof typeof PROFILE_CLAIMS

/** What a client gets at a login and at every refresh. */
export interface Tokens {
  accessToken: string
  /** How long the access token is still valid: seconds. */
  expiresInS: number
  refreshToken: string
  /** When the refresh token is void unless it is used: milliseconds since the Unix epoch. */
  refreshExpiresAt: number
  /** What the access token permits; empty when that is nothing. */
  scope: string
}

export interface TokenRules {
  /** The `iss` claim. */
  issuer: string
  /** The `aud` claim. */
  audience: readonly string[]
  /** How long an access token lives, asked for each: seconds. @throws StoreUnavailable when it is not known */
  readonly lifetimeS: number
  profileClaims: readonly ProfileClaim[]
}

/**
 * Makes the tokens of a session as it stands.
 * @param grants what the user's roles grant now
 * @param issuedAtMs the `iat`, taken before whatever was asked to decide that these tokens may be issued, so that a
 *   revocation recorded meanwhile covers them
 * @param key what signs: the current key, taken before the user was read unless the user is looked at again after it. So
 *   no key that only signs since everybody was logged out is put under what was known before, however long that takes.
 * @throws StoreUnavailable when the key has been revoked meanwhile
 */
export type IssueTokens = (
  user: User,
  grants: Grants,
  session: Session,
  nonce: Buffer,
  issuedAtMs: number,
  key: SigningKeyPair,
) => Tokens

/** @param macKeys the first makes refresh tokens */
export function createIssueTokens(
  { keySet, macKeys, clock }: { keySet: Pick<KeySet, 'confirm'>; macKeys: readonly MacKey[]; clock: Clock },
  rules: TokenRules,
): IssueTokens {
  return (user, grants, session, nonce, issuedAtMs, key) => {
    const claims = accessClaims(user, grants, session, rules, Math.floor(issuedAtMs / 1000))
    return {
      accessToken: signJws(keySet.confirm(key), ACCESS_TOKEN_TYPE, claims),
      expiresInS: Math.max(0, claims.exp - seconds(clock)),
      refreshToken: mintRefreshToken(macKeys[0]!, { sid: session.sid, generation: session.generation, nonce }, user.id),
      refreshExpiresAt: session.idleExpiresAt,
      scope: claims.scope ?? '',
    }
  }
}

/** The claims of RFC 9068 section 2.2, and those that revocation needs. `iat` in seconds. */
function accessClaims(user: User, grants: Grants, session: Session, rules: TokenRules, iat: number): AccessClaims {
  const { issuer, audience, lifetimeS, profileClaims } = rules
  const scope = fittingScope(grants.permissions, session.scope)
  return {
    iss: issuer,
    aud: audience.length === 1 ? audience[0]! : [...audience],
    sub: user.id,
    client_id: FIRST_PARTY_CLIENT_ID,
    jti: randomUUID(),
    iat,
    exp: iat + lifetimeS,
    sid: session.sid,
    epoch: session.epoch,
    // Services that decide by roles would give back what the narrowing took away.
    roles: scope === fittingScope(grants.permissions, null) ? grants.roles : [],
    ...(scope && { scope }),
    ...Object.fromEntries(profileClaims.map((claim) => [claim, PROFILE_CLAIMS[claim](user)])),
  }
}
