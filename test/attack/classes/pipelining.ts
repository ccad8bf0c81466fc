import { readAnswers } from '../../helpers/answers.ts'
import type { Shot } from '../deployment.ts'
import { sendOrdinary } from '../exchange.ts'
import { broken, type Finding, held } from '../judge.ts'
import { bare, get } from '../requests.ts'
import type { AttackClass, Need, Row } from '../row.ts'
import { openWire } from '../wire.ts'

const refusedOne = (a: Shot) => bare(`GET ${a.path}/../x HTTP/1.1`, [`Host: ${a.host}`])
const unauthorizedOne = (a: Shot) => bare(`GET ${a.path} HTTP/1.1`, [`Host: ${a.host}`])
const last = (a: Shot) => get(a, ['Connection: close'])

/** Sends requests all at once, and looks at the answers in their order when the connection has ended. */
function pipelined(
  sent: string,
  expected: string,
  bytes: (a: Shot) => string,
  holds: (statuses: number[], a: Shot) => boolean,
  needs: readonly Need[] = ['admission'],
): Row {
  return {
    sent,
    expected,
    needs,
    async run(shot): Promise<Finding> {
      shot.recorder?.take()
      const wire = await openWire(shot.endpoint)
      wire.write(bytes(shot))
      await wire.until(() => false, shot.patienceMs)
      wire.destroy()
      const statuses = readAnswers(wire.received(), wire.isClosed()).map(({ status }) => status)
      const words = `${shortened(statuses)}${wire.isClosed() ? ', end of the connection' : ''}`
      if (!holds(statuses, shot)) return broken(words)
      const seen = shot.recorder?.take()
      if (seen?.some(({ malformed }) => malformed)) return broken(`${words}; malformed ones arrived`)
      // What was answered has arrived; of the others, whose client has gone, any number may have.
      const served = statuses.filter((status) => status === shot.servedStatus).length
      if (seen && seen.length < served) return broken(`${words}; ${seen.length} arrived`)
      const [answer] = await sendOrdinary(shot, `probe-${shot.marker}`)
      return answer?.status === shot.servedStatus
        ? held(words)
        : broken(`${words}; others are answered with ${answer?.status}`)
    },
  }
}

function shortened(statuses: number[]): string {
  return statuses.length > 6 ? `${statuses.length} answers` : statuses.join(', ') || 'no answer'
}

const inOrder =
  (...expected: ('served' | number)[]) =>
  (statuses: number[], { servedStatus }: Shot) =>
    statuses.join() === expected.map((status) => (status === 'served' ? servedStatus : status)).join()

/** The first ones, if any, in order, and no more: what comes behind may not be answered as if it were a request. */
const atMost =
  (...expected: ('served' | number)[]) =>
  (statuses: number[], { servedStatus }: Shot) =>
    statuses.length <= expected.length &&
    statuses.every((status, i) => (expected[i] === 'served' ? status === servedStatus : status >= 400 && status < 500))

export const PIPELINING: AttackClass = {
  id: 'pipelining',
  title: 'several requests at once on one connection',
  known: ['CVE-2026-71324'],
  holds: 'each is decided, forwarded and answered by itself and in its turn; what is no request ends the connection',
  alsoTestedIn: ['test/attack/connections.test.ts'],
  rows: [
    pipelined(
      'three good requests',
      'three answers',
      (a) => get(a) + get(a) + last(a),
      inOrder('served', 'served', 'served'),
    ),
    pipelined(
      'one without a token between two good ones',
      'served, 401, served',
      (a) => get(a) + unauthorizedOne(a) + last(a),
      inOrder('served', 401, 'served'),
      ['token'],
    ),
    pipelined(
      'one that is refused for its target between two good ones',
      'served, 400, served',
      (a) => get(a) + refusedOne(a) + last(a),
      inOrder('served', 400, 'served'),
    ),
    pipelined(
      'one with somebody else’s token first (there is none), then one without',
      '401, 401',
      (a) =>
        bare(`GET ${a.path} HTTP/1.1`, [`Host: ${a.host}`, 'Authorization: Bearer x']) +
        bare(`GET ${a.path} HTTP/1.1`, [`Host: ${a.host}`, 'Connection: close']),
      inOrder(401, 401),
      ['guard', 'admission'],
    ),
    pipelined(
      'a good request, nonsense behind it',
      'at most its answer and a refusal',
      (a) => `${get(a)}NONSENSE\r\n\r\n`,
      atMost('served', 400),
    ),
    pipelined(
      'a last request (Connection: close), another behind it',
      'at most one answer',
      (a) => last(a) + a.hidden,
      atMost('served'),
    ),
    pipelined(
      'a request, CONNECT behind it',
      'at most its answer and a refusal',
      (a) => `${get(a)}CONNECT evil.example:80 HTTP/1.1\r\nHost: evil.example\r\n\r\n${a.hidden}`,
      atMost('served', 405),
    ),
    pipelined(
      'a request, an upgrade to h2c behind it',
      'at most its answer and a refusal',
      (a) => get(a) + get(a, ['Connection: Upgrade', 'Upgrade: h2c']) + a.hidden,
      atMost('served', 400),
    ),
    pipelined(
      'two thousand good requests',
      'a bounded number is taken',
      (a) => get(a).repeat(2000),
      (statuses) => statuses.length <= 2000,
    ),
  ],
}
