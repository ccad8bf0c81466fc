import { connect } from 'node:net'
import { test } from 'tap'
import { eventually } from '../helpers/eventually.ts'
import { sendRaw, startRawUpstream } from '../helpers/raw-http.ts'
import { startProxy } from '../helpers/sidecar-proxy.ts'

const ROUTES = [{ name: 'open', path: '/open', access: 'public' as const, bodyLimit: 1000 }]
const SHORT = { headersMs: 200, requestMs: 400, checkMs: 50 }
const ENDED = { closes: true }

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
    { answers: 2 },
  )
  t.same(answer.statuses, [401, 200])
  t.notOk(answer.closed)
})

test('behind an answer that says it is the last nothing is a request any more (RFC 9112 section 9.6)', async (t) => {
  const upstream = await startRawUpstream(t)
  const proxy = await startProxy(t, upstream.url, { routes: ROUTES })
  const get = 'GET /open HTTP/1.1\r\nHost: a\r\n\r\n'
  for (let n = 1; n <= 10; n++) {
    // So that there is a connection to the service, on which a request goes out at once.
    t.same((await sendRaw(proxy.port, get, { quietMs: 10 })).statuses, [200])
    const answer = await sendRaw(proxy.port, `POST /open HTTP/1.1\r\nX-A: no Host\r\n\r\n${get}`, ENDED)
    t.same(answer.statuses, [400])
    t.ok(answer.closed)
    t.equal(upstream.requests.length, n)
  }
})

test('large and slow heads and slow bodies are bounded (CVE-2018-12121, CVE-2018-12122)', async (t) => {
  const upstream = await startRawUpstream(t)
  const patient = await startProxy(t, upstream.url, { routes: ROUTES })
  const head = `GET /open HTTP/1.1\r\nHost: a\r\nX-A: ${'a'.repeat(17_000)}\r\n\r\n`
  // Where time is short, it may be over before what came meanwhile is read.
  const large = await sendRaw(patient.port, head, ENDED)
  t.same(large.statuses, [431])
  t.ok(large.closed)
  t.match(large.text, /header_fields_too_large/)
  const proxy = await startProxy(t, upstream.url, { routes: ROUTES, timeouts: SHORT })
  const slowHead = await sendRaw(proxy.port, 'GET /open HTTP/1.1\r\nHost: a\r\n', ENDED)
  t.same(slowHead.statuses, [408])
  t.ok(slowHead.closed)
  const slowBody = await sendRaw(proxy.port, 'POST /open HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc', ENDED)
  t.same(slowBody.statuses, [408])
  t.ok(slowBody.closed)
  await eventually(() => upstream.requests.length === 0 || !upstream.requests[0]!.complete)
  await eventually(() => proxy.openStreams.size === 0, { message: 'nothing stays open' })
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
  const afterRefusal = await sendRaw(proxy.port, get('/closed') + HANDSHAKE, { answers: 2 })
  t.same(afterRefusal.statuses, [401, 200], 'behind an answer that is complete it has its turn')
  for (const before of [get('/slow'), get('/slow') + get('/open'), get('/closed') + get('/slow')]) {
    for (const last of [HANDSHAKE, HANDSHAKE.replace('websocket', 'h2c'), 'CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n']) {
      const answer = await sendRaw(proxy.port, before + last, ENDED)
      t.ok(answer.closed, 'behind one that is not the connection ends')
      t.notMatch(answer.text, /served/)
    }
  }
  await eventually(() => proxy.openStreams.size === 0, { message: 'nothing stays open' })
  t.same((await sendRaw(proxy.port, get('/open'))).statuses, [200], 'others are served')
})

test('requests that do not wait for an answer are forwarded one after the other, as they came', async (t) => {
  let open = 0
  let most = 0
  const upstream = await startRawUpstream(t, (request, response) => {
    most = Math.max(most, ++open)
    response.once('finish', () => open--)
    request.resume()
    // Long enough that others would come meanwhile.
    request.once('end', () => setTimeout(() => response.end('served'), 5))
  })
  const proxy = await startProxy(t, upstream.url, { routes: ROUTES })
  const sent = Array.from({ length: 20 }, (_, n) =>
    n % 3 === 1
      ? `POST /open?${n} HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nab`
      : `GET /open?${n} HTTP/1.1\r\nHost: a\r\n\r\n`,
  )
  const answer = await sendRaw(proxy.port, sent.join(''), { answers: 20 })
  t.same(answer.statuses, Array(20).fill(200))
  t.notOk(answer.closed)
  t.equal(most, 1, 'side by side only safe ones may be (RFC 9112 section 9.3.2)')
  t.same(
    upstream.requests.map(({ target }) => target),
    sent.map((_, n) => `/open?${n}`),
  )
})

test('many requests at once on one connection are one connection to the upstream, and a bounded number waits', async (t) => {
  const upstream = await startRawUpstream(t, () => {})
  const proxy = await startProxy(t, upstream.url, { routes: ROUTES })
  const get = 'GET /open HTTP/1.1\r\nHost: a\r\n\r\n'
  const flood = await sendRaw(proxy.port, get.repeat(2000))
  t.ok(flood.closed)
  t.ok(upstream.requests.length <= 1, `${upstream.requests.length} requests`)
  await eventually(() => proxy.openStreams.size === 0, { message: 'nothing stays open when the client goes' })
})
