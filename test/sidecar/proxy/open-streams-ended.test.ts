import { createServer as createHttp2Server, type ServerHttp2Stream } from 'node:http2'
import { type AddressInfo, connect } from 'node:net'
import { type Test, test } from 'tap'
import type { ProblemCode } from '../../../shared/problem.ts'
import type { EndReason } from '../../../sidecar/proxy/open-streams.ts'
import { eventually } from '../../helpers/eventually.ts'
import { startRawUpstream } from '../../helpers/raw-http.ts'
import { startProxy } from '../../helpers/sidecar-proxy.ts'

type Proxy = Awaited<ReturnType<typeof startProxy>>

/** What is open: how it is asked for, and what is seen of it when its token ends. */
interface Kind {
  name: string
  /** The head but for the token, and what comes after it. */
  head: string
  body?: string
  /** What the client has before the end. */
  before: string
  /** The client is told after all, rather than seeing its answer broken off. */
  told?: boolean
  /** The end would otherwise look like the answer's. */
  reset?: boolean
}

const KINDS: Kind[] = [
  { name: 'an event stream', head: 'GET /events HTTP/1.1', before: 'data: 1' },
  { name: 'a download with a length', head: 'GET /length HTTP/1.1', before: 'part' },
  { name: 'a download in chunks', head: 'GET /chunks HTTP/1.1', before: 'part' },
  { name: 'a download without a length (HTTP/1.0)', head: 'GET /chunks HTTP/1.0', before: 'part', reset: true },
  { name: 'a request that waits for its answer', head: 'GET /silent HTTP/1.1', before: '', told: true },
  {
    name: 'an upload with a length',
    head: 'POST /silent HTTP/1.1\r\nContent-Length: 1000',
    body: 'half',
    before: '',
    told: true,
  },
  {
    name: 'an upload in chunks',
    head: 'POST /silent HTTP/1.1\r\nTransfer-Encoding: chunked',
    body: '4\r\nhalf\r\n',
    before: '',
    told: true,
  },
  {
    name: 'an upload that is being answered',
    head: 'PUT /length HTTP/1.1\r\nContent-Length: 1000',
    body: 'half',
    before: 'part',
  },
]

const EXP = Math.floor(Date.now() / 1000) + 600

const KNOWN = { isFresh: true, graceMs: 0 }
const UNKNOWN = { isFresh: false, graceMs: 0 }

interface Way {
  reason: EndReason
  /** What a client is told whose answer has not begun. */
  answer: [status: number, code: ProblemCode]
  end(proxy: Proxy): void
}

const WAYS: Way[] = [
  {
    reason: 'revoked',
    answer: [401, 'token_invalid'],
    end: (proxy) => proxy.revoke({ kind: 'session', sid: 'gone', sub: 'ada', exp: EXP }),
  },
  {
    reason: 'expired',
    answer: [401, 'token_invalid'],
    end: (proxy) => proxy.openStreams.sweep((EXP + 5) * 1000, KNOWN),
  },
  {
    reason: 'revocations_stale',
    answer: [503, 'revocations_stale'],
    end(proxy) {
      for (const ms of [0, 500, 1000]) proxy.openStreams.sweep((EXP - 60) * 1000 + ms, UNKNOWN)
    },
  },
]

const OPEN = { name: 'open', path: '/open/**', staleness: 'open' } as const

/** Sends one request and keeps what comes back, until the end. */
function ask(t: Test, proxy: Proxy, { head, body = '' }: Pick<Kind, 'head' | 'body'>, claims: object) {
  const socket = connect(proxy.port, '127.0.0.1')
  t.teardown(() => socket.destroy())
  let text = ''
  let error: string | undefined
  socket.setEncoding('latin1')
  socket.on('data', (chunk) => {
    text += chunk
  })
  socket.on('error', (failure: NodeJS.ErrnoException) => {
    error = failure.code
  })
  const closed = new Promise<string | undefined>((resolve) => {
    socket.once('close', () => resolve(error))
  })
  socket.write(`${head}\r\nHost: a\r\nAuthorization: Bearer ${proxy.token(claims)}\r\n\r\n${body}`)
  return { socket, closed, text: () => text }
}

