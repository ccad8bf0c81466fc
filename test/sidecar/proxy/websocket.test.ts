import { once } from 'node:events'
import { createServer, type IncomingMessage } from 'node:http'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { type Test, test } from 'tap'
import { type ClientOptions, WebSocket, WebSocketServer } from 'ws'
import { eventually } from '../../helpers/eventually.ts'
import { sendRaw, startRawUpstream, valuesOf } from '../../helpers/raw-http.ts'
import { startProxy } from '../../helpers/sidecar-proxy.ts'

const KNOWN = { isFresh: true, graceMs: 0 }

/** A service that sends every message back; it knows one subprotocol and refuses `/no`. */
async function startEcho(t: Test) {
  const handshakes: IncomingMessage[] = []
  const sockets: WebSocket[] = []
  const closes: [number, string][] = []
  const wss = new WebSocketServer({
    noServer: true,
    perMessageDeflate: { threshold: 0 },
    handleProtocols: (offered) => (offered.has('second') ? 'second' : false),
  })
  const server = createServer()
  server.on('upgrade', (request, socket, head) => {
    handshakes.push(request)
    if (request.url === '/no') {
      socket.end('HTTP/1.1 403 Forbidden\r\nContent-Length: 4\r\nX-Mine: 1\r\n\r\nmine')
      return
    }
    wss.handleUpgrade(request, socket, head, (ws) => {
      sockets.push(ws)
      ws.on('message', (data, isBinary) => ws.send(data, { binary: isBinary }))
      ws.on('close', (code, reason) => closes.push([code, String(reason)]))
    })
  })
  wss.on('headers', (headers) => headers.push('Set-Cookie: ws=1'))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    for (const socket of sockets) socket.terminate()
    server.close()
  })
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, handshakes, sockets, closes }
}

type Proxy = Awaited<ReturnType<typeof startProxy>>

function open(
  t: Test,
  proxy: Proxy,
  token?: string,
  path = '/chat?room=1',
  protocols: string[] = [],
  more: ClientOptions = {},
) {
  const socket = new WebSocket(`ws://127.0.0.1:${proxy.port}${path}`, protocols, {
    ...more,
    headers: { ...(token !== undefined && { authorization: `Bearer ${token}` }), ...more.headers },
  })
  t.teardown(() => socket.terminate())
  const closed = new Promise<[number, string]>((resolve) => {
    socket.on('close', (code, reason) => resolve([code, String(reason)]))
  })
  socket.on('error', () => {})
  return { socket, closed }
}

test('messages go both ways, and the service knows who it is talking to', async (t) => {
  const echo = await startEcho(t)
  const proxy = await startProxy(t, echo.url)
  const token = proxy.token({ sub: 'ada', sid: 's1' })
  let cookie: unknown
  const { socket, closed } = open(t, proxy, token, '/chat?room=1', ['first', 'second'], {
    headers: { 'X-User-Id': 'evil', x_user_id: 'evil', Cookie: 'c=1', Origin: 'http://b' },
  })
  socket.on('upgrade', (response) => {
    cookie = response.headers['set-cookie']
  })
  await once(socket, 'open')
  t.equal(socket.protocol, 'second', 'the service chooses the subprotocol')
  t.match(socket.extensions, /permessage-deflate/, 'and the extensions')
  t.same(cookie, ['ws=1'])
  const [{ url, rawHeaders }] = echo.handshakes as [IncomingMessage]
  t.equal(url, '/chat?room=1')
  t.same(valuesOf(rawHeaders, 'x-user-id'), ['ada'])
  t.same(valuesOf(rawHeaders, 'cookie'), ['c=1'])
  t.same(valuesOf(rawHeaders, 'origin'), ['http://b'])
  t.same(valuesOf(rawHeaders, 'authorization'), [])
  t.notOk(rawHeaders.includes('evil'))
  for (const message of ['hello', 'x'.repeat(200_000)]) {
    socket.send(message)
    const [data] = await once(socket, 'message')
    t.ok(String(data) === message)
  }
  t.equal(proxy.openStreams.size, 1)
  socket.close(1000, 'bye')
  t.same(await closed, [1000, 'bye'])
  await eventually(() => proxy.openStreams.size === 0 && echo.closes.length === 1)
  t.same(echo.closes, [[1000, 'bye']])
  t.match(
    await proxy.metrics.metrics(),
    /sidecar_requests_total\{door="proxy",route="default",outcome="served",reason=""\} 1/,
  )
})

