import { once } from 'node:events'
import {
  createSecureServer,
  createServer,
  type Http2Server,
  type IncomingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from 'node:http2'
import { type AddressInfo, connect, createServer as createNetServer, type Socket } from 'node:net'
import { type Test, test } from 'tap'
import { WebSocket } from 'ws'
import { DEFAULT_ROUTE, type Route } from '../../../sidecar/domain/route.ts'
import { eventually } from '../../helpers/eventually.ts'
import { sendRaw } from '../../helpers/raw-http.ts'
import { type ProxyOptions, startProxy } from '../../helpers/sidecar-proxy.ts'
import { temporaryFolder } from '../../helpers/temporary-folder.ts'
import { createAuthority } from '../../servers/certificates.ts'
import { onPath } from '../../servers/command.ts'

const open = (more: Partial<Route> = {}): ProxyOptions => ({
  routes: [{ name: 'open', path: '/**', access: 'public', ...more }],
})
const GET = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n'

type OnStream = (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => void

interface Http2Upstream {
  url: string
  port: number
  sessions: Set<ServerHttp2Session>
  /** Sessions there have been. */
  connections: number
  requests: IncomingHttpHeaders[]
}

async function started(t: Test, server: Http2Server, scheme: string, onStream: OnStream): Promise<Http2Upstream> {
  const sessions = new Set<ServerHttp2Session>()
  const requests: IncomingHttpHeaders[] = []
  const upstream = { url: '', port: 0, sessions, connections: 0, requests }
  server.on('session', (session) => {
    upstream.connections++
    sessions.add(session)
    session.on('error', () => {})
    session.on('close', () => sessions.delete(session))
  })
  server.on('stream', (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => {
    requests.push(headers)
    stream.on('error', () => {})
    onStream(stream, headers)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    for (const session of sessions) session.destroy()
    server.close()
  })
  upstream.port = (server.address() as AddressInfo).port
  upstream.url = `${scheme}://localhost:${upstream.port}`
  return upstream
}

const startUpstream = (t: Test, onStream: OnStream) => started(t, createServer(), 'h2c', onStream)

test('requests and answers, with bodies both ways and what HTTP/2 has no place for left out', async (t) => {
  const bodies: string[] = []
  const upstream = await startUpstream(t, (stream, headers) => {
    let body = ''
    stream.setEncoding('latin1').on('data', (chunk) => {
      body += chunk
    })
    stream.on('end', () => {
      bodies.push(body)
      const fields = { ':status': 200, 'x-one': '1', 'set-cookie': ['a=1', 'b=2'] }
      if (headers[':path'] === '/204') stream.respond({ ':status': 204 }, { endStream: true })
      else if (headers[':path'] === '/304')
        stream.respond({ ':status': 304, 'content-length': '9' }, { endStream: true })
      else if (headers[':method'] === 'HEAD') stream.respond({ ...fields, 'content-length': '5' }, { endStream: true })
      else {
        stream.respond(fields)
        stream.end('hello')
      }
    })
  })
  const proxy = await startProxy(t, upstream.url, { ...open(), forwardToken: true })
  const ask = (bytes: string) => sendRaw(proxy.port, bytes, { quietMs: 30 })
  const plain = await ask(
    'GET /a?b=c HTTP/1.1\r\nHost: shop.example\r\nX-Twice: 1\r\nX-Twice: 2\r\nTE: trailers, gzip\r\nConnection: keep-alive, X-Gone\r\nX-Gone: 1\r\nKeep-Alive: 5\r\nX-User-Id: evil\r\n\r\n',
  )
  t.match(
    plain.text,
    /^HTTP\/1\.1 200 OK\r\n[\s\S]*x-one: 1\r\n[\s\S]*set-cookie: a=1\r\nset-cookie: b=2\r\n[\s\S]*hello/,
  )
  t.notMatch(plain.text, /:status/)
  const [headers] = upstream.requests
  t.match(headers, {
    ':method': 'GET',
    ':path': '/a?b=c',
    ':scheme': 'http',
    ':authority': 'shop.example',
    'x-twice': '1, 2',
    te: 'trailers',
    'x-forwarded-host': 'shop.example',
  })
  for (const name of ['connection', 'keep-alive', 'x-gone', 'x-user-id', 'host']) t.notOk(headers?.[name], name)
  for (const [fields, body] of [
    ['Content-Length: 5\r\n', 'a\0b\xffc'],
    ['Transfer-Encoding: chunked\r\n', '3\r\na\0b\r\n2\r\n\xffc\r\n0\r\nX-User-Id: evil\r\n\r\n'],
  ] as const) {
    t.same((await ask(`POST / HTTP/1.1\r\nHost: a\r\n${fields}\r\n${body}`)).statuses, [200])
    t.equal(bodies.at(-1), 'a\0b\xffc')
  }
  t.match((await ask('HEAD / HTTP/1.1\r\nHost: a\r\n\r\n')).text, /content-length: 5\r\n[\s\S]*\r\n\r\n$/)
  t.match((await ask('GET /204 HTTP/1.1\r\nHost: a\r\n\r\n')).text, /^HTTP\/1\.1 204 /)
  t.match((await ask('GET /304 HTTP/1.1\r\nHost: a\r\n\r\n')).text, /^HTTP\/1\.1 304 /)
  t.match((await ask('GET / HTTP/1.0\r\n\r\n')).text, /hello$/)
  t.equal(upstream.requests.at(-1)?.[':authority'], `localhost:${upstream.port}`, 'no Host: the upstream’s own')
  t.equal(upstream.connections, 1)
})

test('many requests at once on one connection, and another where the service takes no more', async (t) => {
  const held: ServerHttp2Stream[] = []
  const server = createServer({ settings: { maxConcurrentStreams: 10 } })
  const upstream = await started(t, server, 'h2c', (stream) => void held.push(stream))
  const proxy = await startProxy(t, upstream.url, open())
  const first = sendRaw(proxy.port, GET)
  await eventually(() => held.length === 1)
  const more = Array.from({ length: 14 }, () => sendRaw(proxy.port, GET))
  await eventually(() => held.length === 15)
  t.equal(upstream.connections, 2)
  t.equal(proxy.upstreams.of(DEFAULT_ROUTE).size, 2)
  for (const stream of held) {
    stream.respond({ ':status': 200 })
    stream.end('served')
  }
  for (const { statuses } of await Promise.all([first, ...more])) t.same(statuses, [200])
})

test('early hints and trailers, also for a client that reads slowly', async (t) => {
  const size = 3 * 1024 * 1024
  const upstream = await startUpstream(t, (stream) => {
    stream.additionalHeaders({ ':status': 103, link: '</a.css>' })
    stream.respond({ ':status': 200 }, { waitForTrailers: true })
    stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0', 'set-cookie': 'a=1' }))
    stream.end(Buffer.alloc(size, 'x'))
  })
  const proxy = await startProxy(t, upstream.url, open())
  const socket = connect(proxy.port, '127.0.0.1')
  socket.write(GET)
  await once(socket, 'readable')
  // All that fits between the two is under way before anything more is read.
  await new Promise((resolve) => setTimeout(resolve, 200))
  let text = ''
  socket.setEncoding('latin1').on('data', (chunk) => {
    text += chunk
  })
  await eventually(() => text.endsWith('grpc-status: 0\r\n\r\n'), { within: 60_000 })
  t.match(text, /^HTTP\/1\.1 103 [^\r]*\r\nlink: <\/a\.css>\r\n\r\nHTTP\/1\.1 200 /)
  t.equal(
    text.match(/x{10,}/g)?.reduce((sum, piece) => sum + piece.length, 0),
    size,
  )
  t.notMatch(text, 'set-cookie')
  socket.destroy()
})

/** Speaks HTTP/2 by hand: answers each request with a head and part of a body, and leaves the rest to the test. */
async function startBareUpstream(
  t: Test,
  fields: Buffer,
  onFrame: (type: number, flags: number, code: number) => void = () => {},
) {
  const begun: [socket: Socket, id: number][] = []
  const sockets = new Set<Socket>()
  const server = createNetServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => {})
    // Nothing is to wait for an acknowledgement when the end comes.
    socket.setNoDelay()
    socket.write(frame(4, 0, 0))
    let bytes = Buffer.alloc(0)
    let preface = 24
    socket.on('data', (chunk: Buffer) => {
      bytes = Buffer.concat([bytes, chunk])
      if (bytes.length < preface) return
      bytes = bytes.subarray(preface)
      preface = 0
      while (bytes.length >= 9 && bytes.length >= 9 + bytes.readUIntBE(0, 3)) {
        const [length, type, flags, id] = [bytes.readUIntBE(0, 3), bytes[3]!, bytes[4]!, bytes.readUInt32BE(5)]
        if (id > 0) onFrame(type, flags, length === 4 ? bytes.readUInt32BE(9) : 0)
        bytes = bytes.subarray(9 + length)
        if (type === 4 && (flags & 1) === 0) socket.write(frame(4, 1, 0))
        if (type !== 1) continue
        socket.write(Buffer.concat([frame(1, 4, id, Buffer.concat([STATUS_200, fields])), frame(0, 0, id, 'part')]))
        begun.push([socket, id])
      }
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return { url: `h2c://127.0.0.1:${(server.address() as AddressInfo).port}`, begun }
}

// HPACK (RFC 7541 appendix A): an indexed `:status: 200`; a literal `content-length: 10`.
const STATUS_200 = Buffer.from([0x88])
const LENGTH_10 = Buffer.from([0x0f, 0x0d, 0x02, 0x31, 0x30])

function frame(type: number, flags: number, id: number, payload: Buffer | string = ''): Buffer {
  const head = Buffer.alloc(9)
  head.writeUIntBE(Buffer.byteLength(payload), 0, 3)
  head[3] = type
  head[4] = flags
  head.writeUInt32BE(id, 5)
  return Buffer.concat([head, Buffer.from(payload)])
}

function reset(code: number) {
  const payload = Buffer.alloc(4)
  payload.writeUInt32BE(code)
  return (socket: Socket, id: number) => socket.write(frame(3, 0, id, payload))
}

test('the upstream breaks off: the client sees that something is missing', async (t) => {
  const rows: [name: string, fields: Buffer, end: (socket: Socket, id: number) => void][] = [
    ['reset: INTERNAL_ERROR', Buffer.alloc(0), reset(2)],
    ['reset: CANCEL', Buffer.alloc(0), reset(8)],
    ['reset: REFUSED_STREAM', Buffer.alloc(0), reset(7)],
    ['reset: NO_ERROR before the promised length', LENGTH_10, reset(0)],
    ['an end before the promised length', LENGTH_10, (socket, id) => socket.write(frame(0, 1, id))],
    ['the connection ends', Buffer.alloc(0), (socket) => socket.end()],
    ['the connection is reset', Buffer.alloc(0), (socket) => socket.resetAndDestroy()],
    ['no HTTP/2', Buffer.alloc(0), (socket) => socket.write('HTTP/1.1 400 Bad Request\r\n\r\n')],
  ]
  for (const [name, fields, end] of rows) {
    const upstream = await startBareUpstream(t, fields)
    const proxy = await startProxy(t, upstream.url, open())
    for (const request of [GET, 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc']) {
      const client = connect(proxy.port, '127.0.0.1')
      client.on('error', () => {})
      let text = ''
      client.setEncoding('latin1').on('data', (chunk) => {
        text += chunk
      })
      client.write(request)
      await eventually(() => text.includes('part'), { message: name })
      end(...upstream.begun.at(-1)!)
      await eventually(() => client.closed, { message: `${name}: cut` })
      t.match(text, /200 OK[\s\S]*part/, name)
      t.notMatch(text, /\r\n0\r\n/, `${name}: no end is claimed`)
    }
    await eventually(() => proxy.openStreams.size === 0)
  }
})

test('failures before the answer', async (t) => {
  const silentSockets: Socket[] = []
  const silent = createNetServer((socket) => void silentSockets.push(socket))
  silent.listen(0, '127.0.0.1')
  await once(silent, 'listening')
  t.teardown(() => {
    for (const socket of silentSockets) socket.destroy()
    silent.close()
  })
  const refuses = await startUpstream(t, (stream) => stream.close(7))
  const dies = await startUpstream(t, (stream) => stream.session?.destroy())
  const hangs = await startUpstream(t, () => {})
  const says = await startUpstream(t, (stream) => stream.close(0))
  const hints = await startUpstream(t, (stream) => {
    stream.additionalHeaders({ ':status': 103 })
    stream.close(0)
  })
  const rows: [name: string, url: string, status: number, code: string][] = [
    ['nobody there', 'h2c://127.0.0.1:1', 502, 'upstream_unreachable'],
    ['no such name', 'h2c://nobody.invalid', 502, 'upstream_unreachable'],
    ['the request is refused', refuses.url, 502, 'upstream_failed'],
    ['the connection is lost', dies.url, 502, 'upstream_failed'],
    ['the stream ends without an answer', says.url, 502, 'upstream_failed'],
    ['the stream ends after a hint', hints.url, 502, 'upstream_failed'],
    ['silence', hangs.url, 504, 'upstream_timeout'],
    ['silence from the start', `h2c://127.0.0.1:${(silent.address() as AddressInfo).port}`, 504, 'upstream_timeout'],
  ]
  for (const [name, url, status, code] of rows) {
    const proxy = await startProxy(t, url, open({ timeoutMs: status === 504 ? 300 : 30_000 }))
    for (const request of [GET, 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nab']) {
      const answer = await sendRaw(proxy.port, request, { patienceMs: 30_000 })
      t.same(
        answer.statuses.filter((one) => one >= 200),
        [status],
        `${name}: ${answer.text.slice(-200)}`,
      )
      t.match(answer.text, `"code":"${code}"`, name)
    }
    await eventually(() => proxy.openStreams.size === 0)
  }
  t.equal(refuses.requests.length, 2, 'nothing is sent a second time')
  t.equal(dies.requests.length, 2)
})

test('a connection that nothing comes from any more is given up, whatever it is that is sent on it', async (t) => {
  const [SETTINGS, HEADERS] = [4, 1]
  let connections = 0
  const sockets = new Set<Socket>()
  const server = createNetServer({ allowHalfOpen: true }, (socket) => {
    const isDead = ++connections === 1
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket)).on('error', () => {})
    socket.write(frame(SETTINGS, 0, 0))
    let bytes = Buffer.alloc(0)
    let preface = 24
    socket.on('data', (chunk: Buffer) => {
      bytes = Buffer.concat([bytes, chunk])
      if (bytes.length < preface) return
      bytes = bytes.subarray(preface)
      preface = 0
      while (bytes.length >= 9 && bytes.length >= 9 + bytes.readUIntBE(0, 3)) {
        const [length, type, id] = [bytes.readUIntBE(0, 3), bytes[3]!, bytes.readUInt32BE(5)]
        bytes = bytes.subarray(9 + length)
        if (type === HEADERS && !isDead) socket.write(frame(HEADERS, 5, id, STATUS_200))
      }
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  const url = `h2c://127.0.0.1:${(server.address() as AddressInfo).port}`
  const proxy = await startProxy(t, url, open({ timeoutMs: 300 }))
  const statuses: number[] = []
  await eventually(
    async () => {
      const post = 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc'
      statuses.push(...(await sendRaw(proxy.port, post)).statuses)
      return statuses.at(-1) === 200
    },
    { within: 60_000 },
  )
  t.equal(statuses[0], 504)
  const { upstreams } = proxy
  await eventually(() => upstreams.of(DEFAULT_ROUTE).size === 1, { within: 60_000, message: 'it is let go' })
})

test('an answer that is nothing but its head is not reset, whatever length it names', async (t) => {
  const codes: number[] = []
  const upstream = await startUpstream(t, (stream) => {
    stream.on('close', () => codes.push(stream.rstCode ?? -1))
    stream.respond({ ':status': 304, 'content-length': '10' }, { endStream: true })
  })
  const proxy = await startProxy(t, upstream.url, open())
  t.same((await sendRaw(proxy.port, `${GET}${GET}`, { answers: 2 })).statuses, [304, 304])
  await eventually(() => codes.length === 2)
  t.same(codes, [0, 0])
})

test('a service that is only slow keeps its connection', async (t) => {
  const upstream = await startUpstream(t, (stream, { ':path': path }) => {
    stream.resume()
    if (path === '/slow') return
    stream.respond({ ':status': 200 })
    stream.end('served')
  })
  const proxy = await startProxy(t, upstream.url, open({ timeoutMs: 1000 }))
  const post = 'POST /slow HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc'
  for (let n = 0; n < 3; n++) t.same((await sendRaw(proxy.port, post)).statuses, [504])
  t.same((await sendRaw(proxy.port, GET)).statuses, [200])
  t.equal(upstream.connections, 1)
})

test('the bytes of a field are the same on either side, whatever they encode', async (t) => {
  const bytes = (text: string) => Buffer.from(text).toString('latin1')
  const upstream = await startUpstream(t, (stream) => {
    stream.respond({ ':status': 200, 'x-answer': bytes('Zoë') })
    stream.end('served')
  })
  const proxy = await startProxy(t, upstream.url, open())
  const fields = `X-Utf8: ${bytes('Zoë 日本')}\r\nCookie: name=${bytes('Zoë')}\r\nX-Ascii: plain\r\nX-Latin1: Zo\xeb\r\n`
  const { text } = await sendRaw(proxy.port, `GET / HTTP/1.1\r\nHost: a\r\n${fields}\r\n`)
  t.match(upstream.requests[0], { 'x-utf8': bytes('Zoë 日本'), cookie: `name=${bytes('Zoë')}`, 'x-ascii': 'plain' })
  t.equal(upstream.requests[0]?.['x-latin1'], 'Zo\xeb')
  t.match(text, `x-answer: ${bytes('Zoë')}\r\n`)
})

test('a connection that is going away takes no more requests, and finishes what it has', async (t) => {
  const held: ServerHttp2Stream[] = []
  const upstream = await startUpstream(t, (stream, { ':path': path }) => {
    if (path === '/held') held.push(stream)
    else {
      stream.respond({ ':status': 200 })
      stream.end('served')
    }
  })
  const proxy = await startProxy(t, upstream.url, open())
  const first = sendRaw(proxy.port, GET.replace('/', '/held'))
  await eventually(() => held.length === 1)
  const [session] = upstream.sessions
  session!.goaway(0)
  await eventually(async () => {
    t.same((await sendRaw(proxy.port, GET)).statuses, [200])
    return upstream.connections === 2
  })
  held[0]!.respond({ ':status': 200 })
  held[0]!.end('at last')
  t.match((await first).text, /200 OK[\s\S]*at last/)
  await eventually(() => upstream.sessions.size === 1, { message: 'the old connection ends' })
})

test('the client goes: the request ends, and others on the same connection go on', async (t) => {
  const streams: ServerHttp2Stream[] = []
  const upstream = await startUpstream(t, (stream, { ':path': path }) => {
    streams.push(stream)
    stream.resume()
    if (path === '/begun') {
      stream.respond({ ':status': 200 })
      stream.write('part')
    }
  })
  const proxy = await startProxy(t, upstream.url, open())
  const kept = sendRaw(proxy.port, GET)
  await eventually(() => streams.length === 1)
  for (const bytes of [
    GET,
    GET.replace('/', '/begun'),
    'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nabc',
  ]) {
    const before = streams.length
    const client = connect(proxy.port, '127.0.0.1')
    client.write(bytes)
    await eventually(() => streams.length === before + 1)
    client.destroy()
    await eventually(() => streams.at(-1)!.closed, { message: bytes })
    t.equal(streams.at(-1)!.rstCode, 8)
  }
  streams[0]!.respond({ ':status': 200 })
  streams[0]!.end('served')
  t.same((await kept).statuses, [200])
  t.equal(upstream.connections, 1)
})

test('a slow reader slows its own answer down and nobody else’s', async (t) => {
  let sent = 0
  const upstream = await startUpstream(t, (stream, { ':path': path }) => {
    stream.respond({ ':status': 200 })
    if (path !== '/pour') return stream.end('quick')
    const piece = Buffer.alloc(64 * 1024)
    const pour = () => {
      while (sent < 256 * 1024 * 1024 && !stream.destroyed) {
        sent += piece.length
        if (!stream.write(piece)) return void stream.once('drain', pour)
      }
      stream.end()
    }
    pour()
  })
  const proxy = await startProxy(t, upstream.url, open())
  const slow = connect(proxy.port, '127.0.0.1')
  slow.pause()
  slow.write(GET.replace('/', '/pour'))
  let before = -1
  await eventually(
    () => {
      const still = sent > 0 && sent === before
      before = sent
      return still
    },
    { every: 150 },
  )
  t.ok(sent < 32 * 1024 * 1024, `${sent} bytes were taken from the upstream`)
  t.match((await sendRaw(proxy.port, GET)).text, /quick/)
  t.equal(upstream.connections, 1)
  slow.destroy()
})

test('a slow upstream slows the uploader down; an early answer ends the upload', async (t) => {
  const upstream = await startUpstream(t, (stream, { ':path': path }) => {
    if (path !== '/early') return void stream.pause()
    stream.respond({ ':status': 413 })
    stream.end('too much')
  })
  const proxy = await startProxy(t, upstream.url, open({ bodyLimit: 2 ** 40 }))
  const early = await sendRaw(proxy.port, 'POST /early HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nabc', {
    closes: true,
  })
  t.same(early.statuses, [413])
  t.match(early.text, /connection: close[\s\S]*too much/i)
  t.ok(early.closed)
  const socket = connect(proxy.port, '127.0.0.1')
  socket.on('error', () => {})
  socket.write(`POST / HTTP/1.1\r\nHost: a\r\nContent-Length: ${2 ** 30}\r\n\r\n`)
  const piece = Buffer.alloc(256 * 1024)
  let sent = 0
  const pour = () => {
    while (sent < 256 * 1024 * 1024) {
      sent += piece.length
      if (!socket.write(piece)) return void socket.once('drain', pour)
    }
  }
  pour()
  let before = -1
  await eventually(
    () => {
      const still = sent === before
      before = sent
      return still
    },
    { every: 150 },
  )
  t.ok(sent < 32 * 1024 * 1024, `${sent} bytes were taken from the client`)
  for (const session of upstream.sessions) session.destroy()
  await eventually(() => proxy.openStreams.size === 0)
  socket.destroy()
})

test('of an upload that is broken off no half is taken for the whole', async (t) => {
  const [HEADERS, DATA, RST_STREAM] = [1, 0, 3]
  for (const [name, fields, more] of [
    ['the client goes, with a length', 'Content-Length: 100\r\n\r\nabc', undefined],
    ['the client goes, in chunks', 'Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n', undefined],
    ['more than the limit', 'Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n', '3\r\ndef\r\n'],
  ] as const) {
    const frames: number[][] = []
    const record = (...seen: number[]) => void frames.push(seen)
    const { url } = await startBareUpstream(t, Buffer.alloc(0), record)
    const proxy = await startProxy(t, url, open({ bodyLimit: more ? 4 : 1000 }))
    const client = connect(proxy.port, '127.0.0.1')
    client.on('error', () => {})
    client.write(`PUT / HTTP/1.1\r\nHost: a\r\n${fields}`)
    await eventually(() => frames.length === 2)
    if (more) client.write(more)
    else client.destroy()
    await eventually(() => frames.length === 3)
    t.same(
      frames.map(([type]) => type),
      [HEADERS, DATA, RST_STREAM],
      name,
    )
    t.ok(
      frames.every(([type, flags = 0]) => type === RST_STREAM || (flags & 1) === 0),
      `${name}: no END_STREAM`,
    )
    t.equal(frames[2]![2], 8, 'CANCEL')
    client.destroy()
    await eventually(() => proxy.openStreams.size === 0)
  }
})

test('a WebSocket is refused: HTTP/2 has no upgrades', async (t) => {
  const upstream = await startUpstream(t, () => {})
  const proxy = await startProxy(t, upstream.url, open())
  const socket = new WebSocket(`ws://127.0.0.1:${proxy.port}/`)
  socket.on('error', () => {})
  const [, response] = await once(socket, 'unexpected-response')
  t.equal(response.statusCode, 400)
  t.match(await proxy.metrics.metrics(), /outcome="denied",reason="upgrade_to_http2"\} 1/)
  t.equal(upstream.requests.length, 0)
  await eventually(() => proxy.openStreams.size === 0)
})

const skip = onPath('openssl') === undefined && 'there is no openssl'

test('over TLS: by ALPN, with a certificate of a trusted authority for the upstream’s own name', {
  skip,
}, async (t) => {
  const authority = await createAuthority(temporaryFolder(t))
  const { cert, key } = await authority.issue('service')
  const upstream = await started(t, createSecureServer({ cert, key }), 'h2', (stream, headers) => {
    stream.respond({ ':status': 200 })
    stream.end(String(headers[':scheme']))
  })
  const trusting = { ...open(), upstreamCa: authority.ca }
  for (const host of ['localhost', '127.0.0.1']) {
    const proxy = await startProxy(t, `h2://${host}:${upstream.port}`, trusting)
    for (const name of ['shop.example', 'evil.example']) {
      const answer = await sendRaw(proxy.port, `GET / HTTP/1.1\r\nHost: ${name}\r\n\r\n`)
      t.match(answer.text, /200 OK[\s\S]*https/)
    }
  }
  t.equal(upstream.connections, 2, 'whatever Host says')
  for (const [url, options] of [
    [`h2://localhost:${upstream.port}`, open()],
    [`h2://127.0.0.2:${upstream.port}`, trusting],
  ] as const) {
    const answer = await sendRaw((await startProxy(t, url, options)).port, 'GET / HTTP/1.1\r\nHost: localhost\r\n\r\n')
    t.same(answer.statuses, [502], url)
    t.match(answer.text, /upstream_unreachable/)
  }
  t.equal(upstream.requests.length, 4)
})
