import { once } from 'node:events'
import { createServer } from 'node:http'
import { type AddressInfo, connect, type Socket } from 'node:net'
import type { Writable } from 'node:stream'
import { type Test, test } from 'tap'
import { call } from '../helpers/client.ts'
import type { Running } from '../helpers/deployment.ts'
import { eventually } from '../helpers/eventually.ts'
import { startOpenSidecar } from '../helpers/open-sidecar.ts'

/** Of each: clients that do not read, and uploads that the service does not read. */
const COUNT = 16
const OFFERED_BYTES = 64 * 1024 * 1024
/** What it may grow, with all that has passed through meanwhile: an eighth of what would pile up. */
const GROWTH_BYTES = (2 * COUNT * OFFERED_BYTES) / 8
const DEADLINE = { within: 60_000 }

async function metricOf({ adminUrl }: Running, name: string): Promise<number> {
  const { body } = await call<{ text: string }>(`${adminUrl}/metrics`)
  return Number(new RegExp(`^${name} (\\S+)$`, 'm').exec(body.text)?.[1])
}

const residentBytes = (sidecar: Running) => metricOf(sidecar, 'process_resident_memory_bytes')

const PIECE = Buffer.alloc(256 * 1024)

/** Writes as much as is taken, up to {@link OFFERED_BYTES}. */
function pour(to: Writable, onWritten: (bytes: number) => void): void {
  let left = OFFERED_BYTES
  const write = () => {
    while (left > 0) {
      left -= PIECE.length
      onWritten(PIECE.length)
      if (to.write(PIECE)) continue
      to.once('drain', write)
      return
    }
  }
  write()
}

/** A service that offers without end, takes nothing of uploads, and answers everything else. */
async function startService(t: Test) {
  let offered = 0
  const server = createServer((request, response) => {
    if (request.method === 'POST') {
      request.pause()
      return
    }
    if (request.url !== '/endless') {
      response.end('served')
      return
    }
    pour(response, (bytes) => {
      offered += bytes
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, offered: () => offered }
}

function begin(t: Test, url: string, head: string): Socket {
  const socket = connect(Number(new URL(url).port), '127.0.0.1')
  t.teardown(() => socket.destroy())
  socket.on('error', () => {})
  socket.pause()
  socket.write(`${head} HTTP/1.1\r\nHost: a\r\n`)
  return socket
}

test('clients that do not read, and a service that does not: nothing piles up, others are served', {
  timeout: 300_000,
}, async (t) => {
  const service = await startService(t)
  const sidecar = await startOpenSidecar(t, service.url, { REQUEST_TIMEOUT: '10s' }, [`bodyLimit: ${OFFERED_BYTES}B`])
  for (let i = 0; i < 200; i++) await call(`${sidecar.url}/`)
  const before = await residentBytes(sidecar)

  const readers = Array.from({ length: COUNT }, () => begin(t, sidecar.url, 'GET /endless'))
  for (const socket of readers) socket.write('\r\n')
  const uploads = Array.from({ length: COUNT }, () => begin(t, sidecar.url, 'POST /upload'))
  let uploaded = 0
  for (const socket of uploads) {
    socket.write(`Content-Length: ${OFFERED_BYTES}\r\n\r\n`)
    pour(socket, (bytes) => {
      uploaded += bytes
    })
  }
  const moved = () => service.offered() + uploaded
  let last = -1
  await eventually(
    () => {
      const still = moved() > 0 && moved() === last
      last = moved()
      return still
    },
    { ...DEADLINE, every: 500, message: 'nothing moves any more' },
  )
  t.ok(service.offered() < COUNT * OFFERED_BYTES, 'the service was slowed down')
  t.ok(uploaded < COUNT * OFFERED_BYTES, 'and so were the uploads')
  const grown = (await residentBytes(sidecar)) - before
  t.ok(grown < GROWTH_BYTES, `${grown} bytes more`)
  t.comment(`${(grown / 1e6).toFixed(1)} MB more with ${COUNT} answers and ${COUNT} uploads that do not move`)
  t.match(await call(`${sidecar.url}/`), { status: 200 })

  for (const socket of [...readers, ...uploads]) socket.destroy()
  // Whoever does not read does not see an end either: the service not at all, the sidecar, which has stopped reading the
  // uploads, when their time is over.
  await eventually(async () => (await metricOf(sidecar, 'sidecar_open_streams')) === 0, DEADLINE)
  await eventually(async () => (await metricOf(sidecar, 'sidecar_upstream_connections')) === 0, DEADLINE)
})
