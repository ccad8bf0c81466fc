import { once } from 'node:events'
import { createServer, type IncomingMessage, type RequestListener } from 'node:http'
import { type AddressInfo, connect, type Socket } from 'node:net'
import type { Test } from 'tap'
import { readAnswers } from './answers.ts'

export interface RawAnswer {
  /** All bytes that came, one character each. */
  text: string
  /** The status of each answer in it. */
  statuses: number[]
  /** Whether the other side has ended the connection. */
  closed: boolean
}

export interface RawOptions {
  /** So many whole answers are waited for (1): silence before may be a busy machine's. With 0 whatever comes will do. */
  answers?: number
  /** Whether the end of the connection is waited for (no). */
  closes?: boolean
  /** Silence after all that is waited for, in milliseconds (80): is there more? */
  quietMs?: number
  /** Silence before that, in milliseconds (20,000). */
  patienceMs?: number
  /** Called whenever something has come. */
  onData?(): void
}

/**
 * Sends bytes as they are and collects what comes back, until the other side ends the connection or has been silent for
 * `quietMs` after all that was to be waited for has come, or for longer before that.
 */
export async function sendRaw(
  port: number,
  bytes: string | Buffer,
  { answers = 1, closes = false, quietMs = 80, patienceMs = 20_000, onData = () => {} }: RawOptions = {},
): Promise<RawAnswer> {
  const socket = connect(port, '127.0.0.1')
  let text = ''
  let closed = false
  const done = Promise.withResolvers<void>()
  // In four parts, between which what has come is read: after a standstill a timer is over before that.
  let silence: NodeJS.Timeout | undefined
  const awaitSilence = (ms: number) => {
    clearInterval(silence)
    let parts = 0
    silence = setInterval(() => {
      if (++parts === 4) done.resolve()
    }, ms / 4)
  }
  const statuses = () => [...text.matchAll(/HTTP\/1\.1 (\d{3}) /g)].map(([, status]) => Number(status))
  const isHead = typeof bytes === 'string' && bytes.startsWith('HEAD ')
  let isDue = false
  const silenceThatEndsIt = () => {
    if (closes) return patienceMs
    if (!isDue) {
      const begun = readAnswers(text, false)
      isDue = begun.filter(({ complete }) => complete).length >= answers
      // It may never be whole: one that is held back, or cut off. One to HEAD is whole with its head.
      if (!isDue) return begun.length < answers ? patienceMs : Math.max(isHead ? 0 : 1000, quietMs)
    }
    return quietMs
  }
  awaitSilence(patienceMs)
  socket.setEncoding('latin1')
  socket.on('data', (chunk) => {
    text += chunk
    awaitSilence(silenceThatEndsIt())
    onData()
  })
  socket.on('error', () => {})
  socket.on('end', () => {
    closed = true
    done.resolve()
  })
  socket.on('close', () => {
    closed = true
    done.resolve()
  })
  socket.write(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes)
  await done.promise
  clearInterval(silence)
  socket.destroy()
  return { text, closed, statuses: statuses() }
}

export interface RawRequest {
  method: string
  target: string
  rawHeaders: string[]
  body: string
  /** Whether the whole of it has come. */
  complete: boolean
}

export interface RawUpstream {
  url: string
  port: number
  /** What was understood: every request that began to arrive. */
  requests: RawRequest[]
  /** What came, byte by byte, over all connections. */
  bytes(): string
  sockets: Set<Socket>
}

/** A service that records both what it understands and the very bytes, and answers 200 unless told otherwise. */
export async function startRawUpstream(t: Test, answer?: RequestListener): Promise<RawUpstream> {
  const requests: RawRequest[] = []
  const pieces: Buffer[] = []
  const sockets = new Set<Socket>()
  const server = createServer((request, response) => {
    requests.push(recorded(request))
    if (answer) {
      answer(request, response)
      return
    }
    request.resume()
    request.on('end', () => response.end('served'))
  })
  // Node refuses more than a thousand fields; what others are sent is to be seen here whatever it is.
  server.maxHeadersCount = 0
  server.on('connection', (socket) => {
    sockets.add(socket)
    socket.on('data', (piece: Buffer) => pieces.push(piece))
    socket.on('close', () => sockets.delete(socket))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  const { port } = server.address() as AddressInfo
  return {
    url: `http://127.0.0.1:${port}`,
    port,
    requests,
    bytes: () => Buffer.concat(pieces).toString('latin1'),
    sockets,
  }
}

function recorded(request: IncomingMessage): RawRequest {
  const { method = '', url = '', rawHeaders } = request
  const record: RawRequest = { method, target: url, rawHeaders, body: '', complete: false }
  request.on('data', (chunk) => {
    record.body += chunk.toString('latin1')
  })
  request.on('end', () => {
    record.complete = true
  })
  return record
}

/** The values of a header, whatever its case. */
export function valuesOf(rawHeaders: readonly string[], name: string): string[] {
  return rawHeaders.filter((_, i) => i % 2 === 1 && rawHeaders[i - 1]!.toLowerCase() === name.toLowerCase())
}
