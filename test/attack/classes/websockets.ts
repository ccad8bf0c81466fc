import { randomBytes } from 'node:crypto'
import { readAnswers } from '../../helpers/answers.ts'
import type { Shot } from '../deployment.ts'
import { broken, held, notApplicable } from '../judge.ts'
import { bare } from '../requests.ts'
import type { AttackClass, Need, Row } from '../row.ts'
import { openWire, type Wire } from '../wire.ts'

function handshake(a: Shot, token: string | undefined, more: string[] = []): string {
  const key = randomBytes(16).toString('base64')
  const fields = ['Connection: Upgrade', 'Upgrade: websocket', 'Sec-WebSocket-Version: 13', `Sec-WebSocket-Key: ${key}`]
  const credential = token === undefined ? [] : [`Authorization: Bearer ${token}`]
  const target = a.websocketPath ?? a.path
  return bare(`GET ${target} HTTP/1.1`, [`Host: ${a.host}`, `X-Attack: ${a.marker}`, ...credential, ...fields, ...more])
}

/** The code of a close frame of the server's (RFC 6455 section 5.5.1), or 0. */
function closeCodeIn(text: string): number {
  const bytes = Buffer.from(text.slice(text.indexOf('\r\n\r\n') + 4), 'latin1')
  const at = bytes.lastIndexOf(0x88)
  return at >= 0 && at + 4 <= bytes.length ? bytes.readUInt16BE(at + 2) : 0
}

const statusOf = (wire: Wire) => readAnswers(wire.received(), wire.isClosed())[0]?.status

/** What a client may hope for who does not wait for the answer: that the bytes behind are taken for the tunnel's. */
function notTunnelled(sent: string, bytes: (a: Shot) => string, needs: readonly Need[]): Row {
  return {
    sent,
    expected: 'no tunnel, and nothing behind it is served undecided',
    needs,
    async run(shot) {
      shot.recorder?.take()
      const wire = await openWire(shot.endpoint)
      wire.write(bytes(shot) + bare(`GET ${shot.path} HTTP/1.1`, [`Host: ${shot.host}`, 'Connection: close']))
      await wire.until(() => false, shot.patienceMs)
      wire.destroy()
      const answers = readAnswers(wire.received(), wire.isClosed())
      const words = answers.map(({ status }) => status).join(', ') || 'no answer'
      if (answers.some(({ status }) => status === 101)) return broken(`${words}: a tunnel`)
      if (answers.slice(1).some(({ status }) => status < 400)) return broken(`${words}: what was behind was served`)
      const undecided = shot.recorder?.take().some(({ raw }) => !raw.includes(shot.marker))
      return undecided ? broken(`${words}; what was behind arrived`) : held(words)
    },
  }
}

const REVOKED: Row = {
  sent: 'a WebSocket that is open when its session is logged out',
  expected: 'ended with the close code 4401',
  needs: ['session', 'websocket'],
  slow: true,
  async run(shot) {
    const session = await shot.login!()
    const wire = await openWire(shot.endpoint)
    wire.write(handshake(shot, session.token))
    await wire.until(() => statusOf(wire) !== undefined, shot.patienceMs)
    if (statusOf(wire) !== 101) {
      wire.destroy()
      await session.logout()
      return notApplicable(`${statusOf(wire) ?? 'no answer'}: no WebSocket to end`)
    }
    await session.logout()
    const startedAt = performance.now()
    await wire.until(() => closeCodeIn(wire.received()) > 0, shot.revocationMs)
    const code = closeCodeIn(wire.received())
    const words = `${code ? `close code ${code}` : wire.isClosed() ? 'cut' : 'still open'} ${Math.round(performance.now() - startedAt)} ms after logout`
    wire.destroy()
    return code === 4401 ? held(words) : broken(words)
  },
}

export const WEBSOCKETS: AttackClass = {
  id: 'websockets',
  title: 'WebSockets: decided like every request, and ended with their session',
  known: ['CVE-2020-26892', 'GHSA-4hv6-xc92-j86g'],
  holds: 'no tunnel without a good token; open ones end when it ends',
  alsoTestedIn: [
    'test/attack/run.test.ts',
    'test/sidecar/proxy/websocket.test.ts',
    'test/sidecar/proxy/open-streams.test.ts',
  ],
  rows: [
    notTunnelled('a handshake without a token, a request behind it', (a) => handshake(a, undefined), ['guard']),
    notTunnelled('a handshake with a bad token, a request behind it', (a) => handshake(a, 'x'), ['guard']),
    notTunnelled(
      'a handshake with a token in the subprotocol',
      (a) => handshake(a, undefined, [`Sec-WebSocket-Protocol: bearer, ${a.token}`]),
      ['token'],
    ),
    notTunnelled(
      'a handshake with a length, a request as its body',
      (a) => handshake(a, a.token, [`Content-Length: ${a.hidden.length}`]) + a.hidden,
      [],
    ),
    notTunnelled(
      'a handshake in chunks',
      (a) => `${handshake(a, a.token, ['Transfer-Encoding: chunked'])}0\r\n\r\n`,
      [],
    ),
    REVOKED,
  ],
}
