import fc from 'fast-check'
import { test } from 'tap'
import {
  endOfPrefix,
  readCursor,
  readUserQuery,
  type UserOrder,
  writeCursor,
} from '../../../issuer/domain/user-query.ts'

test('a cursor is read as it was written, by a list of the same order only', async (t) => {
  const text = fc.string({ unit: 'binary', maxLength: 60 }).filter((value) => value.isWellFormed())
  const order = fc.constantFrom<UserOrder>('created', 'email', 'username')
  fc.assert(
    fc.property(order, order, fc.maxSafeInteger(), text, fc.uuid(), (written, read, time, key, id) => {
      const position = { key: written === 'created' ? time : key, id }
      const found = readCursor(read, writeCursor(written, position))
      if (read !== written) return found === undefined
      return JSON.stringify(found) === JSON.stringify(position)
    }),
  )
  t.pass('in every order')
})

test('what is no cursor is refused', async (t) => {
  const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url')
  for (const cursor of [
    '',
    'x',
    '%00',
    'a'.repeat(2000),
    encode(null),
    encode({}),
    encode(['created']),
    encode(['created', 1, 'id', 'more']),
    encode(['created', '1', 'id']),
    encode(['created', 1.5, 'id']),
    encode(['created', { $gt: 0 }, 'id']),
    encode(['created', 1, { $gt: '' }]),
    encode(['created', 1, '\ud800']),
    `${encode(['created', 1, 'id'])}=`,
  ]) {
    t.equal(readCursor('created', cursor), undefined, cursor.slice(0, 40))
  }
  t.equal(readCursor('email', encode(['email', 1, 'id'])), undefined)
  fc.assert(fc.property(fc.string(), (cursor) => readCursor('email', cursor) === undefined || cursor.length > 10))
})

test('what is searched for is compared in its normal form', async (t) => {
  const prefixOf = (search: object) => {
    const read = readUserQuery(search)
    return read.ok ? read.query.prefix : undefined
  }
  t.equal(prefixOf({ email: 'Ann' }), 'ann')
  t.equal(prefixOf({ email: 'ANN@Example.com' }), 'ann@example.com')
  t.equal(prefixOf({ email: 'ann@exämple.com' }), 'ann@xn--exmple-cua.com', 'a whole address has its own')
  t.equal(prefixOf({ username: 'STRASSE' }), prefixOf({ username: 'straße' }))
  t.equal(prefixOf({}), undefined)
})

test('one search at a time, for it gives the order', async (t) => {
  t.match(readUserQuery({ email: 'a', username: 'b' }), { ok: false, errors: [/only one/] })
  t.match(readUserQuery({}), { query: { order: 'created', limit: 50 } })
  t.match(readUserQuery({ email: 'a', tier: 'pro', limit: 3 }), { query: { order: 'email', tier: 'pro', limit: 3 } })
  const cursor = writeCursor('created', { key: 1, id: 'x' })
  t.match(readUserQuery({ after: cursor }), { query: { after: { key: 1, id: 'x' } } })
  t.match(readUserQuery({ email: 'a', after: cursor }), { ok: false, errors: [/next/] }, 'of another list')
})

test('every text with the prefix lies before its end, and no other', async (t) => {
  const text = fc.string({ unit: 'binary', maxLength: 5 }).filter((value) => value.isWellFormed())
  const bytes = (value: string) => Buffer.from(value)
  fc.assert(
    fc.property(text, text, (prefix, rest) => {
      // What begins with the last code point there is would come after it; no normal form does.
      if (rest.startsWith('\u{10ffff}')) return true
      const within = (value: string) =>
        Buffer.compare(bytes(value), bytes(prefix)) >= 0 && Buffer.compare(bytes(value), bytes(endOfPrefix(prefix))) < 0
      return within(prefix + rest) && within(rest) === rest.startsWith(prefix)
    }),
  )
  t.pass('whatever the texts')
})
