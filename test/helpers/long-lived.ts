import { createHash, randomBytes } from 'node:crypto'
import { createServer, type RequestListener, type Server } from 'node:http'
import { connect } from 'node:net'
import type { Duplex } from 'node:stream'

/** What a client holds open: a WebSocket, or an answer without an end. */
export type LongLivedKind = 'websocket' | 'events'

interface LongLived {
  kind: LongLivedKind
  /** How it ended, as its client saw it: the close code of a WebSocket, 0 for a connection that was ended. */
  ended: Promise<{ atMs: number; code: number }>
  isOpen(): boolean
  destroy(): void
}

/**
 * A service that keeps open what it is asked for: WebSockets, and event streams with one event.
 * @param otherwise answers what is not at `/events`
 */
export function createLongLivedService(otherwise: RequestListener = (_request, response) => void response.end()): {
  server: Server
  closeCodes: Map<number, number>
} {
  const closeCodes = new Map<number, number>()
  const server = createServer((request, response) => {
    response.on('error', () => {})
    if (request.url !== '/events') {
      otherwise(request, response)
      return
    }
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    response.write('data: open\n\n')
  })
  server.on('upgrade', ({ headers }, socket: Duplex) => {
    const accept = createHash('sha1').update(`${headers['sec-websocket-key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`)
    socket.write(
      `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept.digest('base64')}\r\n\r\n`,
    )
    socket.on('error', () => socket.destroy())
    socket.on('data', (frame: Buffer) => {
      const code = closeCodeOf(frame)
      if (code === undefined) return
      closeCodes.set(code, (closeCodes.get(code) ?? 0) + 1)
      // Its own Close, of the same code.
      socket.end(Buffer.from([0x88, 2, code >> 8, code & 0xff]))
    })
  })
  return { server, closeCodes }
}

/** The code of a Close frame that has arrived in one piece (RFC 6455 section 5.5.1), masked or not. */
function closeCodeOf(frame: Buffer): number | undefined {
  if (frame[0] !== 0x88 || frame.length < 4) return undefined
  const code = frame[1]! & 0x80 ? [frame[6]! ^ frame[2]!, frame[7]! ^ frame[3]!] : [frame[2]!, frame[3]!]
  return code[0]! * 256 + code[1]!
}

/**
 * Opens one and returns when it is open.
 * @throws Error when it is refused
 */
export async function openLongLived(url: string, kind: LongLivedKind, token: string): Promise<LongLived> {
  const { hostname, port } = new URL(url)
  const socket = connect(Number(port), hostname)
  const ended = Promise.withResolvers<{ atMs: number; code: number }>()
  const opened = Promise.withResolvers<void>()
  let head = ''
  socket.on('data', (chunk: Buffer) => {
    if (head.includes('\r\n\r\n')) {
      const code = closeCodeOf(chunk)
      if (code !== undefined) ended.resolve({ atMs: performance.now(), code })
      return
    }
    head += chunk.toString('latin1')
    if (!head.includes('\r\n\r\n')) return
    if (head.startsWith(kind === 'websocket' ? 'HTTP/1.1 101' : 'HTTP/1.1 200')) opened.resolve()
    else opened.reject(new Error(head.slice(0, head.indexOf('\r\n'))))
  })
  socket.on('error', (error) => opened.reject(error))
  socket.on('close', () => {
    ended.resolve({ atMs: performance.now(), code: 0 })
    opened.reject(new Error('the connection was ended'))
  })
  const upgrade = [
    'Connection: Upgrade',
    'Upgrade: websocket',
    'Sec-WebSocket-Version: 13',
    `Sec-WebSocket-Key: ${randomBytes(16).toString('base64')}`,
  ]
  const fields = ['Host: service', `Authorization: Bearer ${token}`, ...(kind === 'websocket' ? upgrade : [])]
  socket.write(`GET /${kind} HTTP/1.1\r\n${fields.join('\r\n')}\r\n\r\n`)
  await opened.promise
  return { kind, ended: ended.promise, isOpen: () => !socket.destroyed, destroy: () => socket.destroy() }
}

/** Opens many, a few at a time: a listener's queue is short. */
export async function openMany(
  count: number,
  open: (n: number) => Promise<LongLived>,
  atOnce = 64,
): Promise<LongLived[]> {
  const all: LongLived[] = []
  let next = 0
  const one = async () => {
    while (next < count) all.push(await open(next++))
  }
  await Promise.all(Array.from({ length: atOnce }, one))
  return all
}
