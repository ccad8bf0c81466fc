import { once } from 'node:events'
import { createServer, type ServerHttp2Session } from 'node:http2'
import type { AddressInfo } from 'node:net'
import { test } from 'tap'
import { WebSocket, WebSocketServer } from 'ws'
import { createRouteTable } from '../../../sidecar/domain/routes.ts'
import { upstreamAddress } from '../../../sidecar/domain/upstream.ts'
import { eventually } from '../../helpers/eventually.ts'
import { sendRaw, startRawUpstream } from '../../helpers/raw-http.ts'
import { startProxy } from '../../helpers/sidecar-proxy.ts'

const get = (path: string) => `GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`
const at = (address: string) => upstreamAddress.read(address)
const open = (path: string, address?: string) => ({
  name: path,
  path,
  access: 'public' as const,
  upstream: address === undefined ? undefined : at(address),
})

test('a route names its service; the path that was matched is the path it gets', async (t) => {
  const [main, orders, users] = await Promise.all([startRawUpstream(t), startRawUpstream(t), startRawUpstream(t)])
  const routes = [open('/orders/**', orders.url), open('/users/**', users.url), open('/**')]
  const proxy = await startProxy(t, main.url, { routes })
  const send = async (path: string) => t.same((await sendRaw(proxy.port, get(path), { quietMs: 20 })).statuses, [200])
  for (const path of ['/orders/1?a=b', '/users/x%20y', '/orders', '/else', '/ORDERS/1']) await send(path)
  const targets = (upstream: typeof main) => upstream.requests.map(({ target }) => target)
  t.same(targets(orders), ['/orders/1?a=b', '/orders'])
  t.same(targets(users), ['/users/x%20y'])
  t.same(targets(main), ['/else', '/ORDERS/1'])
})

test('a service that is down takes none of the others with it, and neither does one that is full', async (t) => {
  const main = await startRawUpstream(t)
  const held = await startRawUpstream(t, () => {})
  const routes = [open('/down', 'http://127.0.0.1:1'), open('/held', held.url), open('/**')]
  const proxy = await startProxy(t, main.url, { routes, maxConnections: 1 })
  t.same((await sendRaw(proxy.port, get('/down'))).statuses, [502])
  void sendRaw(proxy.port, get('/held'), { patienceMs: 60_000 })
  await eventually(() => held.requests.length === 1)
  t.same((await sendRaw(proxy.port, get('/held'))).statuses, [503])
  t.same((await sendRaw(proxy.port, get('/else'))).statuses, [200])
})

test('a WebSocket goes to the service of its route', async (t) => {
  const main = await startRawUpstream(t)
  const wss = new WebSocketServer({ port: 0, host: '127.0.0.1' })
  await once(wss, 'listening')
  t.teardown(() => wss.close())
  wss.on('connection', (socket, { url }) => socket.send(url ?? ''))
  const chat = `http://127.0.0.1:${(wss.address() as AddressInfo).port}`
  const proxy = await startProxy(t, main.url, { routes: [open('/chat/**', chat), open('/**')] })
  const socket = new WebSocket(`ws://127.0.0.1:${proxy.port}/chat/1?a=b`)
  const [message] = await once(socket, 'message')
  t.equal(String(message), '/chat/1?a=b')
  t.equal(main.requests.length, 0)
  socket.terminate()
  await eventually(() => proxy.openStreams.size === 0)
})

test('connections are made when first needed, shared by routes, and let go when no route has them', async (t) => {
  const main = await startRawUpstream(t)
  let answer = () => {}
  const other = await startRawUpstream(t, (request, response) => {
    if (request.url === '/a/slow') answer = () => response.end('at last')
    else response.end('served')
  })
  const never = await startRawUpstream(t)
  const before = [open('/a/**', other.url), open('/b/**', `${other.url}/`), open('/c/**', never.url), open('/**')]
  const proxy = await startProxy(t, main.url, { routes: before })
  t.same((await sendRaw(proxy.port, get('/a'), { quietMs: 10 })).statuses, [200])
  t.same((await sendRaw(proxy.port, get('/b'), { quietMs: 10 })).statuses, [200])
  t.equal(other.sockets.size, 1)
  t.equal(never.sockets.size, 0)

  const slow = sendRaw(proxy.port, get('/a/slow'))
  await eventually(() => other.requests.length === 3)
  const idle = sendRaw(proxy.port, get('/b'), { quietMs: 10 })
  t.same((await idle).statuses, [200])
  // What a reload of the routes file does.
  const table = createRouteTable(proxy.state.routes.routes.filter(({ path }) => path === '/**'))
  proxy.state.routes = table
  proxy.upstreams.retain(table.routes)
  await eventually(() => other.sockets.size === 1, { message: 'the idle one ends at once' })
  t.same((await sendRaw(proxy.port, get('/a'), { quietMs: 10 })).statuses, [200])
  t.equal(main.requests.at(-1)?.target, '/a')
  answer()
  t.match((await slow).text, /at last/, 'what was under way finishes')
  await eventually(() => other.sockets.size === 0, { message: 'and its connection ends then' })

  // And back again.
  proxy.state.routes = createRouteTable([...before.map((route) => ({ ...table.match('GET', '/'), ...route }))])
  proxy.upstreams.retain(proxy.state.routes.routes)
  t.same((await sendRaw(proxy.port, get('/a'), { quietMs: 10 })).statuses, [200])
  t.equal(other.requests.length, 5)
})

test('a request that was decided before a reload goes to the service that the routes no longer have, and keeps nothing open there', async (t) => {
  const main = await startRawUpstream(t)
  const one = await startRawUpstream(t)
  const sessions = new Set<ServerHttp2Session>()
  const two = createServer((_request, response) => response.end('served'))
  two.on('session', (session) => {
    sessions.add(session)
    session.on('close', () => sessions.delete(session))
  })
  two.listen(0, '127.0.0.1')
  await once(two, 'listening')
  t.teardown(() => {
    for (const session of sessions) session.destroy()
    two.close()
  })
  const routes = [open('/one', one.url), open('/two', `h2c://127.0.0.1:${(two.address() as AddressInfo).port}`)]
  const proxy = await startProxy(t, main.url, { routes })
  proxy.upstreams.retain([])
  for (const path of ['/one', '/two', '/one', '/two']) {
    t.same((await sendRaw(proxy.port, get(path), { quietMs: 20 })).statuses, [200], path)
  }
  await eventually(() => one.sockets.size === 0 && sessions.size === 0, {
    message: 'each connection ends after its request',
  })
  const [, connections] = /^sidecar_upstream_connections (\d+)$/m.exec(await proxy.metrics.metrics()) ?? []
  t.equal(connections, '0')
})
