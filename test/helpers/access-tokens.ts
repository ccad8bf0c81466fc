import { ACCESS_TOKEN_TYPE, type AccessClaims, type TokenRules } from '../../shared/access-token.ts'
import { ALGORITHM_NAMES, type SigningKeyPair, signJws, type VerificationKey } from '../../shared/jws.ts'

export const ISSUER = 'https://issuer.example'
export const AUDIENCE = 'sallyport'
/** When the tests of tokens take place: milliseconds. */
export const NOW_MS = 1_800_000_000_000
export const NOW_S = NOW_MS / 1000

/** Good claims, issued now for five minutes, with what is given instead; `undefined` leaves a claim out. */
export function accessClaims(instead: Record<string, unknown> = {}): AccessClaims {
  return {
    iss: ISSUER,
    aud: AUDIENCE,
    sub: '0b2f6f8e-5b1e-4f0e-9d0e-0d4c6f1b7a11',
    client_id: 'sallyport',
    jti: '6f2f2b9c-6a53-4f36-8f58-0c2f7d0d4a55',
    iat: NOW_S,
    exp: NOW_S + 300,
    sid: '7c9e6679-7425-40de-944b-e07fc1f90ae7',
    epoch: 0,
    roles: ['user'],
    ...instead,
  }
}

export function accessToken(key: SigningKeyPair, instead: Record<string, unknown> = {}, typ = ACCESS_TOKEN_TYPE) {
  return signJws(key, typ, accessClaims(instead))
}

export function tokenRules(keys: readonly VerificationKey[], instead: Partial<TokenRules> = {}): TokenRules {
  return {
    keyFor: (kid) => keys.find((key) => key.kid === kid),
    algorithms: ALGORITHM_NAMES,
    issuer: ISSUER,
    audience: [AUDIENCE],
    ...instead,
  }
}

/** A token of any header and payload; the signature is what `sign` makes of the first two parts. */
export function rawToken(
  header: unknown,
  payload: unknown,
  sign: (input: string) => Buffer = () => Buffer.alloc(64),
): string {
  const part = (value: unknown) =>
    Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url')
  const input = `${part(header)}.${part(payload)}`
  return `${input}.${sign(input).toString('base64url')}`
}
