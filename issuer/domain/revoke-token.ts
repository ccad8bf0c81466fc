import type { Authenticate } from './authenticate.ts'
import type { Client } from './client.ts'
import { isClientToken } from './client-credentials.ts'
import { FIRST_PARTY_CLIENT_ID } from './issue-tokens.ts'
import type { Logout } from './logout.ts'
import type { Audit } from './ports.ts'
import { type MacKey, readRefreshToken } from './refresh-token.ts'
import type { Revoke } from './revoke.ts'

/** `not_own`: the token is genuine and was issued to another client. */
export type RevokeTokenResult = { ok: true } | { ok: false; code: 'not_own' }

/**
 * Revokes an access or refresh token (RFC 7009): of a user, the whole session ends; of a service, this one token. A
 * token that is no longer valid, or never was one, is answered as success.
 * @param client who asks; `undefined`: a first-party client, for which holding the token is enough, as at the logout
 * @throws StoreUnavailable
 */
export type RevokeToken = (
  token: string,
  client: Client | undefined,
  address: string | null,
) => Promise<RevokeTokenResult>

export interface RevokeTokenPorts {
  authenticate: Authenticate
  logout: Logout
  revoke: Revoke
  macKeys: readonly MacKey[]
  audit: Audit
}

export function createRevokeToken(ports: RevokeTokenPorts): RevokeToken {
  const { authenticate, logout, revoke, macKeys, audit } = ports
  return async (token, client, address) => {
    const asking = client?.id ?? FIRST_PARTY_CLIENT_ID
    if (readRefreshToken(macKeys, token)) {
      if (asking !== FIRST_PARTY_CLIENT_ID) return { ok: false, code: 'not_own' }
      await logout({ refreshToken: token, accessToken: undefined, all: false, address })
      return { ok: true }
    }
    const verified = await authenticate.token(token)
    if (!verified.ok) return { ok: true }
    const { claims } = verified
    if (claims.client_id !== asking) return { ok: false, code: 'not_own' }
    if (isClientToken(claims)) {
      const { sub, sid, exp } = claims
      const { propagated } = await revoke.session({ sid, sub, expiresAt: exp * 1000 })
      audit.record('client_token_revoked', { client_id: sub, sid, propagated, address })
    } else {
      await logout({ accessToken: token, refreshToken: undefined, all: false, address })
    }
    return { ok: true }
  }
}
