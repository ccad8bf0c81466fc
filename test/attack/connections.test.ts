import { connect } from 'node:net'
import { test } from 'tap'
import { eventually } from '../helpers/eventually.ts'
import { sendRaw, startRawUpstream, valuesOf } from '../helpers/raw-http.ts'
import { startProxy } from '../helpers/sidecar-proxy.ts'

const ROUTES = [{ name: 'open', path: '/open', access: 'public' as const, bodyLimit: 1000 }]
const SHORT = { headersMs: 200, requestMs: 400, checkMs: 50 }

test('a body that was refused unread never becomes the next request (CVE-2025-55702)', async (t) => {
  const upstream = await startRawUpstream(t)
  const proxy = await startProxy(t, upstream.url, { routes: ROUTES })
  const hidden = 'GET /open HTTP/1.1\r\nHost: a\r\n\r\n'
  for (const [name, fields, body] of [
    ['with a length', `Content-Length: ${hidden.length}`, hidden],
    ['of which only a part has come', 'Content-Length: 5000', hidden],
    ['in chunks', 'Transfer-Encoding: chunked', `${hidden.length.toString(16)}\r\n${hidden}\r\n0\r\n\r\n`],
    ['in chunks that go on', 'Transfer-Encoding: chunked', `${hidden.length.toString(16)}\r\n${hidden}\r\n`],
  ] as const) {
    for (const path of ['/closed', '/open/../x']) {
      const answer = await sendRaw(proxy.port, `POST ${path} HTTP/1.1\r\nHost: a\r\n${fields}\r\n\r\n${body}`, {
        quietMs: 1500,
      })
      t.same(answer.statuses, [path === '/closed' ? 401 : 400], `${name}: one answer`)
      t.match(answer.text, /^Connection: close\r$/im, name)
      t.ok(answer.closed, `${name}: and the end`)
    }
  }
  t.equal(upstream.requests.length, 0)
})

test('a client that is refused while it uploads sees the answer, and is not read for ever', async (t) => {
  const upstream = await startRawUpstream(t)
  const proxy = await startProxy(t, upstream.url, { routes: ROUTES })
  const socket = connect(proxy.port, '127.0.0.1')
  let text = ''
  socket.on('data', (chunk) => {
    text += chunk
  })
  socket.on('error', () => {})
  let closed = false
  socket.on('close', () => {
    closed = true
  })
  socket.write(`POST /closed HTTP/1.1\r\nHost: a\r\nContent-Length: ${2 ** 40}\r\n\r\n`)
  let sent = 0
  while (!closed && sent < 64 * 1024 * 1024) {
    const piece = Buffer.alloc(16 * 1024)
    sent += piece.length
    if (!socket.write(piece)) await Promise.race([once(socket, 'drain'), once(socket, 'close')])
    await new Promise(setImmediate)
  }
  t.match(text, /^HTTP\/1\.1 401 /)
  t.ok(closed, 'it is ended')
  t.ok(sent < 64 * 1024 * 1024, `after ${sent} bytes`)
  t.equal(upstream.requests.length, 0)
})

function once(socket: ReturnType<typeof connect>, event: string): Promise<void> {
  return new Promise((resolve) => {
    socket.once(event, () => resolve())
  })
}

test('a connection is used again after a refusal without a body', async (t) => {
  const upstream = await startRawUpstream(t)
  const proxy = await startProxy(t, upstream.url, { routes: ROUTES })
  const answer = await sendRaw(
    proxy.port,
    'GET /closed HTTP/1.1\r\nHost: a\r\n\r\nGET /open HTTP/1.1\r\nHost: a\r\n\r\n',
  )
  t.same(answer.statuses, [401, 200])
  t.notOk(answer.closed)
})

test('CONNECT, TRACE and other upgrades are refused (CVE-2026-71324)', async (t) => {
  const upstream = await startRawUpstream(t)
  const proxy = await startProxy(t, upstream.url, { routes: ROUTES })
  const h2c = 'Connection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n'
  for (const [bytes, status] of [
    ['CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n', 405],
    ['TRACE /open HTTP/1.1\r\nHost: a\r\n\r\n', 405],
    ['PROPFIND /open HTTP/1.1\r\nHost: a\r\n\r\n', 405],
    [`GET /open HTTP/1.1\r\nHost: a\r\n${h2c}Upgrade: h2c\r\n\r\n`, 400],
    ['GET /open HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket, h2c\r\n\r\n', 400],
    ['GET /open HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: tls/1.0\r\n\r\n', 400],
    ['POST /open HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n', 400],
    ['GET /open HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 3\r\n\r\nabc', 400],
    ['GET /open HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 9\r\n\r\nabc', 400],
    [
      'POST /open HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nTransfer-Encoding: chunked\r\n\r\n',
      400,
    ],
    ['CONNECT a:80 HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc', 405],
  ] as const) {
    const answer = await sendRaw(proxy.port, bytes, { quietMs: 1500 })
    t.same(answer.statuses, [status], bytes.slice(0, 60))
  }
  t.equal(upstream.requests.length, 0)
  await sendRaw(proxy.port, 'GET /open HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\n\r\n')
  t.same(
    valuesOf(upstream.requests[0]!.rawHeaders, 'upgrade'),
    [],
    'a field that Connection does not name asks for nothing',
  )
})

