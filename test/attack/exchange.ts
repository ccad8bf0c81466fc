import { type Answer, readAnswers } from '../helpers/answers.ts'
import type { Deployment } from './deployment.ts'
import type { RecordedRequest } from './recorder.ts'
import { openWire } from './wire.ts'

/** What is sent: all at once, or packet by packet. */
export type Bytes = string | readonly string[]

/** What could be seen of an attack. */
export interface Observation {
  /** Before anything else was sent on the connection. */
  answers: Answer[]
  /** Whether the connection was ended, so that nothing could be sent on it. */
  ended: boolean
  /** What came for an ordinary request afterwards on the same connection, when it was not ended. */
  after: Answer[]
  /** What came for an ordinary request on a connection of its own. */
  others: Answer[]
  /** What the service received, where that can be seen; not those ordinary requests. */
  seen: RecordedRequest[] | undefined
  /** In the answers to those ordinary requests. */
  probe: string
}

/**
 * Sends bytes and looks at what comes of them. A second answer is not waited for but asked for: an ordinary request is
 * sent behind, on the same connection and as its last, and whatever the bytes left behind in a queue comes before its
 * answer. Another ordinary request on another connection shows whether one was left in the proxy's connection to the
 * service.
 */
export async function exchange(deployment: Deployment, bytes: Bytes, marker: string): Promise<Observation> {
  const { patienceMs, recorder } = deployment
  const probe = `probe-${marker}`
  recorder?.take()
  const wire = await openWire(deployment.endpoint)
  try {
    for (const piece of typeof bytes === 'string' ? [bytes] : bytes) {
      wire.write(piece)
      await new Promise(setImmediate)
    }
    const answers = () => readAnswers(wire.received(), wire.isClosed())
    await wire.until(() => answers()[0]?.complete === true, patienceMs)
    const first = answers()
    const announced = first.some(({ headers }) => /\bclose\b/i.test(headers.get('connection') ?? ''))
    if (announced) await wire.until(() => false, patienceMs)
    const isTunnel = first[0]?.status === 101
    if (!wire.isClosed() && first.length > 0 && !isTunnel) {
      wire.write(ordinary(deployment, `${probe}-here`))
      await wire.until(() => false, patienceMs)
    }
    const all = answers()
    const own = all.findIndex(({ body }) => body.includes(`${probe}-here`))
    const after = own === -1 ? all.slice(first.length) : all.slice(own)
    const before = own === -1 ? first : all.slice(0, own)
    const others = await sendOrdinary(deployment, `${probe}-there`)
    const seen = recorder?.take().filter(({ raw }) => !raw.includes(probe) && !isOfAnother(raw, marker))
    return { answers: before, ended: wire.isClosed() && after.length === 0, after, others, seen, probe }
  } finally {
    wire.destroy()
  }
}

/** Rows may run side by side; what has no mark at all may be anything that was made of this one. */
function isOfAnother(raw: string, marker: string): boolean {
  return !raw.includes(marker) && /\r\nX-Attack: /i.test(raw)
}

/** Sends an ordinary request on a connection of its own. */
export async function sendOrdinary(deployment: Deployment, probe: string, method = 'GET'): Promise<Answer[]> {
  const wire = await openWire(deployment.endpoint)
  wire.write(ordinary(deployment, probe, method))
  await wire.until(() => false, deployment.patienceMs)
  wire.destroy()
  return readAnswers(wire.received(), true)
}

function ordinary({ path, host, token }: Deployment, probe: string, method = 'GET'): string {
  const fields = [`Host: ${host}`, `X-Attack: ${probe}`, ...credentials(token), 'Connection: close']
  const body = method === 'POST' ? 'ab' : ''
  if (body) fields.push(`Content-Length: ${body.length}`)
  return `${method} ${path} HTTP/1.1\r\n${fields.join('\r\n')}\r\n\r\n${body}`
}

/** The field that carries the token, if there is one. */
export function credentials(token: string | undefined): string[] {
  return token === undefined ? [] : [`Authorization: Bearer ${token}`]
}
