import { readAnswers } from '../../helpers/answers.ts'
import type { Shot } from '../deployment.ts'
import { sendOrdinary } from '../exchange.ts'
import { broken, type Finding, held, notApplicable } from '../judge.ts'
import { bare, CHUNKED, get, ordinaryFields, post } from '../requests.ts'
import { type AttackClass, atMostOne, type Need, type Row, refused } from '../row.ts'
import { openWire } from '../wire.ts'

/** Between two bytes of what never ends: milliseconds. */
const DRIP_MS = 250
/** As much of an endless head or chunk is sent before it counts as unbounded: bytes. */
const ENDLESS = 2 * 1024 * 1024

/** Begins a request and goes on with it byte by byte: it has to be ended from the other side. */
function slow(sent: string, start: (a: Shot) => string, drip: string, needs: readonly Need[] = []): Row {
  return {
    sent,
    expected: 'ended within a bound',
    needs,
    slow: true,
    async run(shot) {
      const wire = await openWire(shot.endpoint)
      const startedAt = performance.now()
      wire.write(start(shot))
      const timer = setInterval(() => wire.write(drip), DRIP_MS)
      await wire.until(() => false, shot.slowMs)
      clearInterval(timer)
      wire.destroy()
      const seconds = `${((performance.now() - startedAt) / 1000).toFixed(1)} s`
      if (!wire.isClosed()) return notApplicable(`still open after ${seconds}; its bound may be longer (--slow)`)
      return after(shot, held(`${statusesOf(wire.received())}ended after ${seconds}`))
    },
  }
}

/** Sends without end what is bounded in any good server. */
function endless(sent: string, start: (a: Shot) => string, more: string, needs: readonly Need[] = []): Row {
  return {
    sent,
    expected: `ended before ${ENDLESS / 1024 / 1024} MiB`,
    needs,
    async run(shot) {
      const wire = await openWire(shot.endpoint)
      wire.write(start(shot))
      let bytes = 0
      const piece = more.repeat(Math.ceil(8192 / more.length))
      while (!wire.isClosed() && bytes < ENDLESS) {
        wire.write(piece)
        bytes += piece.length
        // One round trip or so between two pieces, so that the end is seen.
        await wire.until(() => false, 2)
      }
      await wire.until(() => false, shot.patienceMs)
      wire.destroy()
      const words = `${statusesOf(wire.received())}${wire.isClosed() ? 'ended' : 'still open'} after ${Math.ceil(bytes / 1024)} KiB`
      return bytes < ENDLESS || wire.isClosed() ? after(shot, held(words)) : broken(words)
    },
  }
}

/** A finding, unless others are no longer served. */
async function after(shot: Shot, finding: Finding): Promise<Finding> {
  const [answer] = await sendOrdinary(shot, `probe-${shot.marker}`)
  return answer && answer.status > 0 && answer.status < 500
    ? finding
    : broken(`${finding.observed}; others are answered with ${answer?.status ?? 'nothing'}`)
}

function statusesOf(text: string): string {
  const statuses = readAnswers(text, true).map(({ status }) => status)
  return statuses.length > 0 ? `${statuses.join(', ')}; ` : ''
}

const TOO_LARGE = { statuses: [400, 413, 414, 431] }

export const LIMITS: AttackClass = {
  id: 'limits',
  title: 'slow headers, slow bodies, huge headers',
  known: ['CVE-2018-12122', 'CVE-2018-12121'],
  holds: 'bounded in time and size; others are served meanwhile',
  alsoTestedIn: ['test/attack/connections.test.ts', 'test/sidecar/server.test.ts'],
  rows: [
    slow('a head, byte by byte', (a) => `GET ${a.path} HTTP/1.1\r\nHost: ${a.host}\r\nX-A: `, 'a'),
    slow('a head, field by field', (a) => `GET ${a.path} HTTP/1.1\r\nHost: ${a.host}\r\n`, 'X-A: a\r\n'),
    slow('a request line, byte by byte', (a) => `GET ${a.path}?`, 'a'),
    slow('empty lines before a request', () => '', '\r\n'),
    slow('a body, byte by byte', (a) => post(a, ['Content-Length: 1000000']), 'a', ['admission']),
    slow('a body, chunk by chunk', (a) => post(a, [CHUNKED]), '1\r\na\r\n', ['admission']),
    slow(
      'a body of a request that is refused, byte by byte',
      (a) => bare(`POST ${a.path} HTTP/1.1`, [`Host: ${a.host}`, 'Content-Length: 1000000']),
      'a',
      ['guard'],
    ),
    slow('a head after a request on the same connection', (a) => `${get(a)}GET ${a.path} HTTP/1.1\r\nX-A: `, 'a'),
    refused('a field of 17,000 bytes', (a) => get(a, [`X-A: ${'a'.repeat(17_000)}`]), TOO_LARGE),
    refused('a field of 200,000 bytes', (a) => get(a, [`X-A: ${'a'.repeat(200_000)}`]), TOO_LARGE),
    refused('a name of 20,000 bytes', (a) => get(a, [`${'X'.repeat(20_000)}: a`]), TOO_LARGE),
    refused('ten thousand fields', (a) => get(a, Array(10_000).fill('X-A: a')), TOO_LARGE),
    refused('a cookie of 20,000 bytes', (a) => get(a, [`Cookie: ${'a=b; '.repeat(4000)}`]), TOO_LARGE),
    atMostOne('a method of 20,000 bytes', (a) => `${'A'.repeat(20_000)} ${get(a).slice(4)}`, []),
    endless(
      'a head without end',
      (a) => `GET ${a.path} HTTP/1.1\r\nHost: ${a.host}\r\n`,
      'X-A: aaaaaaaaaaaaaaaaaaaaaaaa\r\n',
    ),
    endless('a field without end', (a) => `GET ${a.path} HTTP/1.1\r\nHost: ${a.host}\r\nX-A: `, 'a'),
    endless('a target without end', (a) => `GET ${a.path}?`, 'a'),
    endless('a chunk extension without end', (a) => post(a, [CHUNKED], '2;'), 'a', ['admission']),
    endless(
      'trailers without end',
      (a) => post(a, [CHUNKED], '2\r\nab\r\n0\r\n'),
      'X-A: aaaaaaaaaaaaaaaaaaaaaaaaaa\r\n',
      ['admission'],
    ),
    endless(
      'a body without end, of a request that is refused',
      (a) => bare(`POST ${a.path} HTTP/1.1`, [`Host: ${a.host}`, CHUNKED]),
      `1000\r\n${'a'.repeat(4096)}\r\n`,
      ['guard'],
    ),
    endless('bytes that are no request, without end', () => '', 'a'),
    refused(
      'a length of many terabytes, refused for its token',
      (a) =>
        bare(`POST ${a.path} HTTP/1.1`, [
          `Host: ${a.host}`,
          ...ordinaryFields({ ...a, token: undefined }),
          `Content-Length: ${2 ** 44}`,
        ]),
      { statuses: [401, 413], needs: ['guard'] },
    ),
  ],
}
