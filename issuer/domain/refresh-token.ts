import { createHash, createHmac, hash, hkdfSync, randomBytes, timingSafeEqual } from 'node:crypto'
import { decodeBase64url } from '../../shared/jws.ts'

/** A key that authenticates refresh tokens, and the id by which a token names it. */
export interface MacKey {
  /** The first 4 bytes of SHA-256 of the key. */
  id: Buffer
  key: Buffer
}

/** What a refresh token says. */
export interface RefreshToken {
  sid: string
  /** Which of the session's successive tokens this is, from 0. */
  generation: number
  /** 128 random bits drawn at the login, the same in all tokens of the session. */
  nonce: Buffer
}

const KEY_ID_BYTES = 4
const SID_BYTES = 16
const GENERATION_BYTES = 4
const NONCE_BYTES = 16
const MAC_BYTES = 32

const SID_AT = KEY_ID_BYTES
const GENERATION_AT = SID_AT + SID_BYTES
const NONCE_AT = GENERATION_AT + GENERATION_BYTES
const MAC_AT = NONCE_AT + NONCE_BYTES
const TOKEN_BYTES = MAC_AT + MAC_BYTES

/** 72 bytes: divisible by three, so that no base64url character has bits to spare. */
export const REFRESH_TOKEN_CHARACTERS = (TOKEN_BYTES / 3) * 4

/** Derives the keys from the master keys, in their order: the first makes new tokens, all of them verify. */
export function refreshTokenKeys(masterKeys: readonly string[]): MacKey[] {
  return masterKeys.map((master) => {
    const key = Buffer.from(hkdfSync('sha256', master, '', 'sallyport refresh tokens', 32))
    return { id: createHash('sha256').update(key).digest().subarray(0, KEY_ID_BYTES), key }
  })
}

export function newNonce(): Buffer {
  return randomBytes(NONCE_BYTES)
}

/** What the store keeps of the nonce: base64url of its SHA-256. */
export function hashNonce(nonce: Buffer): string {
  return hash('sha256', nonce, 'base64url')
}

/** Makes the token: base64url(key id, sid, generation, nonce, HMAC-SHA-256 over all before it). */
export function mintRefreshToken({ id, key }: MacKey, { sid, generation, nonce }: RefreshToken): string {
  const bytes = Buffer.alloc(MAC_AT)
  id.copy(bytes)
  bytes.write(sid.replaceAll('-', ''), SID_AT, 'hex')
  bytes.writeUInt32BE(generation, GENERATION_AT)
  nonce.copy(bytes, NONCE_AT)
  return Buffer.concat([bytes, mac(key, bytes)]).toString('base64url')
}

/**
 * Reads a token and checks its MAC; no store is needed.
 * @returns `undefined` for everything that none of the keys made
 */
export function readRefreshToken(keys: readonly MacKey[], token: string): RefreshToken | undefined {
  if (token.length !== REFRESH_TOKEN_CHARACTERS) return undefined
  const bytes = decodeBase64url(token)
  if (bytes?.length !== TOKEN_BYTES) return undefined
  const signed = bytes.subarray(0, MAC_AT)
  const key = keys.find(({ id }) => id.equals(bytes.subarray(0, KEY_ID_BYTES)))
  if (!key || !timingSafeEqual(mac(key.key, signed), bytes.subarray(MAC_AT))) return undefined
  return {
    sid: formatUuid(bytes.toString('hex', SID_AT, GENERATION_AT)),
    generation: bytes.readUInt32BE(GENERATION_AT),
    nonce: Buffer.from(bytes.subarray(NONCE_AT, MAC_AT)),
  }
}

function mac(key: Buffer, bytes: Buffer): Buffer {
  return createHmac('sha256', key).update(bytes).digest()
}

function formatUuid(hex: string): string {
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`
}
