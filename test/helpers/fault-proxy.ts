import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'

export interface FaultProxy {
  port: number
  /**
   * From now on, the first bytes from a client for which `matches` is true are kept back, with all that follow on that
   * connection; resolves when that has happened.
   */
  holdAt(matches: (bytes: Buffer) => boolean): Promise<void>
  /** Every connection is cut and new ones are refused, until `restore`. */
  cut(): void
  restore(): void
  close(): Promise<void>
}

/** A TCP proxy on loopback that can keep bytes back or cut connections: the network's faults, nothing of the server. */
export async function startFaultProxy(targetPort: number): Promise<FaultProxy> {
  const sockets = new Set<Socket>()
  let refused = false
  let hold: { matches: (bytes: Buffer) => boolean; held: () => void } | undefined
  const server = createServer((client) => {
    if (refused) return client.resetAndDestroy()
    const upstream = connect(targetPort, '127.0.0.1')
    let holding = false
    for (const [from, to] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      sockets.add(from)
      from.setNoDelay(true)
      from.on('error', () => to.destroy())
      from.on('close', () => {
        sockets.delete(from)
        to.destroy()
      })
    }
    upstream.pipe(client)
    client.on('data', (bytes: Buffer) => {
      if (holding) return
      if (hold?.matches(bytes)) {
        holding = true
        hold.held()
        hold = undefined
        return
      }
      upstream.write(bytes)
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    port: (server.address() as AddressInfo).port,
    holdAt: (matches) => new Promise((held) => (hold = { matches, held })),
    cut() {
      refused = true
      for (const socket of sockets) socket.destroy()
    },
    restore() {
      refused = false
    },
    async close() {
      for (const socket of sockets) socket.destroy()
      server.close()
      await once(server, 'close')
    },
  }
}
