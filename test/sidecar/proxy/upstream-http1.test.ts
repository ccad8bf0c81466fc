import { once } from 'node:events'
import { createServer, type RequestListener, type Server } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import { type AddressInfo, connect, createServer as createNetServer } from 'node:net'
import { join } from 'node:path'
import { type Test, test } from 'tap'
import { WebSocket, WebSocketServer } from 'ws'
import { DEFAULT_ROUTE } from '../../../sidecar/domain/route.ts'
import { upstreamAddress } from '../../../sidecar/domain/upstream.ts'
import { openHttp1 } from '../../../sidecar/proxy/upstream-http1.ts'
import { eventually } from '../../helpers/eventually.ts'
import { sendRaw, startRawUpstream, valuesOf } from '../../helpers/raw-http.ts'
import { type ProxyOptions, startProxy } from '../../helpers/sidecar-proxy.ts'
import { temporaryFolder } from '../../helpers/temporary-folder.ts'
import { createAuthority } from '../../servers/certificates.ts'
import { onPath } from '../../servers/command.ts'

const OPEN: ProxyOptions = { routes: [{ name: 'open', path: '/**', access: 'public' }] }
const GET = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n'
const skipTls = onPath('openssl') === undefined && 'there is no openssl'

type Proxy = Awaited<ReturnType<typeof startProxy>>
const connectionsOf = (proxy: Proxy) => proxy.upstreams.of(DEFAULT_ROUTE).size

function ended(t: Test, server: Server): void {
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
}

/** A service that only answers when told to. */
async function startHolding(t: Test) {
  const held: (() => void)[] = []
  const upstream = await startRawUpstream(t, (_request, response) => void held.push(() => response.end('served')))
  return {
    ...upstream,
    held,
    release() {
      for (const answer of held.splice(0)) answer()
    },
  }
}

test('after a burst the connections go, and with them all that is kept of them', async (t) => {
  const upstream = await startHolding(t)
  const proxy = await startProxy(t, upstream.url, OPEN)
  const burst = Array.from({ length: 60 }, () => sendRaw(proxy.port, GET))
  await eventually(() => upstream.held.length === 60, { within: 60_000 })
  t.equal(connectionsOf(proxy), 60)
  t.match(await proxy.metrics.metrics(), /^sidecar_upstream_connections 60$/m)
  upstream.release()
  for (const { statuses } of await Promise.all(burst)) t.same(statuses, [200])
  await eventually(() => connectionsOf(proxy) === 0, { within: 60_000, message: 'none is kept for long' })
  await eventually(() => upstream.sockets.size === 0, { within: 60_000 })
})

test('a request takes the connection that was used last, so that the others end', async (t) => {
  const upstream = await startHolding(t)
  const proxy = await startProxy(t, upstream.url, OPEN)
  const two = [sendRaw(proxy.port, GET), sendRaw(proxy.port, GET)]
  await eventually(() => upstream.held.length === 2)
  upstream.release()
  await Promise.all(two)
  const busy = setInterval(() => upstream.release(), 5)
  t.teardown(() => clearInterval(busy))
  await eventually(
    async () => {
      await sendRaw(proxy.port, GET, { quietMs: 10 })
      return upstream.sockets.size === 1
    },
    { within: 60_000, message: 'under a load that one connection bears, one is left' },
  )
})

test('one request too many is 503 and opens nothing', async (t) => {
  const upstream = await startHolding(t)
  const proxy = await startProxy(t, upstream.url, { ...OPEN, maxConnections: 2 })
  const two = [sendRaw(proxy.port, GET), sendRaw(proxy.port, GET, { patienceMs: 20_000 })]
  await eventually(() => upstream.held.length === 2)
  const third = await sendRaw(proxy.port, GET)
  t.same(third.statuses, [503])
  t.match(third.text, /retry-after: 1\r\n[\s\S]*"code":"overloaded"/i)
  t.equal(upstream.sockets.size, 2)
  t.match(await proxy.metrics.metrics(), /sidecar_upstream_errors_total\{code="too_many_connections"\} 1/)
  upstream.release()
  for (const { statuses } of await Promise.all(two)) t.same(statuses, [200])
  const last = sendRaw(proxy.port, GET)
  await eventually(() => upstream.held.length === 1)
  upstream.release()
  t.same((await last).statuses, [200])
})

