import { randomUUID } from 'node:crypto'
import { openSqliteStore } from '../issuer/adapters/sqlite/store.ts'
import { ensureSigningKey } from '../issuer/domain/ensure-signing-key.ts'
import { createKeySealing } from '../issuer/domain/key-sealing.ts'
import { createKeySet } from '../issuer/domain/key-set.ts'
import { ACCESS_TOKEN_TYPE, type AccessClaims } from '../shared/access-token.ts'
import { systemClock } from '../shared/clock.ts'
import { signJws } from '../shared/jws.ts'
import { revocationId } from '../shared/revocation.ts'

export interface IssuedFolder {
  /** The data folder of an issuer that is not running. */
  folder: string
  masterKey: string
  issuer: string
  /** How long the tokens live: seconds. */
  lifetimeS: number
}

/**
 * Does in an issuer's data folder what `tokens` logins and `revoked` logouts would have left there, without hashing a
 * password for each: makes its ES256 key, signs a token for as many users, and records the logouts of other sessions.
 * @returns the tokens, with the claims that an issuer gives by default
 */
export async function issueTokens(
  { folder, masterKey, issuer, lifetimeS }: IssuedFolder,
  tokens: number,
  revoked: number,
): Promise<string[]> {
  const store = openSqliteStore(folder, systemClock, (error) => {
    throw error
  })
  try {
    const ports = {
      signingKeys: store.ports.signingKeys,
      sealing: createKeySealing([masterKey]),
      clock: systemClock,
    }
    await ensureSigningKey(ports, 'ES256')
    const keySet = createKeySet(ports, lifetimeS)
    await keySet.reload()

    const iat = Math.floor(systemClock.now() / 1000)
    const exp = iat + lifetimeS
    const logouts = Array.from({ length: revoked }, () => {
      const revocation = { kind: 'session', sid: randomUUID(), sub: randomUUID(), exp } as const
      return { id: revocationId(revocation), revocation, keepUntilMs: exp * 1000 }
    })
    await store.ports.ledger.record(logouts)
    return Array.from({ length: tokens }, (_, i) => {
      const claims: AccessClaims = {
        iss: issuer,
        aud: 'sallyport',
        sub: randomUUID(),
        client_id: 'sallyport',
        jti: randomUUID(),
        iat,
        exp,
        sid: randomUUID(),
        epoch: 0,
        roles: ['user'],
        tier: 'free',
        email: `user-${i}@example.com`,
        email_verified: true,
      }
      return signJws(keySet.current(), ACCESS_TOKEN_TYPE, claims)
    })
  } finally {
    store.close()
  }
}
