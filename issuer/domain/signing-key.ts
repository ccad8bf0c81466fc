import type { Algorithm } from '../../shared/jws.ts'

/** `next` is published and does not sign yet; `retired` still verifies until its last token has expired. */
export type KeyState = 'next' | 'current' | 'retired'

/** A signing key as the store keeps it. Times are milliseconds since the Unix epoch. */
export interface StoredSigningKey {
  /** RFC 7638 thumbprint of the public key. */
  kid: string
  alg: Algorithm
  state: KeyState
  /** The private key, PKCS #8 DER, encrypted by whoever stored it (base64url). */
  sealedPrivateKey: string
  createdAt: number
  /** When it stopped signing. */
  retiredAt: number | null
}