test('a request that was broken off makes no new connection, nor does one whose client has gone', async (t) => {
  let connections = 0
  const server = createServer(() => {})
  server.on('connection', () => connections++)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  ended(t, server)
  const proxy = await startProxy(t, `http://127.0.0.1:${(server.address() as AddressInfo).port}`, OPEN)
  for (let i = 1; i <= 3; i++) {
    const client = connect(proxy.port, '127.0.0.1')
    client.write(GET)
    await eventually(() => connections === i)
    await eventually(() => proxy.openStreams.size === 1)
    client.destroy()
    await eventually(() => connectionsOf(proxy) === 0)
  }
  t.equal(connections, 3, 'undici’s own pool would have made six')
})

test('an upstream that closes after each answer: whatever arrives arrives once, and nobody waits for ever', async (t) => {
  const received = new Map<string, number>()
  // It says that it keeps the connection, and closes it a moment later: sooner, at the same time or later than the next
  // request is sent.
  const listener: RequestListener = (request, response) => {
    received.set(request.url!, (received.get(request.url!) ?? 0) + 1)
    response.end('x', () => {
      const closeAfter = Number(request.url!.slice(1)) % 4
      if (closeAfter === 0) request.socket.destroy()
      else setTimeout(() => request.socket.end(), closeAfter - 1)
    })
  }
  const server = createServer(listener)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  ended(t, server)
  const proxy = await startProxy(t, `http://127.0.0.1:${(server.address() as AddressInfo).port}`, OPEN)
  let served = 0
  const total = 200
  for (let i = 0; i < total; i++) {
    const { status } = await fetch(`${proxy.url}/${i}`)
    if (status === 200) served++
    else t.equal(status, 502, `request ${i}`)
    t.ok((received.get(`/${i}`) ?? 0) <= 1, 'sent once at most')
    if (status === 200) t.equal(received.get(`/${i}`), 1)
  }
  t.comment(`${served} of ${total} served`)
  t.ok(served > 0)
})

