import { once } from 'node:events'
import { request as httpRequest } from 'node:http'
import { connect } from 'node:net'
import { test } from 'tap'
import { WebSocket } from 'ws'
import { drain } from '../../sidecar/server.ts'
import { readAnswers } from '../helpers/answers.ts'
import { eventually } from '../helpers/eventually.ts'
import { isRefused } from '../helpers/is-refused.ts'
import { sendRaw, startRawUpstream } from '../helpers/raw-http.ts'
import { startProxy } from '../helpers/sidecar-proxy.ts'
import { startUnreadClient } from '../helpers/unread-answers.ts'

const OPEN = { routes: [{ name: 'open', path: '/**', access: 'public' as const }] }
const GET = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n'

test('the drain: goes on accepting, then finishes what is open, and loses nothing', async (t) => {
  let answer = () => {}
  const upstream = await startRawUpstream(t, (request, response) => {
    if (request.url === '/slow') answer = () => response.end('at last')
    else response.end('served')
  })
  const proxy = await startProxy(t, upstream.url, OPEN)
  const slow = sendRaw(proxy.port, GET.replace('/', '/slow'), { patienceMs: 60_000 })
  await eventually(() => upstream.requests.length === 1)
  proxy.drain()
  const drained = drain(proxy.app, proxy.openStreams, { delayMs: 6000, deadlineMs: 30_000 })
  // A machine that stands still for longer than the delay ends it before this connection is accepted.
  const during = await sendRaw(proxy.port, GET, { closes: true })
  t.same(during.statuses, [200], 'still accepted')
  t.match(during.text, /connection: close/i)
  t.ok(during.closed, 'but not kept')
  await eventually(() => isRefused(proxy.port), { message: 'no longer accepted' })
  answer()
  const finished = await slow
  t.same(finished.statuses, [200])
  t.match(finished.text, /at last/)
  await drained
  t.equal(proxy.openStreams.size, 0)
})

test('what has not finished by the deadline is ended, WebSockets with 1001', async (t) => {
  const { WebSocketServer } = await import('ws')
  const upstream = await startRawUpstream(t, (_request, response) => response.write('and so on'))
  const wss = new WebSocketServer({ port: 0, host: '127.0.0.1' })
  await once(wss, 'listening')
  t.teardown(() => wss.close())
  const http = await startProxy(t, upstream.url, OPEN)
  const ws = await startProxy(t, `http://127.0.0.1:${(wss.address() as { port: number }).port}`, OPEN)
  const endless = sendRaw(http.port, GET, { closes: true })
  await eventually(() => upstream.requests.length === 1)
  const socket = new WebSocket(`ws://127.0.0.1:${ws.port}/`)
  const closed = once(socket, 'close')
  await once(socket, 'open')
  await Promise.all([http, ws].map(({ app, openStreams }) => drain(app, openStreams, { delayMs: 0, deadlineMs: 200 })))
  t.equal((await closed)[0], 1001)
  const cut = await endless
  t.ok(cut.closed && !cut.text.includes('0\r\n\r\n'))
})

test('an answer that waits for a slow client to take it is not cut off', async (t) => {
  const body = 'x'.repeat(12 * 1024)
  const upstream = await startRawUpstream(t, (_request, response) => response.end(body))
  const proxy = await startProxy(t, upstream.url, OPEN)
  const slow = await startUnreadClient(t, proxy.app.server, GET)
  await slow.askUntilAnAnswerWaits(() => upstream.requests.length)
  const drained = drain(proxy.app, proxy.openStreams, { delayMs: 0, deadlineMs: 60_000 })
  await eventually(() => isRefused(proxy.port))
  let text = ''
  slow.client.setEncoding('latin1').on('data', (chunk) => {
    text += chunk
  })
  await once(slow.client.resume(), 'close')
  const answers = readAnswers(text, true)
  t.equal(answers.length, slow.asked())
  t.ok(answers.every((answer) => answer.status === 200 && answer.complete && answer.body === body))
  await drained
})

test('connections that idle do not hold up the drain', async (t) => {
  const upstream = await startRawUpstream(t)
  const proxy = await startProxy(t, upstream.url, OPEN)
  const idle = connect(proxy.port, '127.0.0.1')
  idle.write(GET)
  await once(idle, 'data')
  const startedAt = performance.now()
  await drain(proxy.app, proxy.openStreams, { delayMs: 0, deadlineMs: 30_000 })
  t.ok(performance.now() - startedAt < 15_000)
  idle.destroy()
})

test('under load no accepted request is lost', async (t) => {
  const upstream = await startRawUpstream(t, (_request, response) => {
    setTimeout(() => response.end('served'), 20)
  })
  const proxy = await startProxy(t, upstream.url, OPEN)
  let over = false
  let served = 0
  const lost: string[] = []
  const client = async () => {
    while (!over) {
      await new Promise<void>((resolve) => {
        const request = httpRequest({ port: proxy.port, host: '127.0.0.1', agent: false }, (response) => {
          response.on('error', (error) => lost.push(`answer: ${error.message}`))
          response.on('end', () => served++)
          response.on('close', () => resolve())
          response.resume()
        })
        request.on('error', (error: NodeJS.ErrnoException) => {
          // Not accepted is not lost.
          if (error.code === 'ECONNREFUSED') over = true
          else lost.push(String(error.code))
          resolve()
        })
        request.end()
      })
    }
  }
  const clients = Promise.all(Array.from({ length: 20 }, client))
  await eventually(() => served > 100)
  proxy.drain()
  await drain(proxy.app, proxy.openStreams, { delayMs: 200, deadlineMs: 5000 })
  over = true
  await clients
  // A connection that the kernel had taken but nobody had accepted is reset when the listener closes: at most these.
  t.same(
    lost.filter((reason) => reason !== 'ECONNRESET'),
    [],
  )
  t.equal(proxy.openStreams.size, 0)
})
