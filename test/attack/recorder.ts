import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import type { Test } from 'tap'
import { type ReadRequest, readRequests } from './read-requests.ts'

export interface RecordedRequest extends ReadRequest {
  /** What is wrong with it, when it is not exactly a request that has but one reading. */
  malformed?: string
}

/** A service that keeps the very bytes of what it receives, and reads them with a reader of its own. */
export interface RecordingService {
  url: string
  /** Whole requests, and what was none, in the order of their ends. */
  requests: RecordedRequest[]
  /** What came since the last time it was asked. */
  take(): RecordedRequest[]
  /** What came through tunnels (after 101). */
  tunnelled(): string
}

const WEBSOCKET_GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11'

/** Starts one on a free port. It answers with the fields it received, and takes up every WebSocket. */
export async function startRecorder(t: Pick<Test, 'teardown'>): Promise<RecordingService> {
  const requests: RecordedRequest[] = []
  const sockets = new Set<Socket>()
  let taken = 0
  let tunnelled = ''
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
    socket.on('error', () => {})
    socket.setEncoding('latin1')
    let text = ''
    let isTunnel = false
    socket.on('data', (piece: string) => {
      if (isTunnel) {
        tunnelled += piece
        return
      }
      text += piece
      const read = readRequests(text)
      text = text.slice(read.end)
      for (const request of read.requests) {
        requests.push({ ...request, ...oddityOf(request) })
        const key = fieldOf(request, 'sec-websocket-key')
        if (fieldOf(request, 'upgrade')?.toLowerCase() === 'websocket' && key !== undefined) {
          isTunnel = true
          socket.write(handshake(key))
        } else {
          socket.write(echo(request))
        }
      }
      if (read.rest === 'malformed') {
        requests.push({
          method: '',
          target: '',
          fields: [],
          body: '',
          trailers: [],
          extended: false,
          raw: text,
          malformed: read.why!,
        })
        socket.destroy()
      }
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    take() {
      const since = requests.slice(taken)
      taken = requests.length
      return since
    },
    tunnelled: () => tunnelled,
  }
}

/** A proxy writes requests in one way only; what a reader may put up with from others is not to come from it. */
function oddityOf({ raw, trailers, extended }: ReadRequest): { malformed?: string } {
  if (!/^[A-Z]+ \/[!-~]* HTTP\/1\.1\r\n/.test(raw)) return { malformed: 'request line' }
  if (trailers.length > 0) return { malformed: 'trailers' }
  return extended ? { malformed: 'a chunk extension' } : {}
}

export function fieldOf({ fields }: ReadRequest, name: string): string | undefined {
  return fields.find((_, i) => i % 2 === 1 && fields[i - 1]!.toLowerCase() === name)
}

function echo({ method, target, fields, body }: ReadRequest): string {
  const text = Buffer.from(JSON.stringify({ method, target, fields, body_bytes: body.length })).toString('latin1')
  const head = `HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: ${text.length}\r\n\r\n`
  return method === 'HEAD' ? head : head + text
}

function handshake(key: string): string {
  const accept = createHash('sha1').update(`${key}${WEBSOCKET_GUID}`).digest('base64')
  return `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`
}