test('a handshake is decided on like any request, and the service’s refusal is passed on', async (t) => {
  const echo = await startEcho(t)
  const proxy = await startProxy(t, echo.url, { routes: [{ name: 'open', path: '/open', access: 'public' }] })
  const status = async (token: string | undefined, path: string) => {
    const { socket } = open(t, proxy, token, path)
    const [, response] = await Promise.race([
      once(socket, 'unexpected-response'),
      once(socket, 'open').then(() => [undefined, { statusCode: 101, headers: {} }]),
    ])
    return response as IncomingMessage
  }
  const denied = await status(undefined, '/chat')
  t.equal(denied.statusCode, 401)
  t.match(denied.headers['www-authenticate'], /^Bearer/)
  t.equal((await status('nonsense', '/chat')).statusCode, 401)
  t.equal((await status(undefined, '/open/../chat')).statusCode, 401, 'ws resolves the dots itself')
  t.equal(echo.handshakes.length, 0)
  t.equal((await status(undefined, '/open')).statusCode, 101)
  const refused = await status(proxy.token(), '/no')
  t.equal(refused.statusCode, 403)
  t.equal(refused.headers['x-mine'], '1')
  const raw = await sendRaw(
    proxy.port,
    'GET /open/../x HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n',
    { closes: true },
  )
  t.same(raw.statuses, [400])
  t.ok(raw.closed)
})

test('no service: 502', async (t) => {
  const proxy = await startProxy(t, 'http://127.0.0.1:1')
  const { socket } = open(t, proxy, proxy.token())
  const [, response] = await once(socket, 'unexpected-response')
  t.equal(response.statusCode, 502)
  await eventually(() => proxy.openStreams.size === 0)
})

test('a service that upgrades to something else: 502', async (t) => {
  const server = createServer()
  server.on('upgrade', (_request, socket) => {
    socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n')
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  const proxy = await startProxy(t, `http://127.0.0.1:${(server.address() as AddressInfo).port}`)
  const { socket } = open(t, proxy, proxy.token())
  const [, response] = await once(socket, 'unexpected-response')
  t.equal(response.statusCode, 502)
})

test('a service that does not upgrade is answered for', async (t) => {
  const upstream = await startRawUpstream(t)
  const proxy = await startProxy(t, upstream.url)
  const { socket } = open(t, proxy, proxy.token())
  const [, response] = await once(socket, 'unexpected-response')
  t.equal(response.statusCode, 200, 'with its own words')
})

test('both ends are closed with 4401 when the token is revoked; others stay (CVE-2020-26892, GHSA-4hv6-xc92-j86g)', async (t) => {
  const echo = await startEcho(t)
  const proxy = await startProxy(t, echo.url)
  const exp = Math.floor(Date.now() / 1000) + 600
  const revoked = open(t, proxy, proxy.token({ sub: 'ada', sid: 's1' }))
  const kept = open(t, proxy, proxy.token({ sub: 'ada', sid: 's2', epoch: 5 }))
  await Promise.all([once(revoked.socket, 'open'), once(kept.socket, 'open')])
  proxy.revoke({ kind: 'session', sid: 's1', sub: 'ada', exp })
  t.same(await revoked.closed, [4401, 'token revoked'])
  await eventually(() => echo.closes.length === 1)
  t.same(echo.closes, [[4401, 'token revoked']])
  kept.socket.send('still here')
  const [data] = await once(kept.socket, 'message')
  t.equal(String(data), 'still here')
  proxy.revoke({ kind: 'user', sub: 'ada', epoch: 5, exp })
  kept.socket.send('and now')
  await once(kept.socket, 'message')
  proxy.revoke({ kind: 'key', kid: 'key-1', exp })
  t.same(await kept.closed, [4401, 'token revoked'])
  await eventually(() => proxy.openStreams.size === 0)
  t.match(await proxy.metrics.metrics(), /outcome="ended",reason="revoked"\} 2/)
})

test('both ends are closed with 4401 when the token expires', async (t) => {
  const echo = await startEcho(t)
  const proxy = await startProxy(t, echo.url)
  const exp = Math.floor(Date.now() / 1000) + 60
  const { socket, closed } = open(t, proxy, proxy.token({ exp }))
  await once(socket, 'open')
  proxy.openStreams.sweep((exp + 5) * 1000 - 1, KNOWN)
  socket.send('a')
  await once(socket, 'message')
  proxy.openStreams.sweep((exp + 5) * 1000, KNOWN)
  t.same(await closed, [4401, 'token expired'])
  await eventually(() => echo.closes.length === 1)
  t.same(echo.closes, [[4401, 'token expired']])
})

test('both ends are closed with 1013 when it is not known who has logged out', async (t) => {
  const echo = await startEcho(t)
  const proxy = await startProxy(t, echo.url)
  const { socket, closed } = open(t, proxy, proxy.token())
  await once(socket, 'open')
  const nowMs = Date.now() + 2000
  for (const ms of [0, 500, 1000]) proxy.openStreams.sweep(nowMs + ms, { isFresh: false, graceMs: 0 })
  // What comes while the ends take leave of each other changes nothing.
  proxy.openStreams.sweep(nowMs + 3_600_000, KNOWN)
  t.same(await closed, [1013, 'revocations stale'])
  await eventually(() => echo.closes.length === 1 && proxy.openStreams.size === 0)
  t.same(echo.closes, [[1013, 'revocations stale']])
  t.match(await proxy.metrics.metrics(), /outcome="ended",reason="revocations_stale"\} 1/)
})

