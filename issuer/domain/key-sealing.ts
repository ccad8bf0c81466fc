import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from 'node:crypto'

const NONCE_BYTES = 12
const TAG_BYTES = 16

/** Encrypts private keys at rest. */
export interface KeySealing {
  /** @param kid is bound to the ciphertext, so that one key can't be put in another's place */
  seal(kid: string, privateKey: Buffer): string
  /** @returns `undefined` when none of the master keys opens it */
  open(kid: string, sealed: string): Buffer | undefined
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
  }
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
