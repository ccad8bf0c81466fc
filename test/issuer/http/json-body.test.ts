import fc from 'fast-check'
import { test } from 'tap'
import { readJson } from '../../../issuer/http/json-body.ts'

test('what JSON.stringify writes is read as it was', async () => {
  const noProto = (value: unknown) => !JSON.stringify(value).includes('__proto__')
  fc.assert(
    fc.property(fc.jsonValue({ stringUnit: 'grapheme' }).filter(noProto), (value) => {
      const read = readJson(Buffer.from(JSON.stringify(value)))
      return read !== undefined && JSON.stringify(read.json) === JSON.stringify(value)
    }),
    { numRuns: 1000 },
  )
})

test('a key that comes twice is found, however it is written and nested', async () => {
  const key = fc.string({ unit: 'grapheme', maxLength: 5 })
  const escaped = (text: string) =>
    `"${text.replace(/./gs, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`)}"`
  fc.assert(
    fc.property(key, fc.jsonValue({ stringUnit: 'grapheme' }), fc.boolean(), (name, value, spelled) => {
      const inner = `{${JSON.stringify(name)}:${JSON.stringify(value)},${spelled ? escaped(name) : JSON.stringify(name)}:1}`
      return [inner, `[${inner}]`, `{"a":${inner}}`, `{"a":[0,{"b":${inner}}]}`].every(
        (text) => readJson(Buffer.from(text)) === undefined,
      )
    }),
    { numRuns: 500 },
  )
})

test('what readers disagree about is refused', async (t) => {
  const rows: [name: string, bytes: Buffer | string][] = [
    ['nothing', ''],
    ['a byte order mark', '\ufeff{}'],
    ['invalid UTF-8', Buffer.from([0x22, 0xff, 0x22])],
    ['an overlong encoding', Buffer.from([0x22, 0xc0, 0xaf, 0x22])],
    ['half a character', '"\\ud800"'],
    ['half a character as key', '{"\\udc00":1}'],
    ['__proto__', '{"__proto__":{}}'],
    ['__proto__, escaped', '{"\\u005f_proto__":{}}'],
    ['a comment', '{/**/}'],
    ['a comma too many', '{"a":1,}'],
    ['two values', '{}{}'],
    ['NaN', 'NaN'],
    ['a control character', '"\u0001"'],
  ]
  for (const [name, bytes] of rows) t.equal(readJson(Buffer.from(bytes as string)), undefined, name)
  t.same(readJson(Buffer.from('{"a":{"x":1},"b":{"x":2},"c":"a\\":b"}'))?.json, { a: { x: 1 }, b: { x: 2 }, c: 'a":b' })
})

test('the largest body is read in no time', async (t) => {
  const began = performance.now()
  readJson(Buffer.from('['.repeat(8000) + ']'.repeat(8000)))
  readJson(Buffer.from(`"${'\\\\'.repeat(8000)}"`))
  readJson(Buffer.from(`{${Array.from({ length: 2000 }, (_, i) => `"${i}":1`)}}`))
  t.ok(performance.now() - began < 5000)
})
