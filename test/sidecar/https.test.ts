import { once } from 'node:events'
import { copyFileSync, writeFileSync } from 'node:fs'
import { createServer as createTlsServer, request as httpsRequest } from 'node:https'
import { type AddressInfo, connect as connectPlain } from 'node:net'
import { join } from 'node:path'
import { type ConnectionOptions, connect } from 'node:tls'
import { type Test, test } from 'tap'
import { WebSocket, WebSocketServer } from 'ws'
import { createLog } from '../../shared/log.ts'
import { startSidecar } from '../../sidecar/main.ts'
import { eventually } from '../helpers/eventually.ts'
import { startRecordingUpstream } from '../helpers/recording-upstream.ts'
import { startProxy } from '../helpers/sidecar-proxy.ts'
import { temporaryFolder } from '../helpers/temporary-folder.ts'
import { type Authority, createAuthority } from '../servers/certificates.ts'
import { onPath } from '../servers/command.ts'

const skip = onPath('openssl') === undefined && 'there is no openssl'
const log = createLog('test', 'silent')

interface Tls {
  authority: Authority
  folder: string
  env: Record<string, string>
}

async function setUp(t: Test): Promise<Tls> {
  const folder = temporaryFolder(t)
  const authority = await createAuthority(folder)
  const { certFile, keyFile } = await authority.issue('sidecar')
  const routes = join(folder, 'routes.yaml')
  writeFileSync(routes, 'routes:\n  - path: /open/**\n    access: public\n')
  const env = {
    SIDECAR_PORT: '0',
    SIDECAR_ADMIN_PORT: '0',
    SIDECAR_TLS_CERT_FILE: certFile,
    SIDECAR_TLS_KEY_FILE: keyFile,
    ROUTES_FILE: routes,
    FEED_TOKEN: 'a feed token that only the tests know',
    ISSUER_URL: 'http://127.0.0.1:1',
    DATA_DIR: join(folder, 'data'),
  }
  return { authority, folder, env }
}

async function sidecarOf(t: Test, env: Record<string, string>): Promise<URL> {
  const sidecar = await startSidecar(env, { log })
  t.teardown(sidecar.close)
  return new URL(sidecar.url)
}

/** @returns status and body, or the error's code */
function ask(
  { port }: URL,
  path: string,
  options: ConnectionOptions,
): Promise<[status: number, body: string] | string> {
  return new Promise((resolve) => {
    const to = { port, host: '127.0.0.1', servername: 'localhost', path, agent: false, ...options }
    const request = httpsRequest(to, (response) => {
      let body = ''
      response.setEncoding('utf8').on('data', (chunk) => {
        body += chunk
      })
      response.on('end', () => resolve([response.statusCode ?? 0, body]))
    })
    request.on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message))
    request.end()
  })
}

test('the proxy speaks HTTPS, nothing older than TLS 1.2, and no HTTP/2', { skip }, async (t) => {
  const { authority, env } = await setUp(t)
  const upstream = await startRecordingUpstream(t)
  const url = await sidecarOf(t, { ...env, UPSTREAM: upstream.url })
  t.equal(url.protocol, 'https:')
  const { ca } = authority
  const [status] = (await ask(url, '/open/a', { ca })) as [number, string]
  t.equal(status, 200)
  t.equal(upstream.requests[0]?.headers['x-forwarded-proto'], 'https')
  t.match(await ask(url, '/closed', { ca }), [401])
  t.match(await ask(url, '/open', { ca, maxVersion: 'TLSv1.1', minVersion: 'TLSv1' }), /ERR_SSL|EPROTO|ECONNRESET/)
  t.match(await ask(url, '/open', {}), /SELF_SIGNED|UNABLE_TO_VERIFY/)

  const socket = connect({ port: Number(url.port), host: '127.0.0.1', ca, ALPNProtocols: ['h2', 'http/1.1'] })
  await once(socket, 'secureConnect')
  t.equal(socket.alpnProtocol, 'http/1.1')
  socket.destroy()
})

test('what is no TLS is ended, and the proxy goes on', { skip }, async (t) => {
  const { authority, env } = await setUp(t)
  const upstream = await startRecordingUpstream(t)
  const url = await sidecarOf(t, { ...env, UPSTREAM: upstream.url })
  for (const bytes of ['GET /open HTTP/1.1\r\nHost: a\r\n\r\n', '\x16\x03\x01nonsense', '']) {
    const socket = connectPlain(Number(url.port), '127.0.0.1')
    socket.on('error', () => {})
    let text = ''
    socket.on('data', (chunk) => {
      text += chunk
    })
    const closed = once(socket, 'close')
    socket.end(bytes)
    await closed
    t.notMatch(text, /served|200/)
  }
  t.equal(upstream.requests.length, 0)
  t.match(await ask(url, '/open', { ca: authority.ca }), [200])
})

