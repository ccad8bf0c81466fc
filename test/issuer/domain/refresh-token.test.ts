import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { test } from 'tap'
import {
  hashNonce,
  mintRefreshToken,
  newNonce,
  REFRESH_TOKEN_CHARACTERS,
  readRefreshToken,
  refreshTokenKeys,
} from '../../../issuer/domain/refresh-token.ts'

const keys = refreshTokenKeys(['the new master key, long enough', 'the old master key, long enough'])
const [newKey, oldKey] = keys as [(typeof keys)[0], (typeof keys)[0]]

const tokens = fc.record({
  sid: fc.uuid(),
  generation: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
  nonce: fc.uint8Array({ minLength: 16, maxLength: 16 }).map((bytes) => Buffer.from(bytes)),
})

test('what was minted is read again, whichever key made it', async () => {
  fc.assert(
    fc.property(tokens, fc.constantFrom(newKey, oldKey), (token, key) => {
      const text = mintRefreshToken(key, token, 'ada')
      const read = readRefreshToken(keys, text)
      return (
        text.length === REFRESH_TOKEN_CHARACTERS &&
        read?.sid === token.sid &&
        read.generation === token.generation &&
        read.nonce.equals(token.nonce) &&
        read.isOf('ada') &&
        !read.isOf('adb')
      )
    }),
  )
})

test('every changed byte is refused', async (t) => {
  const text = mintRefreshToken(newKey, { sid: crypto.randomUUID(), generation: 7, nonce: newNonce() }, 'ada')
  const bytes = Buffer.from(text, 'base64url')
  for (let index = 0; index < bytes.length; index++) {
    for (const bit of [1, 128]) {
      const changed = Buffer.from(bytes)
      changed[index]! ^= bit
      if (readRefreshToken(keys, changed.toString('base64url'))) t.fail(`byte ${index}`)
    }
  }
  t.ok(readRefreshToken(keys, text)?.isOf('ada'))
})

test('a token has one spelling', async (t) => {
  const nonce = Buffer.from('fbeff8ffffbefbeffbefbeffbefbeffb', 'hex')
  const token = { sid: 'fbefbeff-ffff-ffff-befb-efbefbefbeff', generation: 2 ** 32 - 1, nonce }
  const text = mintRefreshToken(newKey, token, 'ada')
  t.match(text, /[-_]/)
  for (const other of [
    text.replaceAll('-', '+').replaceAll('_', '/'),
    `${text}=`,
    ` ${text}`,
    `${text}\n`,
    text.slice(0, -1),
    `${text}A`,
    '',
    'A'.repeat(REFRESH_TOKEN_CHARACTERS),
    `${text.slice(0, -1)}\u0100`,
  ]) {
    t.equal(readRefreshToken(keys, other), undefined, JSON.stringify(other.slice(-10)))
  }
})

test('any text is read without harm', async () => {
  fc.assert(fc.property(fc.string({ unit: 'binary' }), (text) => readRefreshToken(keys, text) === undefined))
})

test('keys are told apart, and another installation has others', async (t) => {
  const token = { sid: crypto.randomUUID(), generation: 0, nonce: newNonce() }
  t.equal(readRefreshToken([newKey], mintRefreshToken(oldKey, token, 'ada')), undefined, 'a key that was taken away')
  const others = refreshTokenKeys(['yet another master key'])
  t.equal(readRefreshToken(others, mintRefreshToken(newKey, token, 'ada')), undefined)
  t.equal(readRefreshToken([{ ...oldKey, id: newKey.id }], mintRefreshToken(newKey, token, 'ada')), undefined)
})

test('the store gets a digest of the nonce', async (t) => {
  const nonce = newNonce()
  t.equal(hashNonce(nonce), createHash('sha256').update(nonce).digest('base64url'))
})