test('in the middle of a frame the rest is let through before the Close, or both are cut', async (t) => {
  const echo = await startEcho(t)
  const proxy = await startProxy(t, echo.url)
  const exp = Math.floor(Date.now() / 1000) + 600
  const handshake = (token: string) =>
    `GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nAuthorization: Bearer ${token}\r\n\r\n`
  for (const [sid, sendRest] of [
    ['finishes', true],
    ['stalls', false],
  ] as const) {
    const socket = connect(proxy.port, '127.0.0.1')
    socket.on('error', () => {})
    let text = ''
    socket.on('data', (chunk) => {
      text += chunk.toString('latin1')
    })
    const ended = new Promise<void>((resolve) => {
      socket.on('close', () => resolve())
    })
    socket.write(handshake(proxy.token({ sid })))
    await eventually(() => text.includes('101 Switching'))
    const before = echo.closes.length
    const arrived = () => (echo.sockets.at(-1) as unknown as { _socket: Socket })._socket.bytesRead
    const ofHandshake = arrived()
    // A masked text frame of six bytes, of which three come before the revocation.
    socket.write(Buffer.from([0x81, 0x86, 0, 0, 0, 0, 0x61, 0x62, 0x63]))
    await eventually(() => arrived() === ofHandshake + 9, { message: 'the service has what there is' })
    proxy.revoke({ kind: 'session', sid, sub: 'x', exp })
    if (sendRest) socket.write(Buffer.from([0x64, 0x65, 0x66, 0x81, 0x81, 0, 0, 0, 0, 0x7a]))
    await ended
    await eventually(() => echo.closes.length === before + 1)
    t.equal(echo.closes.at(-1)![0], sendRest ? 4401 : 1006, sid)
    t.ok(text.includes('\x88'), 'the client got a Close')
  }
  await eventually(() => proxy.openStreams.size === 0)
})

test('an end that is lost takes the other with it', async (t) => {
  const echo = await startEcho(t)
  const proxy = await startProxy(t, echo.url)
  const first = open(t, proxy, proxy.token())
  await once(first.socket, 'open')
  first.socket.terminate()
  await eventually(() => proxy.openStreams.size === 0 && echo.closes.length === 1)
  const second = open(t, proxy, proxy.token())
  await once(second.socket, 'open')
  echo.sockets[1]!.terminate()
  t.equal((await second.closed)[0], 1006)
  await eventually(() => proxy.openStreams.size === 0)
})

test('an end that does not read slows the other down', async (t) => {
  const echo = await startEcho(t)
  const proxy = await startProxy(t, echo.url)
  const { socket } = open(t, proxy, proxy.token(), '/', [], { perMessageDeflate: false })
  await once(socket, 'open')
  echo.sockets[0]!.pause()
  const piece = Buffer.alloc(1024 * 1024)
  for (let i = 0; i < 64; i++) socket.send(piece)
  let before = -1
  await eventually(
    () => {
      const still = socket.bufferedAmount === before
      before = socket.bufferedAmount
      return still
    },
    { every: 150 },
  )
  t.ok(socket.bufferedAmount > 32 * 1024 * 1024, 'what is not read stays with the sender')
  echo.sockets[0]!.terminate()
  await eventually(() => proxy.openStreams.size === 0)
})

test('400 sockets of one user end at once', async (t) => {
  const echo = await startEcho(t)
  const proxy = await startProxy(t, echo.url)
  const all = Array.from({ length: 400 }, () => open(t, proxy, proxy.token({ sub: 'ada' })))
  await Promise.all(all.map(({ socket }) => once(socket, 'open')))
  const startedAt = performance.now()
  proxy.revoke({ kind: 'user', sub: 'ada', epoch: 1, exp: Math.floor(Date.now() / 1000) + 600 })
  const codes = await Promise.all(all.map(({ closed }) => closed))
  t.ok(codes.every(([code]) => code === 4401))
  t.comment(`${Math.round(performance.now() - startedAt)} ms`)
  await eventually(() => proxy.openStreams.size === 0)
})
