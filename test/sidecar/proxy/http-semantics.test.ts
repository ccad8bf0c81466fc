import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { type Test, test } from 'tap'
import { eventually } from '../../helpers/eventually.ts'
import { sendRaw, startRawUpstream } from '../../helpers/raw-http.ts'
import { type ProxyOptions, startProxy } from '../../helpers/sidecar-proxy.ts'
import { startUnreadClient } from '../../helpers/unread-answers.ts'

// What RFC 9110 and RFC 9112 ask of a gateway and forward.test.ts does not show, against upstreams that are only sockets.

const OPEN: ProxyOptions = { routes: [{ name: 'open', path: '/**', access: 'public' }] }
const GET = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n'

/** Answers each piece that comes as the test says. */
async function startBareUpstream(t: Test, onData: (socket: Socket, text: string) => void): Promise<string> {
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket)
    // Nothing is to wait for an acknowledgement when the end comes.
    socket.setNoDelay()
    socket.on('error', () => {})
    socket.on('data', (chunk) => onData(socket, chunk.toString('latin1')))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

test('an answer may begin, and go on, while the request is still on its way', async (t) => {
  const upstream = await startRawUpstream(t, (request, response) => {
    response.writeHead(200).flushHeaders()
    request.on('data', (chunk) => response.write(`<${chunk}>`))
    request.on('end', () => response.end('.'))
  })
  const proxy = await startProxy(t, upstream.url, OPEN)
  const client = connect(proxy.port, '127.0.0.1')
  t.teardown(() => client.destroy())
  let text = ''
  client.setEncoding('latin1').on('data', (chunk) => {
    text += chunk
  })
  client.write('POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n')
  // undici sends a head together with the first of its body.
  for (const word of ['one', 'two', 'three']) {
    client.write(`${word.length.toString(16)}\r\n${word}\r\n`)
    await eventually(() => text.includes(`<${word}>`), { message: `an echo of ${word} before the next is sent` })
  }
  client.write('0\r\n\r\n')
  await eventually(() => text.endsWith('0\r\n\r\n'))
  t.match(text, /^HTTP\/1\.1 200 OK\r\n/)
})

test('an answer without a length is whole when its connection ends, and not when it is reset', async (t) => {
  const ends: [name: string, end: (socket: Socket) => void, whole: boolean][] = [
    ['ended', (socket) => socket.end(), true],
    ['reset', (socket) => socket.resetAndDestroy(), false],
  ]
  for (const [name, end, whole] of ends) {
    let finish = () => {}
    const upstream = await startBareUpstream(t, (socket) => {
      socket.write('HTTP/1.1 200 OK\r\n\r\npart')
      finish = () => end(socket)
    })
    const proxy = await startProxy(t, upstream, OPEN)
    const client = connect(proxy.port, '127.0.0.1')
    let text = ''
    client.setEncoding('latin1').on('data', (chunk) => {
      text += chunk
    })
    client.write(GET)
    await eventually(() => text.includes('part'))
    finish()
    await eventually(() => (whole ? text.endsWith('\r\n0\r\n\r\n') : client.closed), { message: name })
    t.equal(text.includes('\r\n0\r\n'), whole, name)
    client.destroy()
    await eventually(() => proxy.openStreams.size === 0)
    t.match(await proxy.metrics.metrics(), whole ? /outcome="served"/ : /outcome="failed",reason="upstream_failed"\} 1/)
  }
})

test('a second answer to one request is nobody’s', async (t) => {
  const one = 'HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n'
  for (const pieces of [[`${one}oneHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil`], [`${one}one`, `${one}bad`]]) {
    const open = new Set<Socket>()
    const upstream = await startBareUpstream(t, (socket) => {
      open.add(socket)
      socket.once('close', () => open.delete(socket))
      socket.write(pieces[0]!)
      if (pieces[1]) setImmediate(() => socket.write(pieces[1]!))
    })
    const proxy = await startProxy(t, upstream, OPEN)
    for (let i = 0; i < 10; i++) {
      const { text } = await sendRaw(proxy.port, GET, { quietMs: 10 })
      t.match(text, /\r\n\r\none$|502 Bad Gateway/)
      // What came only when the next request is on its way would be the answer to that one, for all that can be known.
      await eventually(() => open.size === 0, { message: 'the connection is not used again' })
    }
  }
})

