import fc from 'fast-check'
import { test } from 'tap'
import { MAX_EVENT_CHARACTERS, readServerSentEvents } from '../../../sidecar/feeds/server-sent-events.ts'

async function* pieces(...texts: (string | Uint8Array)[]) {
  for (const text of texts) yield typeof text === 'string' ? Buffer.from(text) : text
}

const read = (...texts: (string | Uint8Array)[]) => Array.fromAsync(readServerSentEvents(pieces(...texts)))

test('events, as the standard reads them', async (t) => {
  const rows: [string, string, object[]][] = [
    ['plain', 'data: a\n\n', [{ type: 'message', data: 'a', id: undefined }]],
    ['all fields', 'id: 7\nevent: set\ndata: a\n\n', [{ type: 'set', data: 'a', id: '7' }]],
    ['CRLF', 'event: set\r\ndata: a\r\n\r\n', [{ type: 'set', data: 'a', id: undefined }]],
    ['no space, two spaces', 'data:a\ndata:  b\n\n', [{ type: 'message', data: 'a\n b', id: undefined }]],
    ['colons', 'data: a:b: c\n\n', [{ type: 'message', data: 'a:b: c', id: undefined }]],
    [
      'comments and others',
      ': hi\nretry: 5\nfoo: bar\ndata: a\n: hi\n\n',
      [{ type: 'message', data: 'a', id: undefined }],
    ],
    ['no data is no event', 'event: set\n\nid: 1\n\n\n', []],
    [
      'the id stays',
      'id: 1\ndata: a\n\ndata: b\n\n',
      [
        { data: 'a', id: '1' },
        { data: 'b', id: '1' },
      ],
    ],
    ['the type does not', 'event: x\ndata: a\n\ndata: b\n\n', [{ type: 'x' }, { type: 'message' }]],
    ['an id with NUL', 'id: a\0b\ndata: a\n\n', [{ id: undefined }]],
    ['unfinished', 'data: a\n\ndata: b\n', [{ data: 'a' }]],
    ['empty data', 'data\n\n', [{ data: '' }]],
  ]
  for (const [name, text, wanted] of rows) {
    const events = await read(text)
    t.equal(events.length, wanted.length, name)
    t.match(events, wanted, name)
  }
})

test('however it is cut into pieces, it reads the same', async (t) => {
  const text = 'id: 1\nevent: set\ndata: ü€😀\r\ndata: b\n\n: c\n\nid: 2\ndata: second\n\n'
  const whole = await read(text)
  const bytes = Buffer.from(text)
  await fc.assert(
    fc.asyncProperty(fc.array(fc.nat(bytes.length)), async (cuts) => {
      const at = [0, ...cuts.sort((a, b) => a - b), bytes.length]
      const parts = at.slice(1).map((end, index) => bytes.subarray(at[index], end))
      t.same(await read(...parts), whole)
    }),
    { numRuns: 50 },
  )
})

test('too much without an end, and what is no UTF-8, ends the stream', async (t) => {
  const much = 'x'.repeat(MAX_EVENT_CHARACTERS / 4)
  await t.rejects(read('data: ', much, much, much, much), /too long/, 'one line')
  const lines = Array.from({ length: 5 }, () => `data: ${much}\n`)
  await t.rejects(read(...lines), /too long/, 'many lines')
  await t.rejects(read(...Array.from({ length: 5 }, () => `: ${much}\n`)), /too long/, 'comments too')
  await t.rejects(read(Uint8Array.of(0x64, 0xff, 0x0a)))
  t.equal((await read(`data: ${much}\n\n`, `data: ${much}\n\n`, `data: ${much}\n\n`, `data: ${much}\n\n`)).length, 4)
})
