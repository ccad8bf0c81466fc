import { generateKeyPairSync, randomUUID } from 'node:crypto'
import { readPemKey } from '../../issuer/domain/pem-key.ts'
import { ACCESS_TOKEN_TYPE } from '../../shared/access-token.ts'
import { type Algorithm, type SigningKeyPair, signJws } from '../../shared/jws.ts'
import { accessClaims } from '../../test/helpers/access-tokens.ts'

/** Longer than the benchmark takes: seconds. */
const LIFETIME_S = 3600

/** A key that an issuer is given, so that the benchmark can sign as many tokens as it needs itself. */
export interface BenchKey {
  pem: string
  pair: SigningKeyPair
}

export function createKey(alg: Exclude<Algorithm, 'EdDSA'>): BenchKey {
  const { privateKey } =
    alg === 'ES256'
      ? generateKeyPairSync('ec', { namedCurve: 'P-256' })
      : generateKeyPairSync('rsa', { modulusLength: 2048 })
  const pem = privateKey.export({ type: 'pkcs8', format: 'pem' }) as string
  const read = readPemKey(pem, undefined)
  if (!read.ok) throw new Error(read.problem)
  return { pem, pair: read.pair }
}

/** An access token of a new session of a new user, with the claims that the issuer gives by default. */
export function signToken(key: SigningKeyPair, issuer: string, audience: string, expiresInS = LIFETIME_S): string {
  const iat = Math.floor(Date.now() / 1000)
  const own = { iss: issuer, aud: audience, iat, exp: iat + expiresInS }
  const ids = { sub: randomUUID(), sid: randomUUID(), jti: randomUUID() }
  const profile = { tier: 'free', email: 'ada.lovelace@example.com', email_verified: true }
  return signJws(key, ACCESS_TOKEN_TYPE, accessClaims({ ...own, ...ids, ...profile }))
}
