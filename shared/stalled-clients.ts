import type { Server } from 'node:http'
import { answerOn } from './answer-on.ts'

/**
 * Ends connections on which nothing has moved for so long, unless the client is waiting for its answer: it does not read
 * what is there for it, or idles. Node itself bounds only how long a request takes to arrive.
 * @param stallMs milliseconds
 */
export function giveUpStalledClients(server: Server, stallMs: number): void {
  server.setTimeout(stallMs, (socket) => {
    const isWaiting = answerOn(socket) !== undefined && socket.writableLength === 0
    if (!isWaiting) socket.destroy()
  })
}
