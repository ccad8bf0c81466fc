import { once } from 'node:events'
import { createServer, request as httpRequest, type IncomingMessage, type ServerResponse } from 'node:http'
import { type AddressInfo, connect, createServer as createNetServer, type Socket } from 'node:net'
import { gzipSync } from 'node:zlib'
import { type Test, test } from 'tap'
import { eventually } from '../../helpers/eventually.ts'
import { sendRaw, startRawUpstream, valuesOf } from '../../helpers/raw-http.ts'
import { type ProxyOptions, startProxy } from '../../helpers/sidecar-proxy.ts'

const OPEN: ProxyOptions = { routes: [{ name: 'open', path: '/**', access: 'public' }] }

/** An upstream that is only a socket: answers what the test says, to the letter. */
async function startBareUpstream(t: Test, onConnection: (socket: Socket) => void): Promise<string> {
  const sockets = new Set<Socket>()
  const server = createNetServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => {})
    onConnection(socket)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

/** Answers each request of a connection with the same bytes. */
const always = (bytes: string) => (socket: Socket) => socket.on('data', () => socket.write(bytes))

test('every method, with and without a body of whatever type', async (t) => {
  const upstream = await startRawUpstream(t)
  const proxy = await startProxy(t, upstream.url, OPEN)
  for (const method of ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']) {
    for (const [fields, body, expected] of [
      ['', '', ''],
      ['Content-Length: 0\r\n', '', ''],
      ['Content-Length: 5\r\n', 'a\0b\xffc', 'a\0b\xffc'],
      ['Content-Length: 5\r\nContent-Type: application/json\r\n', '{"a":', '{"a":'],
      ['Content-Length: 5\r\nContent-Type: nonsense;;\r\n', 'abcde', 'abcde'],
      ['Content-Length: 5\r\nContent-Type: multipart/form-data; boundary=x\r\n', 'abcde', 'abcde'],
      ['Transfer-Encoding: chunked\r\n', '3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n', 'abcde'],
      ['Transfer-Encoding: chunked\r\n', '0\r\n\r\n', ''],
    ] as const) {
      upstream.requests.length = 0
      const answer = await sendRaw(proxy.port, `${method} /x HTTP/1.1\r\nHost: a\r\n${fields}\r\n${body}`, {
        quietMs: 20,
      })
      const name = `${method} ${fields}`
      t.same(answer.statuses, [200], name)
      t.equal(upstream.requests.length, 1, name)
      t.equal(upstream.requests[0]?.body, expected, name)
      t.ok(upstream.requests[0]?.complete)
    }
  }
})

test('answers come through as they are', async (t) => {
  const zipped = gzipSync('hello')
  const upstream = await startRawUpstream(t, (request, response) => {
    const url = request.url!
    if (url === '/204') response.writeHead(204).end()
    else if (url === '/304') response.writeHead(304, { etag: '"a"', 'content-length': '10' }).end()
    else if (url === '/gzip') response.writeHead(200, { 'content-encoding': 'gzip', etag: '"z"' }).end(zipped)
    else if (url === '/range') response.writeHead(206, { 'content-range': 'bytes 0-1/9' }).end(request.headers.range)
    else if (url === '/redirect') response.writeHead(302, { location: '/elsewhere' }).end()
    else if (url === '/299') response.writeHead(299).end('odd')
    else if (url === '/503') response.writeHead(503, { 'retry-after': '1' }).end('mine')
    else if (url === '/latin1') response.writeHead(200, ['X-A', 'caf\xe9', 'Date', 'then', 'Server', 's']).end()
    else
      response
        .writeHead(200, { 'content-length': '5', 'set-cookie': ['a=1', 'b=2'] })
        .end(request.method === 'HEAD' ? '' : 'hello')
  })
  const proxy = await startProxy(t, upstream.url, OPEN)
  const get = (target: string, fields = '', method = 'GET') =>
    sendRaw(proxy.port, `${method} ${target} HTTP/1.1\r\nHost: a\r\n${fields}\r\n`, { quietMs: 20 })
  t.match((await get('/204')).text, /^HTTP\/1\.1 204 No Content\r\n/)
  t.notMatch((await get('/204')).text, /content-length|transfer-encoding/i)
  const notModified = await get('/304')
  t.match(notModified.text, /^HTTP\/1\.1 304 /)
  t.ok(notModified.text.endsWith('\r\n\r\n'))
  t.ok((await get('/gzip')).text.includes(zipped.toString('latin1')), 'compressed bytes are left alone')
  t.match(
    (await get('/range', 'Range: bytes=0-1\r\n')).text,
    /^HTTP\/1\.1 206 [\s\S]*content-range: bytes 0-1\/9[\s\S]*bytes=0-1/,
  )
  t.match((await get('/redirect')).text, /location: \/elsewhere\r\n/)
  t.match((await get('/299')).text, /^HTTP\/1\.1 299 [\s\S]*odd/)
  t.match((await get('/latin1')).text, /x-a: caf\xe9\r\n[\s\S]*date: then\r\n/i)
  const head = await get('/', '', 'HEAD')
  t.match(head.text, /content-length: 5\r\n/)
  t.ok(head.text.endsWith('\r\n\r\n'))
  const cookies = await get('/')
  t.match(cookies.text, /set-cookie: a=1\r\nset-cookie: b=2\r\n/i)
  upstream.requests.length = 0
  t.match((await get('/503')).text, /^HTTP\/1\.1 503 [\s\S]*retry-after: 1[\s\S]*mine/)
  t.equal(upstream.requests.length, 1, 'a 503 is the upstream’s word and is not asked for again')
})