test('what an answer may not have', async (t) => {
  const send = async (answer: string) => {
    const proxy = await startProxy(t, await startBareUpstream(t, (socket) => socket.write(answer)), OPEN)
    return sendRaw(proxy.port, GET)
  }
  const empty = await send('HTTP/1.1 204 No Content\r\nContent-Length: 0\r\nX-A: 1\r\n\r\n')
  t.match(empty.text, /^HTTP\/1\.1 204 [\s\S]*x-a: 1\r\n/)
  t.notMatch(empty.text, /content-length/i, 'a 204 has no length (RFC 9110 section 8.6)')
  const both = await send(
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n1\r\na\r\n0\r\n\r\n',
  )
  t.match(both.text, /^HTTP\/1\.1 502 /, 'two lengths')
  const unasked = await send('HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n')
  t.same(unasked.statuses, [502], 'nobody asked for a 100, for Expect goes no further than here')
  const processing = await send('HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n')
  t.same(processing.statuses, [102, 200])
  const lengthy = await send(
    'HTTP/1.1 103 Early Hints\r\nContent-Length: 5\r\nLink: a\r\n\r\nHTTP/1.1 200 OK\r\nX-Length: 0\r\nContent-Length: 0\r\n\r\n',
  )
  t.match(lengthy.text, /^HTTP\/1\.1 103 [^\r]*\r\nlink: a\r\n\r\nHTTP\/1\.1 200 /, 'nor has a hint a length')
})

test('a 304 ends with its head, whatever length it names: the next request of the connection is answered', async (t) => {
  for (const [status, length] of [
    ['304 Not Modified', 'Content-Length: 10'],
    ['304 Not Modified', 'Transfer-Encoding: chunked'],
    ['204 No Content', 'Content-Length: 10'],
  ]) {
    const url = await startBareUpstream(t, (socket, text) => {
      if (text.startsWith('GET /else')) socket.write('HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nserved')
      else socket.write(`HTTP/1.1 ${status}\r\nETag: "a"\r\n${length}\r\n\r\n`)
    })
    const proxy = await startProxy(t, url, OPEN)
    const two = `${GET}${GET.replace('/', '/else')}`
    const { text, statuses } = await sendRaw(proxy.port, two, { answers: 2 })
    t.same(statuses, [Number(status!.slice(0, 3)), 200], `${status} ${length}`)
    t.match(text, /etag: "a"\r\n[\s\S]*served$/)
    await eventually(() => proxy.openStreams.size === 0)
    t.match(await proxy.metrics.metrics(), /outcome="served"/)
  }
})

test('the bytes of an answer’s fields are the same on either side, also when the body comes later', async (t) => {
  const name = Buffer.from('Zoë 日本.txt').toString('latin1')
  const head = `X-Name: ${name}\r\nX-Latin1: Zo\xeb\r\n`
  for (const [kind, answer] of [
    ['at once', `HTTP/1.1 200 OK\r\n${head}Content-Length: 3\r\n\r\nend`],
    ['the body later', `HTTP/1.1 200 OK\r\n${head}Content-Length: 3\r\n\r\n`],
    ['in chunks, later', `HTTP/1.1 200 OK\r\n${head}Transfer-Encoding: chunked\r\n\r\n`],
    ['no body', `HTTP/1.1 304 Not Modified\r\n${head}\r\n`],
    ['a hint', `HTTP/1.1 103 Early Hints\r\n${head}\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n`],
  ] as const) {
    const url = await startBareUpstream(t, (socket) => socket.write(Buffer.from(answer, 'latin1')))
    const { text } = await sendRaw((await startProxy(t, url, OPEN)).port, GET)
    t.match(text, `x-name: ${name}\r\nx-latin1: Zo\xeb\r\n`, kind)
  }
})

test('hints without end for a client that does not read: they are dropped, not kept in memory', async (t) => {
  const hint = `HTTP/1.1 103 Early Hints\r\nLink: ${'x'.repeat(12_000)}\r\n\r\n`
  let written = 0
  const url = await startBareUpstream(t, (socket) => {
    const pour = () => {
      while (written < 4000) {
        written++
        if (!socket.write(hint)) return void socket.once('drain', pour)
      }
      socket.write('HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nserved')
    }
    pour()
  })
  const proxy = await startProxy(t, url, OPEN)
  const held: Socket[] = []
  proxy.app.server.on('connection', (socket) => void held.push(socket))
  const client = connect(proxy.port, '127.0.0.1')
  client.pause()
  client.write(GET)
  await eventually(() => written === 4000, { within: 60_000 })
  t.ok(held[0]!.writableLength < 1024 * 1024, `${held[0]!.writableLength} bytes are held`)
  let text = ''
  client.setEncoding('latin1').on('data', (chunk) => {
    text += chunk
  })
  client.resume()
  await eventually(() => text.endsWith('served'), { within: 60_000 })
  t.match(text, /^HTTP\/1\.1 103 [\s\S]*\r\n\r\nHTTP\/1\.1 200 OK\r\n/)
  client.destroy()
})

