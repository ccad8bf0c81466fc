import { createHmac, generateKeyPairSync, type KeyObject, sign, type webcrypto } from 'node:crypto'
import type { Shot } from './deployment.ts'
import { bare } from './requests.ts'

/** A token taken apart. */
export interface Parts {
  header: Record<string, unknown>
  claims: Record<string, unknown>
  signature: Buffer
}

const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url')

/** The deployment's own good token, or one as it would look like. */
export function partsOf({ token, keys, guarded }: Shot): Parts {
  if (token === undefined || !guarded) {
    const now = Math.floor(Date.now() / 1000)
    return {
      header: { alg: 'ES256', typ: 'at+jwt', kid: keys?.[0]?.kid ?? 'key-1' },
      claims: {
        iss: 'http://127.0.0.1:4000',
        aud: 'sallyport',
        sub: 'a',
        sid: 'b',
        jti: 'c',
        epoch: 0,
        roles: [],
        iat: now,
        exp: now + 300,
      },
      signature: Buffer.alloc(64, 7),
    }
  }
  const [header = '', claims = '', signature = ''] = token.split('.')
  const decode = (part: string) => JSON.parse(Buffer.from(part, 'base64url').toString())
  return { header: decode(header), claims: decode(claims), signature: Buffer.from(signature, 'base64url') }
}

function inputOf({ header, claims }: Pick<Parts, 'header' | 'claims'>): string {
  return `${encode(header)}.${encode(claims)}`
}

export function compact(parts: Parts): string {
  return `${inputOf(parts)}.${parts.signature.toString('base64url')}`
}

/** The good token with another header, and the signature it had or an empty one. */
export function withHeader(shot: Shot, more: Record<string, unknown>, signature?: Buffer): string {
  const parts = partsOf(shot)
  return compact({ ...parts, header: { ...parts.header, ...more }, ...(signature && { signature }) })
}

/** The good token with other claims and the signature it had. */
export function withClaims(shot: Shot, more: Record<string, unknown>): string {
  const parts = partsOf(shot)
  return compact({ ...parts, claims: { ...parts.claims, ...more } })
}

/** The good token signed with a secret, where a public key is expected. */
export function signedWithSecret(shot: Shot, secret: string | Buffer, alg = 'HS256'): string {
  const parts = partsOf(shot)
  parts.header.alg = alg
  const signature = createHmac(`sha${alg.slice(2)}`, secret)
    .update(inputOf(parts))
    .digest()
  return compact({ ...parts, signature })
}

/** The good token signed with a key of one's own; its header says more than usual. */
export function signedByOther(shot: Shot, more: (publicKey: webcrypto.JsonWebKey) => Record<string, unknown>): string {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const parts = partsOf(shot)
  parts.header = { ...parts.header, alg: 'ES256', ...more(publicKey.export({ format: 'jwk' })) }
  return compact({ ...parts, signature: signEs256(inputOf(parts), privateKey) })
}

function signEs256(input: string, key: KeyObject): Buffer {
  return sign('sha256', Buffer.from(input), { key, dsaEncoding: 'ieee-p1363' })
}

/** A request with this token and no other. */
export function asking({ path, host, marker }: Shot, token: string): string {
  return bare(`GET ${path} HTTP/1.1`, [`Host: ${host}`, `X-Attack: ${marker}`, `Authorization: Bearer ${token}`])
}
