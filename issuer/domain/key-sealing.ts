import {
  createCipheriv,
  createDecipheriv,
  createPrivateKey,
  createPublicKey,
  hkdfSync,
  type KeyObject,
  randomBytes,
} from 'node:crypto'
import type { SigningKeyPair } from '../../shared/jws.ts'
import type { StoredSigningKey } from './signing-key.ts'

const NONCE_BYTES = 12
const TAG_BYTES = 16

/** Encrypts private keys at rest. */
export interface KeySealing {
  /** @param kid is bound to the ciphertext, so that one key can't be put in another's place */
  seal(kid: string, privateKey: Buffer): string
  /** @returns `undefined` when none of the master keys opens it */
  open(kid: string, sealed: string): Buffer | undefined
  /** Whether the master key that seals now opens it. */
  isUpToDate(kid: string, sealed: string): boolean
}

/** AES-256-GCM under keys derived from the master keys: the first seals, all of them open. */
export function createKeySealing(masterKeys: readonly string[]): KeySealing {
  const keys = masterKeys.map((master) => Buffer.from(hkdfSync('sha256', master, '', 'sallyport signing keys', 32)))
  return {
    seal(kid, privateKey) {
      const nonce = randomBytes(NONCE_BYTES)
      const cipher = createCipheriv('aes-256-gcm', keys[0]!, nonce).setAAD(Buffer.from(kid))
      return Buffer.concat([nonce, cipher.update(privateKey), cipher.final(), cipher.getAuthTag()]).toString(
        'base64url',
      )
    },
    open(kid, sealed) {
      const bytes = Buffer.from(sealed, 'base64url')
      for (const key of keys) {
        const opened = open(key, kid, bytes)
        if (opened) return opened
      }
      return undefined
    },
    isUpToDate: (kid, sealed) => open(keys[0]!, kid, Buffer.from(sealed, 'base64url')) !== undefined,
  }
}

/** A key pair as it is stored: published from now on, when it is, and signing from nobody knows when. */
export function sealKeyPair(sealing: KeySealing, { kid, alg, privateKey }: SigningKeyPair, nowMs: number) {
  return {
    kid,
    alg,
    state: 'next',
    sealedPrivateKey: sealing.seal(kid, toDer(privateKey)),
    createdAt: nowMs,
    signsFrom: null,
    retiredAt: null,
    revokedAt: null,
  } satisfies StoredSigningKey as StoredSigningKey
}

/** @returns `undefined` when none of the master keys opens it */
export function openKeyPair(sealing: KeySealing, stored: StoredSigningKey): SigningKeyPair | undefined {
  const { kid, alg, sealedPrivateKey } = stored
  const der = sealing.open(kid, sealedPrivateKey)
  if (!der) return undefined
  const privateKey = createPrivateKey({ key: der, format: 'der', type: 'pkcs8' })
  return { kid, alg, privateKey, key: createPublicKey(privateKey) }
}

/** The keys with what an older master key had sealed sealed anew; the others are the very same objects. */
export function resealed(sealing: KeySealing, keys: readonly StoredSigningKey[]): readonly StoredSigningKey[] {
  return keys.map((key) => {
    if (key.sealedPrivateKey === '' || sealing.isUpToDate(key.kid, key.sealedPrivateKey)) return key
    const der = sealing.open(key.kid, key.sealedPrivateKey)
    return der ? { ...key, sealedPrivateKey: sealing.seal(key.kid, der) } : key
  })
}

function toDer(privateKey: KeyObject): Buffer {
  return privateKey.export({ format: 'der', type: 'pkcs8' })
}

function open(key: Buffer, kid: string, bytes: Buffer): Buffer | undefined {
  try {
    const nonce = bytes.subarray(0, NONCE_BYTES)
    const decipher = createDecipheriv('aes-256-gcm', key, nonce, { authTagLength: TAG_BYTES })
      .setAAD(Buffer.from(kid))
      .setAuthTag(bytes.subarray(-TAG_BYTES))
    return Buffer.concat([decipher.update(bytes.subarray(NONCE_BYTES, -TAG_BYTES)), decipher.final()])
  } catch {
    return undefined
  }
}
