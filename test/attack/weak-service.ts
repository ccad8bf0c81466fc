import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import type { Test } from 'tap'

interface WeakRequest {
  method: string
  target: string
  fields: Record<string, string>
  raw: string
}

/**
 * A service with a naive guard, as some have been written: it believes any token it can decode, remembers it by its
 * claims, fetches keys from where the token says, takes bare line feeds, folds and every length, reads no body of what it
 * refuses, and bounds nothing. It shows that attacks can break something.
 */
export async function startWeakService(t: Pick<Test, 'teardown'>): Promise<{ url: string; port: number }> {
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.setEncoding('latin1')
    socket.on('error', () => {})
    socket.on('close', () => sockets.delete(socket))
    let text = ''
    socket.on('data', (piece: string) => {
      // Whether there is a head yet: looking through all of an endless one at each packet would take for ever.
      const isEndless = text.length > 100_000 && !/\n\r?\n|\r\r/.test(text.slice(-4) + piece)
      text += piece
      if (isEndless) return
      for (;;) {
        const request = takeRequest(text)
        if (!request) return
        text = text.slice(request.raw.length)
        answer(socket, request)
      }
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  const { port } = server.address() as AddressInfo
  return { url: `http://127.0.0.1:${port}`, port }
}

function takeRequest(text: string): WeakRequest | undefined {
  const head = /^([\s\S]*?)(?:\r\n\r\n|\n\r?\n|\r\r)/.exec(text)
  if (!head) return undefined
  const [line = '', ...lines] = head[1]!.trim().split(/[\r\n]+/)
  const [method = '', target = ''] = line.split(/\s+/)
  const fields: Record<string, string> = {}
  for (const field of lines) {
    const [name = '', ...value] = field.split(':')
    fields[name.trim().toLowerCase()] ??= value.join(':').trim()
  }
  const request = { method, target, fields }
  if (isRefused(request)) return { ...request, raw: head[0] }
  const length = Number.parseInt(fields['content-length'] ?? '0', 10) || 0
  if (text.length < head[0].length + length) return undefined
  return { ...request, raw: text.slice(0, head[0].length + length) }
}

type Head = Omit<WeakRequest, 'raw'>

function claimsOf({ fields, target }: Head): { sub?: string } | undefined {
  // Wherever something looks like a token, the first one counts.
  const words = `${fields.authorization} ${fields.cookie} ${target}`.split(/[\s;=,"]+/)
  const claims = words.find((word) => word.includes('.'))?.split('.')[1] ?? ''
  try {
    return JSON.parse(Buffer.from(claims, 'base64url').toString())
  } catch {
    return undefined
  }
}

const isRefused = (head: Head) => !head.target.startsWith('/open') && !claimsOf(head)

function answer(socket: Socket, request: WeakRequest): void {
  const { fields, raw } = request
  fetchKeys(fields.authorization ?? '')
  if (fields.upgrade !== undefined) {
    const accept = createHash('sha1')
      .update(fields['sec-websocket-key'] ?? '')
      .digest('base64')
    socket.write(`HTTP/1.1 101 Switching Protocols\r\nUpgrade: ${fields.upgrade}\r\nX-Accept: ${accept}\r\n\r\n`)
    return
  }
  const refused = isRefused(request)
  const sub = fields['x-user-id'] ?? claimsOf(request)?.sub
  const body = JSON.stringify({ raw, sub: /user-id/i.test(fields.connection ?? '') ? '' : sub })
  const head = `HTTP/1.1 ${refused ? '401 Unauthorized' : '200 OK'}\r\nContent-Length: ${body.length}\r\n\r\n`
  socket.write(head + body, 'latin1')
  if (/close/i.test(fields.connection ?? '')) socket.end()
}

/** As CVE-2018-0114 and its kin: the token says where its key is. */
function fetchKeys(authorization: string): void {
  const header = /Bearer ([\w-]+)\./.exec(authorization)?.[1] ?? ''
  const port = /http:\/\/127\.0\.0\.1:(\d+)/.exec(Buffer.from(header, 'base64url').toString())?.[1]
  if (port)
    connect(Number(port), '127.0.0.1')
      .on('error', () => {})
      .end('GET / HTTP/1.1\r\n\r\n')
}