test('trailers: the upstream’s that may be trailers go on, the client’s do not', async (t) => {
  const upstream = await startRawUpstream(t, (request, response) => {
    request.resume().on('end', () => {
      response.writeHead(200, { trailer: 'X-Sum' })
      response.write('data')
      response.addTrailers([
        ['X-Sum', '42'],
        ['X-Sum', '43'],
        ['Grpc-Status', '0'],
        ['Set-Cookie', 'a=1'],
        ['Cache-Control', 'no-store'],
        ['Content-Type', 'text/html'],
        ['Connection', 'X-Sum'],
      ])
      response.end()
    })
  })
  const proxy = await startProxy(t, upstream.url, OPEN)
  const { text } = await sendRaw(
    proxy.port,
    'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: X-User-Id, X-A\r\n\r\n1\r\na\r\n0\r\nX-User-Id: evil\r\nX-A: 1\r\n\r\n',
  )
  t.match(text, /\r\n0\r\nx-sum: 42\r\nx-sum: 43\r\ngrpc-status: 0\r\n\r\n$/i)
  t.notMatch(upstream.bytes(), /evil|x-a/i)
})

test('a client that takes nothing more is given up; one that is slow is not', async (t) => {
  const upstream = await startRawUpstream(t, (_request, response) => {
    const piece = Buffer.alloc(64 * 1024)
    const pour = () => {
      while (response.write(piece));
      response.once('drain', pour)
    }
    pour()
  })
  const proxy = await startProxy(t, upstream.url, { ...OPEN, timeouts: { stallMs: 3000 } })
  const [slow, stalled] = [connect(proxy.port, '127.0.0.1'), connect(proxy.port, '127.0.0.1')]
  t.teardown(() => slow.destroy())
  let taken = 0
  slow.on('data', (chunk) => {
    taken += chunk.length
    slow.pause()
    setTimeout(() => slow.resume(), 5)
  })
  slow.write(GET)
  await eventually(() => upstream.requests.length === 1)
  stalled.on('error', () => {})
  stalled.pause()
  stalled.write(GET)
  await eventually(() => upstream.sockets.size === 2)
  await eventually(() => upstream.sockets.size === 1, {
    within: 60_000,
    message: 'the request to the upstream ends too',
  })
  const before = taken
  await eventually(() => taken > before + 1024 * 1024, { within: 60_000 })
  t.equal(proxy.openStreams.size, 1)
  stalled.destroy()
})

test('so is one that takes nothing of an answer that is complete, and one that idles', async (t) => {
  const upstream = await startRawUpstream(t, (_request, response) => response.end(Buffer.alloc(12 * 1024)))
  const proxy = await startProxy(t, upstream.url, { ...OPEN, timeouts: { stallMs: 500 } })
  const stalled = await startUnreadClient(t, proxy.app.server, GET)
  // Again and again: what waited may have found a place in the kernel after all.
  const isGivenUp = async () => {
    await stalled.askUntilAnAnswerWaits(() => upstream.requests.length)
    return stalled.end.destroyed
  }
  await eventually(isGivenUp, { within: 60_000 })
  await eventually(() => proxy.openStreams.size === 0)

  Object.assign(proxy.app.server, { keepAliveTimeout: 50 })
  const idle = connect(proxy.port, '127.0.0.1')
  t.teardown(() => idle.destroy())
  const closed = once(idle, 'close')
  idle.resume().write(GET)
  await closed
})

test('an expectation that nobody knows is 417', async (t) => {
  const upstream = await startRawUpstream(t)
  const proxy = await startProxy(t, upstream.url, OPEN)
  const odd = 'POST / HTTP/1.1\r\nHost: a\r\nExpect: miracles\r\nContent-Length: 2\r\n\r\nab'
  t.same(
    (await sendRaw(proxy.port, odd + GET, { answers: 2 })).statuses,
    [417, 200],
    'and its body is not the next request',
  )
  t.equal(upstream.requests.length, 1)
})

test('HTTP/2 is not spoken here, and that is said', async (t) => {
  const upstream = await startRawUpstream(t)
  const proxy = await startProxy(t, upstream.url, OPEN)
  const preface = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0'
  const answer = await sendRaw(proxy.port, preface, { closes: true })
  t.same(answer.statuses, [400])
  t.ok(answer.closed)
  t.equal(upstream.requests.length, 0)
})