test('large and slow heads and slow bodies are bounded (CVE-2018-12121, CVE-2018-12122)', async (t) => {
  const upstream = await startRawUpstream(t)
  const proxy = await startProxy(t, upstream.url, { routes: ROUTES, timeouts: SHORT })
  const large = await sendRaw(proxy.port, `GET /open HTTP/1.1\r\nHost: a\r\nX-A: ${'a'.repeat(17_000)}\r\n\r\n`)
  t.same(large.statuses, [431])
  t.ok(large.closed)
  t.match(large.text, /header_fields_too_large/)
  const slowHead = await sendRaw(proxy.port, 'GET /open HTTP/1.1\r\nHost: a\r\n', { patienceMs: 3000 })
  t.same(slowHead.statuses, [408])
  t.ok(slowHead.closed)
  const slowBody = await sendRaw(proxy.port, 'POST /open HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc', {
    patienceMs: 3000,
  })
  t.same(slowBody.statuses, [408])
  t.ok(slowBody.closed)
  await eventually(() => upstream.requests.length === 0 || !upstream.requests[0]!.complete)
  await eventually(() => proxy.openStreams.size === 0, { message: 'nothing stays open' })
})

test('no field is hidden behind two thousand others (CVE-2026-58044)', async (t) => {
  const upstream = await startRawUpstream(t)
  const proxy = await startProxy(t, upstream.url, { routes: ROUTES })
  const many = 'a:\r\n'.repeat(2100)
  const answer = await sendRaw(
    proxy.port,
    `GET /open HTTP/1.1\r\nHost: a\r\n${many}X-User-Id: evil\r\nX-Last: 1\r\n\r\n`,
  )
  t.same(answer.statuses, [200])
  const hidden = await sendRaw(
    proxy.port,
    `GET /closed HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer ${proxy.token()}\r\n${many}Authorization: Bearer x\r\n\r\n`,
  )
  t.same(hidden.statuses, [401], 'the second one is seen')
  t.notMatch(upstream.bytes(), /evil/)
  t.match(upstream.bytes(), /X-Last: 1/)
})

const HANDSHAKE =
  'GET /open HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n' +
  'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n'

test('an upgrade that does not wait for the answers before it brings nothing down', async (t) => {
  const upstream = await startRawUpstream(t, (request, response) => {
    if (request.url === '/open') response.end('served')
  })
  const proxy = await startProxy(t, upstream.url, { routes: [...ROUTES, { path: '/slow', access: 'public' }] })
  const get = (path: string) => `GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`
  const afterRefusal = await sendRaw(proxy.port, get('/closed') + HANDSHAKE, { quietMs: 500 })
  t.same(afterRefusal.statuses, [401, 200], 'behind an answer that is complete it has its turn')
  for (const before of [get('/slow'), get('/slow') + get('/open'), get('/closed') + get('/slow')]) {
    for (const last of [HANDSHAKE, HANDSHAKE.replace('websocket', 'h2c'), 'CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n']) {
      const answer = await sendRaw(proxy.port, before + last, { quietMs: 500 })
      t.ok(answer.closed, 'behind one that is not the connection ends')
      t.notMatch(answer.text, /served/)
    }
  }
  await eventually(() => proxy.openStreams.size === 0, { message: 'nothing stays open' })
  t.same((await sendRaw(proxy.port, get('/open'))).statuses, [200], 'others are served')
})

test('many requests at once on one connection make no flood of connections to the upstream', async (t) => {
  const upstream = await startRawUpstream(t, () => {})
  const proxy = await startProxy(t, upstream.url, { routes: ROUTES })
  const get = 'GET /open HTTP/1.1\r\nHost: a\r\n\r\n'
  const flood = await sendRaw(proxy.port, get.repeat(2000), { patienceMs: 1000 })
  t.ok(flood.closed)
  const few = sendRaw(proxy.port, get.repeat(20), { patienceMs: 500 })
  await eventually(() => upstream.requests.length >= 20)
  t.notOk((await few).closed, 'a few are under way together')
  t.ok(upstream.requests.length <= 100, `${upstream.requests.length} requests`)
  await eventually(() => proxy.openStreams.size === 0, { message: 'nothing stays open when the client goes' })
})