test('a close that has arrived is seen before a connection is used again', async (t) => {
  let received = 0
  const server = createNetServer((socket) => {
    socket.on('error', () => {})
    socket.on('data', () => {
      received++
      socket.end('HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx')
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  const proxy = await startProxy(t, `http://127.0.0.1:${(server.address() as AddressInfo).port}`, OPEN)
  for (let i = 1; i <= 20; i++) {
    t.same((await sendRaw(proxy.port, GET, { quietMs: 5 })).statuses, [200])
    t.equal(received, i)
  }
})

test('a request that undici itself refuses gives its connection back', async (t) => {
  const connections = openHttp1(upstreamAddress.read('http://127.0.0.1:1')!, { ca: undefined, maxConnections: 1 })
  t.teardown(() => connections.destroy())
  const refusedWith = (headers: string[]) =>
    new Promise<string | undefined>((resolve) => {
      let over = false
      const handler = {
        get state() {
          return over ? ('over' as const) : ('waiting' as const)
        },
        onRequestStart() {},
        onResponseStart() {},
        onRequestUpgrade() {},
        onResponseData() {},
        onResponseEnd() {},
        onResponseError(_controller: unknown, error: NodeJS.ErrnoException) {
          over = true
          resolve(error.code)
        },
      }
      const about = {
        method: 'GET',
        path: '/',
        body: null,
        upgrade: undefined,
        headersTimeout: 0,
        servername: undefined,
      }
      connections.dispatch({ ...about, headers }, handler)
    })
  for (let i = 0; i < 3; i++) t.equal(await refusedWith(['no field', 'x']), 'UND_ERR_INVALID_ARG')
  t.equal(await refusedWith(['X-A', 'x']), 'ECONNREFUSED')
  t.equal(connections.size, 0)
})

test('a Unix socket, WebSockets included', async (t) => {
  const path = join(temporaryFolder(t), 'app.sock')
  const seen: string[][] = []
  const server = createServer((request, response) => {
    seen.push(request.rawHeaders)
    response.end('from the socket')
  })
  const wss = new WebSocketServer({ server })
  wss.on('connection', (socket) => socket.on('message', (data) => socket.send(String(data))))
  server.listen(path)
  await once(server, 'listening')
  ended(t, server)
  const proxy = await startProxy(t, `unix:${path}`, OPEN)
  const answer = await sendRaw(proxy.port, 'GET /x HTTP/1.1\r\nHost: shop.example\r\n\r\n')
  t.match(answer.text, /from the socket/)
  t.same(valuesOf(seen[0]!, 'host'), ['shop.example'])
  const socket = new WebSocket(`ws://127.0.0.1:${proxy.port}/`)
  await once(socket, 'open')
  socket.send('hello')
  t.equal(String((await once(socket, 'message'))[0]), 'hello')
  socket.close()
  await once(socket, 'close')
  const gone = await startProxy(t, `unix:${path}.gone`, OPEN)
  const refused = await sendRaw(gone.port, GET)
  t.match(refused, { statuses: [502] })
  t.match(refused.text, /"code":"upstream_unreachable"/)
  t.notMatch(refused.text, /app\.sock/)
})

test('an upstream on IPv6', async (t) => {
  const server = createServer((request, response) => response.end(request.headers.host))
  const listening = await new Promise<boolean>((resolve) => {
    server.once('error', () => resolve(false))
    server.listen(0, '::1', () => resolve(true))
  })
  if (!listening) return t.pass('there is no IPv6 here')
  ended(t, server)
  const proxy = await startProxy(t, `http://[::1]:${(server.address() as AddressInfo).port}`, OPEN)
  t.match((await sendRaw(proxy.port, GET)).text, /200 OK[\s\S]*\r\n\r\na$/)
})

test('TLS: the certificate has to be of a trusted authority and of the upstream’s own name', {
  skip: skipTls,
}, async (t) => {
  const authority = await createAuthority(temporaryFolder(t))
  const { cert, key } = await authority.issue('service')
  const names = new Set<string | false | null>()
  const server = createTlsServer({ cert, key }, (request, response) => response.end(request.headers.host))
  server.on('secureConnection', (socket) => {
    names.add(socket.servername)
  })
  server.listen(0)
  await once(server, 'listening')
  ended(t, server)
  const { port } = server.address() as AddressInfo
  const trusting = { ...OPEN, upstreamCa: authority.ca }

  const byName = await startProxy(t, `https://localhost:${port}`, trusting)
  // The client's Host is the service's to read; it neither chooses the name in the certificate nor the connection.
  for (const host of ['shop.example', 'evil.example', 'localhost', 'shop.example']) {
    const answer = await sendRaw(byName.port, `GET / HTTP/1.1\r\nHost: ${host}\r\n\r\n`)
    t.same(answer.statuses, [200], host)
    t.ok(answer.text.endsWith(host))
  }
  t.same([...names], ['localhost'])

  const byAddress = await startProxy(t, `https://127.0.0.1:${port}`, trusting)
  t.same((await sendRaw(byAddress.port, 'GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n')).statuses, [200])

  const untrusting = await startProxy(t, `https://localhost:${port}`, OPEN)
  t.same((await sendRaw(untrusting.port, GET)).statuses, [502])
  // Another address that leads here: the certificate is not for it, whatever Host says.
  const elsewhere = await startProxy(t, `https://127.0.0.2:${port}`, trusting)
  t.same((await sendRaw(elsewhere.port, 'GET / HTTP/1.1\r\nHost: localhost\r\n\r\n')).statuses, [502])
  t.match(elsewhere.lines.join(), 'ERR_TLS_CERT_ALTNAME_INVALID')
})
