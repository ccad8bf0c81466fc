import fc from 'fast-check'
import { test } from 'tap'
import { readForm } from '../../../issuer/http/form-body.ts'

test('a form is read as whatever wrote it meant it', async (t) => {
  fc.assert(
    fc.property(
      fc.dictionary(fc.string({ unit: 'grapheme' }), fc.string({ unit: 'grapheme' }), { maxKeys: 8 }),
      (form) => {
        t.same(readForm(Buffer.from(new URLSearchParams(Object.entries(form)).toString())), { ...form })
      },
    ),
    { numRuns: 300 },
  )
})

test('what two readers could read differently is refused', async (t) => {
  const rows: [name: string, body: string | Buffer, read: object | undefined][] = [
    ['an empty body', '', {}],
    ['no value', 'scope', { scope: '' }],
    ['a plus is a space', 'scope=a+b', { scope: 'a b' }],
    ['the first equals sign divides', 'token=a=b', { token: 'a=b' }],
    ['empty pairs', '&a=1&&b=2&', { a: '1', b: '2' }],
    ['UTF-8, encoded or not', 'a=%C3%BC&b=ü', { a: 'ü', b: 'ü' }],
    ['a parameter twice', 'a=1&a=2', undefined],
    ['a parameter twice, spelled otherwise', 'a=1&%61=1', undefined],
    ['a parameter twice, once empty', 'a=&a=1', undefined],
    ['half an encoding', 'a=%4', undefined],
    ['no hexadecimal', 'a=%zz', undefined],
    ['an encoding that is no UTF-8', 'a=%ff', undefined],
    ['an overlong encoding', 'a=%c0%af', undefined],
    ['half a character', 'a=%ed%a0%80', undefined],
    ['bytes that are no UTF-8', Buffer.from([0x61, 0x3d, 0xff]), undefined],
    ['too many', Array.from({ length: 33 }, (_, n) => `p${n}=1`).join('&'), undefined],
  ]
  for (const [name, body, read] of rows) t.same(readForm(Buffer.from(body as string)), read, name)
})

test('a name that means something to JavaScript is a name', async (t) => {
  const form = readForm(Buffer.from('__proto__=x&constructor=y'))!
  t.same(Object.entries(form), [
    ['__proto__', 'x'],
    ['constructor', 'y'],
  ])
  t.equal(Object.getPrototypeOf(form), Object.prototype)
})

test('any bytes are read or refused', async (t) => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => void readForm(Buffer.from(bytes))))
  t.pass()
})
