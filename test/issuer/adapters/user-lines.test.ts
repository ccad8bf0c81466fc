import fc from 'fast-check'
import { test } from 'tap'
import { csvReader, parseCsvLine, readJsonLine } from '../../../issuer/adapters/user-lines.ts'

test('fields of CSV lines', async (t) => {
  const rows: [line: string, fields: string[] | undefined][] = [
    ['a,b,c', ['a', 'b', 'c']],
    ['', ['']],
    [',', ['', '']],
    ['"a,b",c', ['a,b', 'c']],
    ['"say ""hi""",', ['say "hi"', '']],
    ['a"b,c', undefined],
    ['"a', undefined],
    ['"a"b,c', undefined],
    ['a,"', undefined],
  ]
  for (const [line, fields] of rows) t.same(parseCsvLine(line), fields, line)
})

test('whatever is quoted comes out again', async () => {
  const field = fc.string({ unit: 'grapheme' }).filter((text) => !/[\r\n]/.test(text))
  fc.assert(
    fc.property(fc.array(field, { minLength: 1, maxLength: 12 }), (fields) => {
      const line = fields.map((text) => `"${text.replaceAll('"', '""')}"`).join(',')
      return JSON.stringify(parseCsvLine(line)) === JSON.stringify(fields)
    }),
  )
  fc.assert(fc.property(fc.string(), (line) => parseCsvLine(line) === undefined || parseCsvLine(line)!.length > 0))
})

test('a header names the fields, and what they hold is typed by their names', async (t) => {
  const read = csvReader('email, password_hash,is_active,roles,username')!
  t.same(read('a@b.cd,"$x,y",TRUE,"viewer; admin",'), {
    email: 'a@b.cd',
    password_hash: '$x,y',
    is_active: true,
    roles: ['viewer', 'admin'],
  })
  t.same(read('a@b.cd,x,maybe,,1'), { email: 'a@b.cd', password_hash: 'x', is_active: 'maybe', username: '1' })
  t.equal(read('a@b.cd,x'), undefined, 'fields are missing')
  t.equal(read('a,b,c,d,e,f'), undefined, 'too many')
  for (const header of ['', 'email,password', 'email,email', 'a@b.cd,hash', '"email', 'email;password_hash']) {
    t.equal(csvReader(header), undefined, header)
  }
})

test('a JSON line that is none', async (t) => {
  t.same(readJsonLine('{"email":"x"}'), { email: 'x' })
  t.equal(readJsonLine('{"email":'), undefined)
})
