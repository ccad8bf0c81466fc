import fc from 'fast-check'
import { test } from 'tap'
import { fold, readEmail, readUsername } from '../../../issuer/domain/normal-form.ts'

test('folding is stable, and blind to case and composition', async () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (text) => {
      const folded = fold(text)
      const spellings = [folded, text.normalize('NFD'), text.normalize('NFC'), text.normalize('NFKD')]
      return spellings.every((spelling) => fold(spelling) === folded)
    }),
    { numRuns: 2000 },
  )
})

test('case of any single character makes no difference', async (t) => {
  const different: string[] = []
  for (let code = 0; code <= 0x1ffff; code++) {
    if (code >= 0xd800 && code <= 0xdfff) continue
    const character = String.fromCodePoint(code)
    const key = fold(character)
    if (fold(character.toUpperCase()) !== key || fold(character.toLowerCase()) !== key)
      different.push(code.toString(16))
  }
  t.same(different, [])
})

test('the key of an address is a fixed point', async () => {
  const part = fc.string({ unit: fc.constantFrom(...'aZ\u00df\u00c9e\u0301\u212a\uff4b.+_-\u03c2\u0130\ufb01') })
  fc.assert(
    fc.property(part, part, (local, domain) => {
      const email = readEmail(`${local}@${domain}.example`)
      return email === undefined || readEmail(email.key)?.key === email.key
    }),
    { numRuns: 2000 },
  )
})

test('any text is read without harm and within bounds', async () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 300 }), (text) => {
      const [email, username] = [readEmail(text), readUsername(text)]
      return (!email || email.text.length <= 255) && (!username || [...username.text].length <= 50)
    }),
  )
})

test('addresses', async (t) => {
  const rows: [address: string, key: string | undefined][] = [
    ['simple@example.com', 'simple@example.com'],
    ["o'neil+tag@sub.example.co", "o'neil+tag@sub.example.co"],
    ['a.b.c@example.com', 'a.b.c@example.com'],
    ['.a@example.com', undefined],
    ['a.@example.com', undefined],
    ['a..b@example.com', undefined],
    ['"a b"@example.com', undefined],
    ['a(comment)@example.com', undefined],
    ['a@localhost', undefined],
    ['a@[127.0.0.1]', undefined],
    ['a@example.com.', undefined],
    ['a@-example.com', undefined],
    ['a@example.123', undefined],
    ['a@ex%61mple.com', undefined],
    ['a@example.com/x', undefined],
    ['a@example.com:25', undefined],
    [`${'a'.repeat(64)}@example.com`, `${'a'.repeat(64)}@example.com`],
    [`${'a'.repeat(65)}@example.com`, undefined],
    ['', undefined],
    ['@', undefined],
    ['@example.com', undefined],
    ['a@', undefined],
  ]
  for (const [address, key] of rows) t.equal(readEmail(address)?.key, key, address)
})

test('user names', async (t) => {
  const rows: [name: string, key: string | undefined][] = [
    ['Alice', 'alice'],
    ['alice.b-c_d9', 'alice.b-c_d9'],
    ['\u00c5ngstr\u00f6m', '\u00e5ngstr\u00f6m'],
    ['a'.repeat(50), 'a'.repeat(50)],
    ['a'.repeat(51), undefined],
    ['alice@example.com', undefined],
    ['al ice', undefined],
    ['al\u200bice', undefined],
    ['-alice', undefined],
    ['', undefined],
    ['<script>', undefined],
  ]
  for (const [name, key] of rows) t.equal(readUsername(name)?.key, key, name)
})