test('informational answers, trailers and HTTP/1.0', async (t) => {
  const upstream = await startRawUpstream(t, (_request, response) => {
    response.writeEarlyHints({ link: '</a.css>; rel=preload' })
    response.writeHead(200, { trailer: 'X-Sum' })
    response.write('data')
    response.addTrailers({ 'X-Sum': '42' })
    response.end()
  })
  const proxy = await startProxy(t, upstream.url, OPEN)
  const answer = await sendRaw(proxy.port, 'GET / HTTP/1.1\r\nHost: a\r\n\r\n')
  t.same(answer.statuses, [103, 200])
  t.match(answer.text, /link: <\/a\.css>; rel=preload\r\n\r\nHTTP\/1\.1 200/)
  t.match(answer.text, /0\r\nx-sum: 42\r\n\r\n$/i)
  const old = await sendRaw(proxy.port, 'GET / HTTP/1.0\r\n\r\n', { closes: true })
  t.same(old.statuses, [200], 'HTTP/1.0 knows no 1xx')
  t.ok(old.closed)
  t.match(old.text, /\r\n\r\ndata$/, 'nor chunks')
})

test('Expect: 100-continue is answered once the request is let in', async (t) => {
  const upstream = await startRawUpstream(t)
  const proxy = await startProxy(t, upstream.url, { routes: [{ name: 'open', path: '/open', access: 'public' }] })
  const ask = (path: string) =>
    sendRaw(proxy.port, `POST ${path} HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n`, {
      answers: 0,
    })
  t.same((await ask('/open')).statuses, [100])
  const refused = await ask('/closed')
  t.same(refused.statuses, [401])
  t.match(refused.text, /Connection: close/i)
  const whole = await sendRaw(
    proxy.port,
    'POST /open HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nab',
  )
  t.same(whole.statuses, [100, 200])
  t.notOk(upstream.requests.some(({ rawHeaders }) => valuesOf(rawHeaders, 'expect').length > 0))
})

test('connections are kept on both sides', async (t) => {
  const upstream = await startRawUpstream(t)
  let connections = 0
  const server = createServer((_request, response) => response.end('x'))
  server.on('connection', () => connections++)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  const proxy = await startProxy(t, `http://127.0.0.1:${(server.address() as AddressInfo).port}`, OPEN)
  const get = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n'
  for (let i = 0; i < 3; i++) t.notOk((await sendRaw(proxy.port, get, { quietMs: 20 })).closed)
  t.equal(connections, 1)
  t.equal(upstream.requests.length, 0)
})

