import { connect as connectTcp, isIP, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'

/** Where raw bytes go. */
export interface Endpoint {
  host: string
  port: number
  /** Over TLS; `ca` is trusted beside the usual authorities (PEM). */
  tls?: { ca?: string }
}

/** A connection on which anything can be said. */
export interface Wire {
  write(bytes: string | Buffer): void
  /** What came so far, one character a byte. */
  received(): string
  /** Whether the other side has ended the connection. */
  isClosed(): boolean
  /** Resolves when `done` says so, when the connection has ended, or after `ms`; never rejects. */
  until(done: () => boolean, ms: number): Promise<void>
  destroy(): void
  /** The own address on the way to the deployment. */
  localAddress: string
}

/** No answer of interest is longer: bytes. A deployment that sends without end does not fill the memory here. */
const MAX_RECEIVED = 4 * 1024 * 1024
const CONNECT_MS = 10_000

/** Opens a connection; throws when nobody is there within 10 s. */
export async function openWire({ host, port, tls }: Endpoint): Promise<Wire> {
  const socket: Socket = tls
    ? connectTls({
        host,
        port,
        ...(isIP(host) === 0 && { servername: host }),
        ALPNProtocols: ['http/1.1'],
        ...(tls.ca && { ca: tls.ca }),
      })
    : connectTcp({ host, port })
  await connected(socket, tls ? 'secureConnect' : 'connect')
  socket.setNoDelay(true)
  let text = ''
  let closed = false
  const watchers = new Set<() => void>()
  const notify = () => {
    for (const watcher of [...watchers]) watcher()
  }
  const end = () => {
    closed = true
    notify()
  }
  socket.setEncoding('latin1')
  socket.on('data', (piece: string) => {
    text += piece
    if (text.length > MAX_RECEIVED) socket.destroy()
    notify()
  })
  socket.on('error', () => {})
  socket.on('end', end)
  socket.on('close', end)
  return {
    write(bytes) {
      if (!closed) socket.write(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes)
    },
    received: () => text,
    isClosed: () => closed,
    until: (done, ms) =>
      new Promise((resolve) => {
        const finish = () => {
          clearInterval(timer)
          watchers.delete(look)
          resolve()
        }
        const look = () => {
          if (closed || done()) finish()
        }
        // In four parts, between which what has come is read: after a standstill a timer is over before that.
        let parts = 0
        const timer = setInterval(() => {
          if (++parts === 4) finish()
        }, ms / 4)
        watchers.add(look)
        look()
      }),
    destroy: () => socket.destroy(),
    localAddress: socket.localAddress ?? '127.0.0.1',
  }
}

function connected(socket: Socket, event: 'connect' | 'secureConnect'): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      socket.destroy()
      reject(new Error(`no connection within ${CONNECT_MS / 1000} s`))
    }, CONNECT_MS)
    socket.once('error', (error) => {
      clearTimeout(timer)
      reject(error)
    })
    socket.once(event, () => {
      clearTimeout(timer)
      resolve()
    })
  })
}
