import type { Server, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'

/** Node keeps the answer that has the socket here. */
interface HttpSocket extends Socket {
  _httpMessage?: ServerResponse | null
}

/**
 * Ends connections on which nothing has moved for so long, unless the client is waiting for its answer: it does not read
 * what is there for it, or idles. Node itself bounds only how long a request takes to arrive.
 * @param stallMs milliseconds
 */
export function giveUpStalledClients(server: Server, stallMs: number): void {
  server.setTimeout(stallMs, (socket: HttpSocket) => {
    const isWaiting = socket._httpMessage != null && socket.writableLength === 0
    if (!isWaiting) socket.destroy()
  })
}
