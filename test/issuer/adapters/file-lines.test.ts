import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { type Test, test } from 'tap'
import { fileLines, type Line, type LinePlace } from '../../../issuer/adapters/file-lines.ts'

async function linesOf(t: Test, content: string | Buffer, from: LinePlace = { offset: 0, lines: 0 }, max = 100) {
  const file = join(t.testdir(), 'lines')
  writeFileSync(file, content)
  const lines: Line[] = []
  for await (const line of fileLines(file, from, max)) lines.push(line)
  return lines
}

test('lines, with or without a final newline, of either kind', async (t) => {
  t.same(await linesOf(t, 'a\nüb\r\n\nc'), [
    { number: 1, text: 'a', end: 2 },
    { number: 2, text: 'üb', end: 7 },
    { number: 3, text: '', end: 8 },
    { number: 4, text: 'c', end: 9 },
  ])
  t.same(await linesOf(t, '\ufeffa\n'), [{ number: 1, text: 'a', end: 5 }])
  t.same(await linesOf(t, ''), [])
})

test('a line that is too long or not UTF-8 is passed over; the next one is read', async (t) => {
  const long = 'x'.repeat(200_000)
  t.match(await linesOf(t, `a\n${long}\nb`), [{ text: 'a' }, { number: 2, text: undefined }, { number: 3, text: 'b' }])
  const broken = Buffer.concat([Buffer.from('a\n'), Buffer.from([0xff, 0xfe]), Buffer.from('\nb')])
  t.match(await linesOf(t, broken), [{ text: 'a' }, { text: undefined }, { text: 'b' }])
})

test('from any end on, the rest is what it would have been', async (t) => {
  const line = fc.string({ maxLength: 20 }).map((text) => text.replace(/[\r\n]/g, ''))
  await fc.assert(
    fc.asyncProperty(fc.array(line, { minLength: 1, maxLength: 20 }), fc.nat(), async (texts, seed) => {
      const all = await linesOf(t, texts.join('\n'))
      if (all.length === 0) return
      const index = seed % all.length
      const { end, number } = all[index]!
      const rest = await linesOf(t, texts.join('\n'), { offset: end, lines: number })
      t.same(rest, all.slice(index + 1))
    }),
    { numRuns: 30 },
  )
})
