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

/** A token that one of our keys made, as far as can be told without a store. */
export interface PresentedRefreshToken extends RefreshToken {
  /** Whether it was made for this user. Who can write to the store of sessions could give a session to somebody else. */
  isOf(sub: string): boolean
}

const KEY_ID_BYTES = 4
const SID_BYTES = 16
const GENERATION_BYTES = 4
const NONCE_BYTES = 16
/** Two MACs of 128 bits of HMAC-SHA-256 each (RFC 2104 section 5). */
const MAC_BYTES = 16

const SID_AT = KEY_ID_BYTES
const GENERATION_AT = SID_AT + SID_BYTES
const NONCE_AT = GENERATION_AT + GENERATION_BYTES
const USER_MAC_AT = NONCE_AT + NONCE_BYTES
const MAC_AT = USER_MAC_AT + MAC_BYTES
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

/**
 * Makes the token: base64url(key id, sid, generation, nonce, MAC over these and the user's id, MAC over all before it).
 * The last can be checked without a store, so that garbage costs nothing; the other when the store has said whose it is.
 */
export function mintRefreshToken({ id, key }: MacKey, { sid, generation, nonce }: RefreshToken, sub: string): string {
  const bytes = Buffer.alloc(TOKEN_BYTES)
  id.copy(bytes)
  bytes.write(sid.replaceAll('-', ''), SID_AT, 'hex')
  bytes.writeUInt32BE(generation, GENERATION_AT)
  nonce.copy(bytes, NONCE_AT)
  userMac(key, bytes, sub).copy(bytes, USER_MAC_AT)
  mac(key, bytes.subarray(0, MAC_AT)).copy(bytes, MAC_AT)
  return bytes.toString('base64url')
}

/**
 * Reads a token and checks its MAC; no store is needed.
 * @returns `undefined` for everything that none of the keys made
 */
export function readRefreshToken(keys: readonly MacKey[], token: string): PresentedRefreshToken | undefined {
  if (token.length !== REFRESH_TOKEN_CHARACTERS) return undefined
  const bytes = decodeBase64url(token)
  if (bytes?.length !== TOKEN_BYTES) return undefined
  const key = keys.find(({ id }) => id.equals(bytes.subarray(0, KEY_ID_BYTES)))
  if (!key || !timingSafeEqual(mac(key.key, bytes.subarray(0, MAC_AT)), bytes.subarray(MAC_AT))) return undefined
  return {
    sid: formatUuid(bytes.toString('hex', SID_AT, GENERATION_AT)),
    generation: bytes.readUInt32BE(GENERATION_AT),
    nonce: Buffer.from(bytes.subarray(NONCE_AT, USER_MAC_AT)),
    isOf: (sub) => timingSafeEqual(userMac(key.key, bytes, sub), bytes.subarray(USER_MAC_AT, MAC_AT)),
  }
}

function mac(key: Buffer, ...parts: (Buffer | string)[]): Buffer {
  const hmac = createHmac('sha256', key)
  for (const part of parts) hmac.update(part)
  return hmac.digest().subarray(0, MAC_BYTES)
}

/** Labelled, so that neither MAC can be taken for the other. */
function userMac(key: Buffer, token: Buffer, sub: string): Buffer {
  return mac(key, 'user', token.subarray(0, USER_MAC_AT), sub)
}

function formatUuid(hex: string): string {
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`
}
