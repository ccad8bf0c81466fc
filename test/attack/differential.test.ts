import fc from 'fast-check'
import { type Test, test } from 'tap'
import { readAnswers } from '../helpers/answers.ts'
import { eventually } from '../helpers/eventually.ts'
import { startProxy } from '../helpers/sidecar-proxy.ts'
import { type ReadRequest, readRequests } from './read-requests.ts'
import { fieldOf, startRecorder } from './recorder.ts'
import { openWire } from './wire.ts'

// What the sidecar lets through is held against a reader of our own, which knows RFC 9112 and nothing else: whatever is
// made of a request, what arrives is a beginning of what that reader sees in the client's very bytes.

const HIDDEN = 'GET /open/hidden HTTP/1.1\r\nHost: a\r\n\r\n'
/** As it will be when the run's mark is in it. */
const HIDDEN_LENGTH = HIDDEN.length + '/r00000'.length

const BASES = [
  'GET /open HTTP/1.1\r\nHost: a\r\nX-A: b\r\n\r\n',
  `POST /open HTTP/1.1\r\nHost: a\r\nContent-Length: ${HIDDEN_LENGTH}\r\nX-A: b\r\n\r\n${HIDDEN}`,
  `POST /open HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n${HIDDEN_LENGTH.toString(16)}\r\n${HIDDEN}\r\n0\r\n\r\n`,
  `POST /open HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nX-T: t\r\n\r\n`,
  `GET /open HTTP/1.1\r\nHost: a\r\n\r\nPOST /open HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nab`,
]

/** What mutations put in. */
const PIECES = [
  ...[
    '\r',
    '\n',
    '\r\n',
    '\r\n\r\n',
    '\n\n',
    ' ',
    '\t',
    ':',
    ',',
    ';',
    '\0',
    '\x0b',
    '\x7f',
    '\xa0',
    '0',
    '1',
    '-',
    '+',
    '0x',
  ],
  ...[
    'Content-Length: 5\r\n',
    'Content-Length: 0\r\n',
    'content-length:5\r\n',
    'Content_Length: 5\r\n',
    'Content-Length : 5\r\n',
  ],
  ...['Transfer-Encoding: chunked\r\n', 'transfer-encoding: identity\r\n', 'Transfer-Encoding: gzip, chunked\r\n'],
  ...[
    '0\r\n\r\n',
    '5\r\nabcde\r\n',
    'Host: b\r\n',
    'Connection: close\r\n',
    'Expect: 100-continue\r\n',
    'Upgrade: h2c\r\n',
  ],
  ...['HTTP/1.0', 'HTTP/1.1', 'chunked', ' folded\r\n', HIDDEN],
]

type Mutation = { kind: 'insert' | 'replace' | 'delete' | 'double'; at: number; length: number; piece: string }

const mutations: fc.Arbitrary<Mutation> = fc.record({
  kind: fc.constantFrom('insert', 'insert', 'replace', 'delete', 'double'),
  at: fc.double({ min: 0, max: 1, noNaN: true }),
  length: fc.integer({ min: 1, max: 12 }),
  piece: fc.constantFrom(...PIECES),
})

/** Mostly where lines end, for there is where readers disagree. */
function mutate(text: string, { kind, at, length, piece }: Mutation): string {
  const lineEnds = [...text.matchAll(/\r\n|: /g)].map(({ index }) => index)
  const i =
    at < 0.7
      ? lineEnds[Math.floor((at / 0.7) * lineEnds.length)]! + (length % 3)
      : Math.floor(((at - 0.7) / 0.3) * text.length)
  const [before, cut, after] = [text.slice(0, i), text.slice(i, i + length), text.slice(i + length)]
  if (kind === 'insert') return before + piece + cut + after
  if (kind === 'replace') return before + piece + after
  return kind === 'delete' ? before + after : before + cut + cut + after
}

/** Cuts bytes into packets. */
function packets(text: string, cuts: number[]): string[] {
  const at = [0, ...cuts.map((cut) => Math.floor(cut * text.length)).sort((a, b) => a - b), text.length]
  return at.slice(1).map((end, i) => text.slice(at[i], end))
}

/** How long the other side may be silent before nothing more is expected: milliseconds. */
const QUIET_MS = 25

async function startBoth(t: Test) {
  const recorder = await startRecorder(t)
  const proxy = await startProxy(t, recorder.url, {
    routes: [{ name: 'open', path: '/open/**', access: 'public' }],
  })
  return { recorder, endpoint: { host: '127.0.0.1', port: proxy.port } }
}

