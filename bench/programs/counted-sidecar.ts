import diagnostics from 'node:diagnostics_channel'
import { createRequire } from 'node:module'
import type { Socket } from 'node:net'

// A real sidecar that says once a second, in a line of JSON, which connections it holds and what went over them so far.

export interface CountedSidecar {
  env: Record<string, string>
}

export interface Connections {
  /** By remote port: how many are open, and the bytes of all there ever were. */
  byPort: Record<string, { open: number; received: number; sent: number }>
  /** Requests to Kafka so far, by their name in the protocol. */
  requests: Record<string, number>
}

const { env } = JSON.parse(process.argv[2]!) as CountedSidecar
const sockets: { socket: Socket; port: number | undefined }[] = []
diagnostics.subscribe('net.client.socket', (message) => {
  const seen = { socket: (message as { socket: Socket }).socket, port: undefined as number | undefined }
  seen.socket.once('connect', () => {
    seen.port = seen.socket.remotePort
  })
  sockets.push(seen)
})

const requests: Record<string, number> = {}
type Pushed = { entry: { apiName: string } }
const queue = createRequire(import.meta.url)('kafkajs/src/network/requestQueue') as {
  prototype: { push(pushed: Pushed): void }
}
const push = queue.prototype.push
queue.prototype.push = function (pushed) {
  requests[pushed.entry.apiName] = (requests[pushed.entry.apiName] ?? 0) + 1
  push.call(this, pushed)
}

const { startSidecar } = await import('../../sidecar/main.ts')
const sidecar = await startSidecar(env)
await sidecar.ready
process.stdout.write('ready\n')
setInterval(() => {
  const byPort: Connections['byPort'] = {}
  for (const { socket, port } of sockets) {
    if (port === undefined) continue
    byPort[port] ??= { open: 0, received: 0, sent: 0 }
    const sum = byPort[port]
    sum.open += Number(!socket.destroyed)
    sum.received += socket.bytesRead
    sum.sent += socket.bytesWritten
  }
  process.stdout.write(`${JSON.stringify({ byPort, requests } satisfies Connections)}\n`)
}, 1000)
