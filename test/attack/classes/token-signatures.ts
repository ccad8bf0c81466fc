import type { Shot } from '../deployment.ts'
import { asking, compact, partsOf, withClaims } from '../forge.ts'
import { type AttackClass, unauthorized } from '../row.ts'

/** The order of P-256: as r or s it is as good as zero. */
const ORDER = Buffer.from('ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551', 'hex')
const ZERO = Buffer.alloc(32)
const ONE = Buffer.from(ZERO).fill(1, 31)

const SIGNATURES: [name: string, change: (signature: Buffer) => Buffer][] = [
  ['none', () => Buffer.alloc(0)],
  ['zeros (r = s = 0)', () => Buffer.concat([ZERO, ZERO])],
  ['r = 0', (signature) => Buffer.concat([ZERO, signature.subarray(32)])],
  ['s = 0', (signature) => Buffer.concat([signature.subarray(0, 32), ZERO])],
  ['r = s = the order of the curve', () => Buffer.concat([ORDER, ORDER])],
  ['r = s = 1', () => Buffer.concat([ONE, ONE])],
  ['ones', () => Buffer.alloc(64, 0xff)],
  ['zeros, as DER', () => Buffer.from('3006020100020100', 'hex')],
  ['the signature as DER', toDer],
  ['one byte', (signature) => signature.subarray(0, 1)],
  ['one byte less', (signature) => signature.subarray(0, -1)],
  ['one byte more', (signature) => Buffer.concat([signature, Buffer.alloc(1)])],
  ['a zero before', (signature) => Buffer.concat([Buffer.alloc(1), signature])],
  ['twice', (signature) => Buffer.concat([signature, signature])],
  ['the first bit another', (signature) => Buffer.from(signature.map((byte, i) => (i === 0 ? byte ^ 128 : byte)))],
  [
    'the last bit another',
    (signature) => Buffer.from(signature.map((byte, i) => (i === signature.length - 1 ? byte ^ 1 : byte))),
  ],
  ['zeros of 256 bytes', () => Buffer.alloc(256)],
  ['one of 256 bytes', () => Buffer.alloc(256).fill(1, 255)],
  ['zeros of 2 KiB', () => Buffer.alloc(2048)],
]

function toDer(signature: Buffer): Buffer {
  const integer = (bytes: Buffer) => Buffer.concat([Buffer.from([2, bytes.length + 1, 0]), bytes])
  const [r, s] = [integer(signature.subarray(0, 32)), integer(signature.subarray(32, 64))]
  return Buffer.concat([Buffer.from([0x30, r.length + s.length]), r, s])
}

const CLAIMS: [name: string, claims: (a: Shot) => Record<string, unknown>][] = [
  ['another user', () => ({ sub: '00000000-0000-4000-8000-000000000000' })],
  ['another session', () => ({ sid: '00000000-0000-4000-8000-000000000000' })],
  ['more roles', () => ({ roles: ['superuser', 'admin'] })],
  ['a longer life', () => ({ exp: 4_102_444_800 })],
  ['a higher epoch', () => ({ epoch: 1_000_000 })],
  ['another audience', () => ({ aud: ['sallyport', 'everybody'] })],
  ['a claim more', () => ({ admin: true })],
]

export const TOKEN_SIGNATURES: AttackClass = {
  id: 'token-signatures',
  title: 'zero and malformed signatures',
  known: ['CVE-2022-21449'],
  holds: 'refused: only what the issuer signed is believed, all of it',
  alsoTestedIn: ['test/shared/jws.test.ts'],
  rows: [
    ...SIGNATURES.map(([name, change]) =>
      unauthorized(`a good token, its signature: ${name}`, (a) => {
        const parts = partsOf(a)
        return asking(a, compact({ ...parts, signature: change(parts.signature) }))
      }),
    ),
    ...CLAIMS.map(([name, claims]) =>
      unauthorized(`a good token with ${name}`, (a) => asking(a, withClaims(a, claims(a)))),
    ),
    unauthorized('a good token whose signature is that of other claims', (a) => {
      const other = (a.token ?? '').split('.')
      return asking(a, [other[0], other[0], other[2]].join('.'))
    }),
  ],
}