test('failures of the upstream', async (t) => {
  const rows: [name: string, upstream: string, status: number, code: string][] = [
    ['nobody there', 'http://127.0.0.1:1', 502, 'upstream_unreachable'],
    ['no such name', 'http://nobody.invalid', 502, 'upstream_unreachable'],
    ['closes at once', await startBareUpstream(t, (s) => s.on('data', () => s.end())), 502, 'upstream_failed'],
    ['resets', await startBareUpstream(t, (s) => s.on('data', () => s.resetAndDestroy())), 502, 'upstream_failed'],
    [
      'no field',
      await startBareUpstream(t, always('HTTP/1.1 200 OK\r\nX: a\x01b\r\nContent-Length: 0\r\n\r\n')),
      502,
      'upstream_failed',
    ],
    ['no HTTP', await startBareUpstream(t, always('SSH-2.0-x\r\n')), 502, 'upstream_failed'],
    [
      'two lengths',
      await startBareUpstream(t, always('HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab')),
      502,
      'upstream_failed',
    ],
    [
      'endless head',
      await startBareUpstream(t, always(`HTTP/1.1 200 OK\r\nX: ${'x'.repeat(70_000)}`)),
      502,
      'upstream_failed',
    ],
    [
      'unasked upgrade',
      await startBareUpstream(t, always('HTTP/1.1 101 X\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n')),
      502,
      'upstream_failed',
    ],
    ['silence', await startBareUpstream(t, () => {}), 504, 'upstream_timeout'],
  ]
  for (const [name, upstream, status, code] of rows) {
    // Only where it is awaited: a machine that stands still would make a time-out of every other failure.
    const timeoutMs = code === 'upstream_timeout' ? 300 : 20_000
    const proxy = await startProxy(t, upstream, {
      routes: [{ name: 'open', path: '/**', access: 'public', timeoutMs }],
    })
    for (const body of ['', 'Content-Length: 2\r\n']) {
      const method = body ? 'POST' : 'GET'
      const answer = await sendRaw(proxy.port, `${method} / HTTP/1.1\r\nHost: a\r\n${body}\r\n${body && 'ab'}`, {
        patienceMs: 20_000,
      })
      t.same(answer.statuses, [status], `${name}, ${method}`)
      t.match(answer.text, `"code":"${code}"`)
      t.match(answer.text, /application\/problem\+json/)
      t.notMatch(answer.text, /127\.0\.0\.1|invalid|ECONN/, 'nothing of the upstream is told')
    }
    t.match(await proxy.metrics.metrics(), /sidecar_upstream_errors_total\{code=|upstream_timeout/)
    await eventually(() => proxy.openStreams.size === 0)
  }
})

test('nothing of an answer that is not HTTP gets into the log', async (t) => {
  const answer = 'HTTP/1.1 200 OK\r\nno field, Set-Cookie: session=ada@example.com\r\n\r\n'
  const proxy = await startProxy(t, await startBareUpstream(t, always(answer)))
  const head = `GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer ${proxy.token()}\r\n\r\n`
  t.same((await sendRaw(proxy.port, head)).statuses, [502])
  t.match(proxy.lines.join(), 'HTTPParserError')
  t.notMatch(proxy.lines.join(), /ada@example\.com/)
})

test('nothing is sent a second time', async (t) => {
  let received = 0
  const upstream = await startBareUpstream(t, (socket) => {
    socket.on('data', () => {
      received++
      socket.destroy()
    })
  })
  const proxy = await startProxy(t, upstream, OPEN)
  t.same((await sendRaw(proxy.port, 'GET / HTTP/1.1\r\nHost: a\r\n\r\n')).statuses, [502])
  t.equal(received, 1)
})

test('the client goes: the request to the upstream ends, before and during the answer', async (t) => {
  for (const [name, fields] of [
    ['before the answer', 'GET /silent HTTP/1.1\r\nHost: a\r\n\r\n'],
    ['during the answer', 'GET /endless HTTP/1.1\r\nHost: a\r\n\r\n'],
    ['during its upload', 'POST /silent HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nabc'],
    ['during a chunked upload', 'POST /silent HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n'],
    ['with requests in the pipeline', 'GET /silent HTTP/1.1\r\nHost: a\r\n\r\n'.repeat(3)],
  ] as const) {
    const upstream = await startRawUpstream(t, (request, response) => {
      if (request.url === '/endless') response.write('x')
    })
    const proxy = await startProxy(t, upstream.url, OPEN)
    const socket = connect(proxy.port, '127.0.0.1')
    socket.write(fields)
    await eventually(() => upstream.requests.length === 1)
    socket.destroy()
    await eventually(() => upstream.sockets.size === 0 && proxy.openStreams.size === 0, { message: name })
    t.equal(upstream.requests.length, 1, `${name}: what waited behind it never goes out`)
    t.notOk(
      upstream.requests.some(({ complete, method }) => complete && method === 'POST'),
      `${name}: no half is taken for the whole`,
    )
    await eventually(async () => (await proxy.metrics.metrics()).includes('reason="client_gone"'))
  }
})

test('an upload that no upstream takes, and its client goes: only their connection ends, never the process', async (t) => {
  const busy = await startRawUpstream(t, () => {})
  const rows: [name: string, upstream: string, options: ProxyOptions, code: string][] = [
    ['there is no upstream', 'http://127.0.0.1:1', {}, 'upstream_unreachable'],
    ['there is none that speaks HTTP/2', 'h2c://127.0.0.1:1', {}, 'upstream_unreachable'],
    ['there is no socket', 'unix:/nowhere/app.sock', {}, 'upstream_unreachable'],
    ['every connection is in use', busy.url, { maxConnections: 1 }, 'overloaded'],
    ['HTTP/2 has no place for a field', 'h2c://127.0.0.1:1', {}, 'invalid_request'],
  ]
  for (const [name, upstream, options, code] of rows) {
    const proxy = await startProxy(t, upstream, { ...OPEN, ...options })
    if (code === 'overloaded') {
      const waiting = connect(proxy.port, '127.0.0.1')
      waiting.on('error', () => {})
      t.teardown(() => waiting.destroy())
      waiting.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
      await eventually(() => busy.requests.length === 1)
    }
    const taken = once(proxy.app.server, 'connection')
    const client = connect(proxy.port, '127.0.0.1')
    const field = code === 'invalid_request' ? 'Referer: a\r\nReferer: b\r\n' : ''
    client.write(`POST / HTTP/1.1\r\nHost: a\r\n${field}Content-Length: 100\r\n\r\nthe first part`)
    const [socket] = (await taken) as [Socket]
    const [answer] = (await once(client, 'data')) as [Buffer]
    t.ok(answer.includes(`"code":"${code}"`), name)
    const closed = once(socket, 'close')
    client.destroy()
    await closed
    // What the end of a connection makes of its request comes in a later turn.
    await new Promise((resolve) => setImmediate(() => setImmediate(resolve)))
    await eventually(() => proxy.openStreams.size === (code === 'overloaded' ? 1 : 0))
  }
})

test('the upstream breaks off: the client sees that something is missing', async (t) => {
  for (const [name, head, version] of [
    ['with a length', 'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc', '1.1'],
    ['in chunks', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n', '1.1'],
    ['in chunks, for HTTP/1.0', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n', '1.0'],
  ] as const) {
    let breakOff = () => {}
    const upstream = await startBareUpstream(t, (socket) => {
      socket.once('data', () => socket.write(head))
      breakOff = () => socket.destroy()
    })
    const proxy = await startProxy(t, upstream, OPEN)
    const socket = connect(proxy.port, '127.0.0.1')
    let text = ''
    let failed = false
    socket.on('data', (chunk) => {
      text += chunk
      if (text.includes('abc')) breakOff()
    })
    socket.on('error', () => {
      failed = true
    })
    socket.write(`GET / HTTP/${version}\r\nHost: a\r\n\r\n`)
    await new Promise((resolve) => {
      socket.on('close', resolve)
    })
    t.match(text, /200 OK[\s\S]*abc/, name)
    t.notMatch(text, /\r\n0\r\n/, `${name}: no end is claimed`)
    if (version === '1.0') t.ok(failed, `${name}: reset, for its end would be one`)
  }
})

test('a slow reader slows the upstream down', async (t) => {
  let sent = 0
  const upstream = await startRawUpstream(t, (_request, response: ServerResponse) => {
    const piece = Buffer.alloc(64 * 1024)
    const pour = () => {
      while (sent < 256 * 1024 * 1024) {
        sent += piece.length
        if (!response.write(piece)) {
          response.once('drain', pour)
          return
        }
      }
      response.end()
    }
    pour()
  })
  const proxy = await startProxy(t, upstream.url, OPEN)
  const socket = connect(proxy.port, '127.0.0.1')
  socket.pause()
  socket.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
  let before = -1
  await eventually(
    () => {
      const still = sent > 0 && sent === before
      before = sent
      return still
    },
    { every: 100 },
  )
  t.ok(sent < 32 * 1024 * 1024, `${sent} bytes were taken from the upstream`)
  socket.destroy()
  await eventually(() => upstream.sockets.size === 0)
})

test('a slow upstream slows the uploader down', async (t) => {
  const upstream = await startBareUpstream(t, (socket) => {
    socket.pause()
  })
  const limits = { name: 'open', path: '/**', access: 'public' as const, bodyLimit: 2 ** 40 }
  const proxy = await startProxy(t, upstream, { routes: [limits] })
  const socket = connect(proxy.port, '127.0.0.1')
  socket.on('error', () => {})
  socket.write(`POST / HTTP/1.1\r\nHost: a\r\nContent-Length: ${2 ** 30}\r\n\r\n`)
  const piece = Buffer.alloc(256 * 1024)
  let sent = 0
  const pour = () => {
    while (sent < 256 * 1024 * 1024) {
      sent += piece.length
      if (!socket.write(piece)) {
        socket.once('drain', pour)
        return
      }
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
  socket.destroy()
})

test('a large upload streams through, and no further than the limit', async (t) => {
  const size = 24 * 1024 * 1024
  let received = 0
  const upstream = await startRawUpstream(t, (request, response) => {
    request.on('data', (chunk) => {
      received += chunk.length
    })
    request.on('end', () => response.end('done'))
  })
  const limits = { name: 'open', path: '/**', access: 'public' as const, bodyLimit: size }
  const proxy = await startProxy(t, upstream.url, { routes: [limits] })
  const upload = (bytes: number, headers: Record<string, string | number>) =>
    new Promise<number>((resolve, reject) => {
      const request = httpRequest(
        { port: proxy.port, host: '127.0.0.1', method: 'PUT', headers },
        (response: IncomingMessage) => {
          response.resume()
          resolve(response.statusCode ?? 0)
        },
      )
      request.on('error', reject)
      const piece = Buffer.alloc(1024 * 1024)
      let left = bytes
      const pour = () => {
        while (left > 0) {
          const part = piece.subarray(0, Math.min(left, piece.length))
          left -= part.length
          if (!request.write(part)) {
            request.once('drain', pour)
            return
          }
        }
        request.end()
      }
      pour()
    })
  t.equal(await upload(size, { 'content-length': size }), 200)
  t.equal(received, size)
  received = 0
  t.equal(await upload(size, {}), 200, 'in chunks')
  t.equal(received, size)
  received = 0
  const announced = await sendRaw(proxy.port, `PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: ${size + 1}\r\n\r\n`, {
    quietMs: 1200,
  })
  t.same(announced.statuses, [413])
  t.equal(received, 0, 'what is announced is refused unsent')
  const chunk = `100000\r\n${'x'.repeat(0x100000)}\r\n`
  const found = await sendRaw(
    proxy.port,
    `PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n${chunk.repeat(25)}`,
    { closes: true },
  )
  t.same(found.statuses, [413], 'chunks are counted')
  t.ok(found.closed)
  t.notOk(upstream.requests.at(-1)?.complete, 'and the upstream does not get them for the whole')
})

test('a head does not wait for the body', async (t) => {
  const upstream = await startRawUpstream(t, (_request, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' }).flushHeaders()
  })
  const proxy = await startProxy(t, upstream.url, OPEN)
  const answer = await sendRaw(proxy.port, 'GET / HTTP/1.1\r\nHost: a\r\n\r\n')
  t.match(answer.text, /^HTTP\/1\.1 200 [\s\S]*text\/event-stream/)
})

test('an answer that is complete before the request ends the connection, and is seen', async (t) => {
  const upstream = await startRawUpstream(t, (_request, response) => {
    response.writeHead(413).end('too much')
  })
  const proxy = await startProxy(t, upstream.url, OPEN)
  const answer = await sendRaw(proxy.port, 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nabc', {
    closes: true,
  })
  t.same(answer.statuses, [413])
  t.match(answer.text, /connection: close[\s\S]*too much/i)
  t.ok(answer.closed)
})

test('a certificate that nobody vouches for is not accepted', async (t) => {
  const { createServer: createTlsServer } = await import('node:tls')
  const server = createTlsServer({}, () => {})
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  const proxy = await startProxy(t, `https://127.0.0.1:${(server.address() as AddressInfo).port}`, OPEN)
  const answer = await sendRaw(proxy.port, 'GET / HTTP/1.1\r\nHost: a\r\n\r\n')
  t.same(answer.statuses, [502])
})

test('it listens on IPv6', async (t) => {
  const upstream = await startRawUpstream(t)
  const proxy = await startProxy(t, upstream.url, { ...OPEN, host: '::1' }).catch((error) => error)
  if (proxy instanceof Error) {
    t.pass(`there is no IPv6 here (${(proxy as NodeJS.ErrnoException).code})`)
    return
  }
  const response = await fetch(`${proxy.url}/`)
  t.equal(response.status, 200)
  await response.text()
  t.same(valuesOf(upstream.requests[0]!.rawHeaders, 'x-forwarded-for'), ['::1'])
})
