import { createPrivateKey, createPublicKey, type KeyObject, sign, verify } from 'node:crypto'
import { ALGORITHM_NAMES, ALGORITHMS, type Algorithm, MIN_RSA_BITS, type SigningKeyPair } from '../../shared/jws.ts'
import { thumbprint } from './generate-key.ts'

export type PemKey = { ok: true; pair: SigningKeyPair } | { ok: false; problem: string }

// A signature takes four times as long for twice the bits; 8192 take 20 ms.
const MAX_RSA_BITS = 8192
const MIN_RSA_EXPONENT = 65_537n
const MAX_PEM_CHARACTERS = 64 * 1024

const refuse = (problem: string): PemKey => ({ ok: false, problem })

/**
 * Reads a private key from PEM: PKCS #8, SEC 1 or PKCS #1, encrypted or not. What kind of key it is decides the
 * algorithm: P-256 for ES256, RSA for RS256, Ed25519 for EdDSA.
 * @returns the problem in words that fit after the name of a setting, without anything of the key
 */
export function readPemKey(pem: string, passphrase: string | undefined): PemKey {
  const kinds = [...pem.slice(0, MAX_PEM_CHARACTERS).matchAll(/-----BEGIN ([A-Z0-9 ]+)-----/g)].map(([, kind]) => kind!)
  const privateKeys = kinds.filter((kind) => kind.endsWith('PRIVATE KEY'))
  if (pem.length > MAX_PEM_CHARACTERS || privateKeys.length > 1) return refuse('has to be one private key in PEM')
  if (privateKeys.length === 0) {
    return refuse(
      kinds.length > 0 ? `is a ${kinds[0]!.toLowerCase()}, not a private key` : 'is not a private key in PEM',
    )
  }
  let privateKey: KeyObject
  try {
    privateKey = createPrivateKey({ key: pem, format: 'pem', ...(passphrase !== undefined && { passphrase }) })
  } catch {
    const encrypted = privateKeys[0]!.startsWith('ENCRYPTED') || pem.includes('Proc-Type: 4,ENCRYPTED')
    if (!encrypted) return refuse('is a private key that cannot be read')
    return refuse(`is encrypted, and the passphrase is ${passphrase === undefined ? 'not given' : 'not the right one'}`)
  }
  return checkKey(privateKey)
}

function checkKey(privateKey: KeyObject): PemKey {
  const { asymmetricKeyType: type, asymmetricKeyDetails: details } = privateKey
  const alg = ALGORITHM_NAMES.find((name) => ALGORITHMS[name].keyType === type)
  if (!alg) return refuse(`is a key of type ${type}; use EC (P-256), RSA or Ed25519`)
  const { curve } = ALGORITHMS[alg]
  if (curve && details?.namedCurve !== curve) {
    return refuse(`is a key on the curve ${details?.namedCurve}; ES256 needs P-256 (prime256v1)`)
  }
  const { modulusLength: bits, publicExponent: exponent } = details ?? {}
  if (bits !== undefined && (bits < MIN_RSA_BITS || bits > MAX_RSA_BITS)) {
    return refuse(`is an RSA key of ${bits} bits; use ${MIN_RSA_BITS} to ${MAX_RSA_BITS}`)
  }
  if (exponent !== undefined && exponent < MIN_RSA_EXPONENT) {
    return refuse(`is an RSA key with the public exponent ${exponent}; use ${MIN_RSA_EXPONENT}`)
  }
  const key = createPublicKey(privateKey)
  if (!agree(alg, privateKey, key)) return refuse('is a private key whose two halves do not belong together')
  return { ok: true, pair: { kid: thumbprint(key), alg, key, privateKey } }
}

/** A file can hold a public half that is another key's; nobody could verify what such a key signs. */
function agree(alg: Algorithm, privateKey: KeyObject, publicKey: KeyObject): boolean {
  const { digest } = ALGORITHMS[alg]
  const probe = Buffer.from('probe')
  try {
    return verify(digest, probe, publicKey, sign(digest, probe, privateKey))
  } catch {
    return false
  }
}