test('a handshake that never comes, or never ends, is given up', { skip }, async (t) => {
  const { authority } = await setUp(t)
  const tls = await authority.issue('proxy')
  const proxy = await startProxy(t, 'http://127.0.0.1:1', { tls, timeouts: { headersMs: 200, checkMs: 50 } })
  for (const bytes of ['', '\x16\x03\x01\x02\x00\x01']) {
    const socket = connectPlain(proxy.port, '127.0.0.1')
    t.teardown(() => socket.destroy())
    socket.on('error', () => {})
    socket.write(bytes, 'latin1')
    await eventually(() => socket.closed, { within: 60_000, message: 'the end of the connection' })
  }
})

test('WebSockets over TLS, to a service over TLS', { skip }, async (t) => {
  const { authority, env } = await setUp(t)
  const { cert, key } = await authority.issue('service')
  const server = createTlsServer({ cert, key }, (_request, response) => response.end('from the service'))
  const wss = new WebSocketServer({ server })
  wss.on('connection', (socket) => socket.on('message', (data) => socket.send(String(data))))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  const UPSTREAM = `https://localhost:${(server.address() as AddressInfo).port}`
  const url = await sidecarOf(t, { ...env, UPSTREAM, UPSTREAM_CA_FILE: authority.caFile })
  const { ca } = authority
  t.same(await ask(url, '/open', { ca }), [200, 'from the service'])
  const socket = new WebSocket(`wss://127.0.0.1:${url.port}/open/chat`, { ca })
  await once(socket, 'open')
  const message = 'x'.repeat(100_000)
  socket.send(message)
  t.equal(String((await once(socket, 'message'))[0]), message)
  socket.close(1000)
  t.equal((await once(socket, 'close'))[0], 1000)

  const untrusting = await sidecarOf(t, { ...env, UPSTREAM })
  t.match(await ask(untrusting, '/open', { ca }), [502, /upstream_unreachable/])
})

test('clients need a certificate where that is asked for, also after a renewal', { skip }, async (t) => {
  const { authority, folder, env } = await setUp(t)
  const upstream = await startRecordingUpstream(t)
  const clients = await createAuthority(folder, 'clients')
  const [known, stranger, renewed] = [
    await clients.issue('known'),
    await authority.issue('stranger'),
    await authority.issue('renewed'),
  ]
  const url = await sidecarOf(t, { ...env, UPSTREAM: upstream.url, SIDECAR_TLS_CLIENT_CA_FILE: clients.caFile })
  const { ca } = authority
  const check = async (when: string) => {
    t.match(await ask(url, '/open', { ca, cert: known.cert, key: known.key }), [200], when)
    for (const certificate of [{}, { cert: stranger.cert, key: stranger.key }]) {
      t.type(await ask(url, '/open', { ca, ...certificate }), 'string', `${when}: no answer`)
    }
  }
  await check('at first')
  t.equal(upstream.requests.length, 1)

  const serial = () =>
    new Promise<string>((resolve, reject) => {
      const options = { port: Number(url.port), host: '127.0.0.1', ca, cert: known.cert, key: known.key }
      const socket = connect({ ...options, servername: 'localhost' }, () => {
        resolve(socket.getPeerCertificate().serialNumber)
        socket.destroy()
      })
      socket.once('error', reject)
    })
  const first = await serial()
  copyFileSync(renewed.keyFile, env.SIDECAR_TLS_KEY_FILE!)
  copyFileSync(renewed.certFile, env.SIDECAR_TLS_CERT_FILE!)
  await eventually(async () => (await serial()) !== first, { within: 60_000, every: 200 })
  await check('after the renewal')
})

test('a certificate that can’t be used is said at the start', { skip }, async (t) => {
  const { authority, env } = await setUp(t)
  const other = await authority.issue('other')
  const start = (more: Record<string, string>) =>
    startSidecar({ ...env, UPSTREAM: 'http://127.0.0.1:1', ...more }, { log })
  await t.rejects(start({ SIDECAR_TLS_KEY_FILE: other.keyFile }), {
    name: 'SettingsError',
    message: /^SIDECAR_TLS_CERT_FILE, SIDECAR_TLS_KEY_FILE: .* is not the key of/,
  })
  await t.rejects(start({ SIDECAR_TLS_CERT_FILE: '/nonexistent' }), { name: 'SettingsError', message: /ENOENT/ })
})