/** @returns what is wrong, or undefined */
function difference(sent: readonly ReadRequest[], arrived: readonly ReadRequest[]): string | undefined {
  if (arrived.length > sent.length) return `${arrived.length} arrived of ${sent.length}`
  // A request that is refused does not arrive; those that do are in their order.
  let i = 0
  for (const request of arrived) {
    const meant = sent.findIndex((one, at) => at >= i && sameRequest(one, request))
    if (meant === -1) return `nobody sent ${JSON.stringify(request.raw)}`
    i = meant + 1
  }
  return undefined
}

function sameRequest(sent: ReadRequest, arrived: ReadRequest): boolean {
  if (sent.method !== arrived.method || sent.target !== arrived.target || sent.body !== arrived.body) return false
  return fieldOf(sent, 'host') === fieldOf(arrived, 'host') && fieldOf(sent, 'x-a') === fieldOf(arrived, 'x-a')
}

test('whatever is made of a request, what arrives is what was sent: never two out of one', {
  timeout: 300_000,
}, async (t) => {
  const { recorder, endpoint } = await startBoth(t)
  let served = 0
  let refused = 0
  let run = 0
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(...BASES),
      fc.array(mutations, { minLength: 0, maxLength: 3 }),
      fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 4 }),
      async (base, changes, cuts) => {
        const mark = `r${String(++run).padStart(5, '0')}`
        // After the changes, so that whatever the public route lets through has the mark.
        const text = changes.reduce(mutate, base).replaceAll('/open', `/open/${mark}`)
        const sent = readRequests(text)
        const wire = await openWire(endpoint)
        for (const packet of packets(text, cuts)) {
          wire.write(packet)
          await new Promise(setImmediate)
        }
        const answers = () => readAnswers(wire.received(), wire.isClosed())
        // Nothing comes for a part of a request, but something for everything else.
        await wire.until(
          () => answers().length >= 1,
          sent.rest === 'part' && sent.requests.length === 0 ? QUIET_MS : 500,
        )
        await wire.until(() => answers().length > sent.requests.length, QUIET_MS)
        // One of a run before, whose client did not wait, may come late.
        const take = () =>
          recorder.requests.filter(({ raw, malformed }) => malformed !== undefined || raw.includes(mark))
        // What arrived is answered, however long it takes here.
        const ok = () => answers().filter(({ status }) => status === 200).length
        await eventually(() => wire.isClosed() || ok() >= take().length, { message: JSON.stringify(text) })
        wire.destroy()
        served += ok()
        refused += answers().filter(({ status }) => status >= 400).length
        const arrived = take()
        const malformed = arrived.find((request) => request.malformed !== undefined)
        const wrong = malformed ? `malformed: ${malformed.malformed}` : difference(sent.requests, arrived)
        recorder.requests.length = 0
        if (wrong !== undefined)
          throw new Error(`${wrong}\nsent ${JSON.stringify(text)}\nanswers ${answers().map(({ status }) => status)}`)
      },
    ),
    { numRuns: 800 },
  )
  t.ok(served > 50, `${served} served`)
  t.ok(refused > 100, `${refused} refused`)
})

test('what nobody changed arrives as it is, however it is cut into packets', async (t) => {
  const { recorder, endpoint } = await startBoth(t)
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.constantFrom(...BASES), { minLength: 1, maxLength: 4 }),
      fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 8 }),
      async (bases, cuts) => {
        const text = bases.join('').replaceAll('/open', '/open/r00000')
        const sent = readRequests(text).requests
        recorder.take()
        const wire = await openWire(endpoint)
        for (const packet of packets(text, cuts)) {
          wire.write(packet)
          await new Promise(setImmediate)
        }
        const isDone = () =>
          readAnswers(wire.received(), false).filter(({ complete }) => complete).length >= sent.length
        await wire.until(isDone, 10_000)
        const statuses = readAnswers(wire.received(), false).map(({ status }) => status)
        wire.destroy()
        const arrived = recorder.take()
        return (
          statuses.every((status) => status === 200) &&
          statuses.length === sent.length &&
          arrived.length === sent.length &&
          sent.every((one, n) => sameRequest(one, arrived[n]!))
        )
      },
    ),
    { numRuns: 100 },
  )
  t.pass('100 runs')
})