for (const { reason, answer, end } of WAYS) {
  for (const kind of KINDS) {
    test(`${kind.name} is ended (${reason}) on both sides; others stay`, async (t) => {
      let more = () => {}
      const upstream = await startRawUpstream(t, (request, response) => {
        // Its own connection ends without an answer.
        response.on('error', () => {})
        if (request.url === '/length') response.writeHead(200, { 'content-length': 1000 })
        if (request.url !== '/silent') response.write(request.url!.endsWith('/events') ? 'data: 1\n\n' : 'part')
        if (request.headers['x-user-id'] === 'bob') {
          more = () => void response.write('data: more\n\n')
        }
      })
      const proxy = await startProxy(t, upstream.url, { routes: [OPEN] })
      const kept = ask(t, proxy, { head: 'GET /open/events HTTP/1.1' }, { sub: 'bob', sid: 'kept', exp: EXP + 60 })
      const gone = ask(t, proxy, kind, { sub: 'ada', sid: 'gone', exp: EXP })
      await eventually(() => upstream.requests.length === 2 && kept.text().includes('data: 1'), { within: 60_000 })
      await eventually(() => gone.text().includes(kind.before), { within: 60_000 })
      if (reason === 'expired') {
        // Old enough for the indexes, and not yet over.
        proxy.openStreams.sweep((EXP + 5) * 1000 - 1, KNOWN)
        t.equal(proxy.openStreams.size, 2)
      }
      end(proxy)

      if (!kind.told) {
        const error = await gone.closed
        t.match(gone.text(), /^HTTP\/1\.[01] 200 /)
        t.notMatch(gone.text(), /\r\n0\r\n/, 'no end is claimed')
        if (kind.reset) t.equal(error, 'ECONNRESET')
      } else {
        await eventually(() => gone.text().includes(answer[1]), { within: 60_000 })
        t.ok(gone.text().startsWith(`HTTP/1.1 ${answer[0]} `))
        t.equal(/^Retry-After: \d+\r$/m.test(gone.text()), answer[0] === 503)
        if (kind.body) await gone.closed
      }
      await eventually(() => upstream.sockets.size === 1, { within: 60_000, message: 'the service sees the end' })
      t.notOk(
        upstream.requests.some(({ method, complete }) => method !== 'GET' && complete),
        'and no half is taken for the whole',
      )
      await eventually(() => proxy.openStreams.size === 1, { within: 60_000 })
      t.match(await proxy.metrics.metrics(), new RegExp(`outcome="ended",reason="${reason}"} 1`))
      more()
      await eventually(() => kept.text().includes('data: more'), { within: 60_000 })
    })
  }
}

test('the refusal that an upload gets is not broken off by what comes after it', async (t) => {
  const upstream = await startRawUpstream(t, () => {})
  const proxy = await startProxy(t, upstream.url)
  const upload = { head: 'POST /silent HTTP/1.1\r\nContent-Length: 8', body: 'half' }
  const gone = ask(t, proxy, upload, { sub: 'ada', sid: 'gone', exp: EXP })
  await eventually(() => upstream.requests.length === 1, { within: 20_000 })
  for (let look = 0; look < 2; look++) proxy.openStreams.sweep((EXP + 5) * 1000, KNOWN)
  for (const { end } of WAYS) end(proxy)
  gone.socket.write('rest')
  t.equal(await gone.closed, undefined)
  t.match(gone.text(), /^HTTP\/1\.1 401 .*"code":"token_invalid"}\s*$/s)
  t.match(await proxy.metrics.metrics(), /outcome="ended",reason="expired"} 1/)
})

test('a download that its client does not read ends all the same', async (t) => {
  const upstream = await startRawUpstream(t, (_request, response) => {
    const piece = Buffer.alloc(256 * 1024)
    const pour = () => {
      while (response.write(piece));
      response.once('drain', pour)
    }
    pour()
  })
  const proxy = await startProxy(t, upstream.url)
  const slow = ask(t, proxy, { head: 'GET / HTTP/1.1' }, { sub: 'ada', sid: 'gone' })
  slow.socket.pause()
  await eventually(() => upstream.sockets.size === 1, { within: 60_000 })
  let before = -1
  const written = () => [...upstream.sockets][0]!.bytesWritten
  await eventually(
    () => {
      const still = before > 0 && before === written()
      before = written()
      return still
    },
    { within: 60_000, every: 100, message: 'nothing moves any more' },
  )
  proxy.revoke({ kind: 'session', sid: 'gone', sub: 'ada', exp: EXP })
  await eventually(() => upstream.sockets.size === 0 && proxy.openStreams.size === 0, { within: 60_000 })
  slow.socket.resume()
  await slow.closed
})

test('over HTTP/2 the one request ends and the connection stays', async (t) => {
  const server = createHttp2Server()
  const ended: string[] = []
  let sessions = 0
  let arrived = 0
  server.on('session', () => sessions++)
  server.on('stream', (stream: ServerHttp2Stream, headers) => {
    arrived++
    stream.on('error', () => {})
    stream.on('aborted', () => ended.push(`${headers[':method']} ${headers['x-session-id']}`))
    if (headers[':method'] === 'POST') return
    stream.respond({ ':status': 200 })
    stream.write('data: 1\n\n')
  })
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve)
  })
  const proxy = await startProxy(t, `h2c://127.0.0.1:${(server.address() as AddressInfo).port}`)
  t.teardown(() => {
    proxy.upstreams.destroy()
    server.close()
  })
  const open = [
    ask(t, proxy, KINDS[0]!, { sid: 'kept' }),
    ask(t, proxy, KINDS[0]!, { sid: 'gone' }),
    ask(t, proxy, { head: 'POST / HTTP/1.1\r\nContent-Length: 1000', body: 'half' }, { sid: 'gone' }),
  ]
  await eventually(() => open.slice(0, 2).every(({ text }) => text().includes('data: 1')), { within: 60_000 })
  await eventually(() => arrived === 3, { within: 60_000 })
  proxy.revoke({ kind: 'session', sid: 'gone', sub: 'x', exp: EXP })
  await open[1]!.closed
  t.notMatch(open[1]!.text(), /\r\n0\r\n/)
  await eventually(() => ended.length === 2, { within: 60_000, message: 'the service sees both end' })
  t.same(ended.toSorted(), ['GET gone', 'POST gone'])
  t.equal(sessions, 1)
  await eventually(() => proxy.openStreams.size === 1, { within: 60_000 })
})
