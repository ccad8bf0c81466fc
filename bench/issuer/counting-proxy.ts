import { type AddressInfo, connect, createServer, type Socket } from 'node:net'

/** A relay in front of a server that counts what is sent to it. */
export interface CountingProxy {
  /** The server's address with the relay's host and port. */
  url: string
  /** How often something was sent so far: one request at a time, that is the number of round trips. */
  sent(): number
  close(): Promise<void>
}

/** @param url with a host and a port, such as `redis://127.0.0.1:6379/0` */
export async function startCountingProxy(url: string): Promise<CountingProxy> {
  const target = new URL(url)
  const sockets = new Set<Socket>()
  let sent = 0
  const server = createServer({ noDelay: true }, (client) => {
    const upstream = connect({ host: target.hostname, port: Number(target.port), noDelay: true })
    client.on('data', () => sent++)
    for (const [from, to] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      sockets.add(from)
      from.pipe(to)
      from.on('error', () => to.destroy())
      from.on('close', () => {
        sockets.delete(from)
        to.destroy()
      })
    }
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const relayed = new URL(url)
  relayed.host = `127.0.0.1:${(server.address() as AddressInfo).port}`
  return {
    url: relayed.href,
    sent: () => sent,
    close() {
      for (const socket of sockets) socket.destroy()
      return new Promise((resolve) => server.close(() => resolve()))
    },
  }
}
