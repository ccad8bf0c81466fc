import type { Server } from 'node:http'
import type { Socket } from 'node:net'
import { answerOn } from './answer-on.ts'
import { openConnections } from './open-connections.ts'

/** So many looks in the time that a client may take nothing. */
const LOOKS = 4

/**
 * Ends connections whose client takes nothing of what is there for it. Node bounds how long a request takes to arrive, and
 * how long a connection idles; a time for the whole connection would be set anew with each piece that moves, which costs a
 * twentieth of a request. So a look now and then gives a time to those that have something waiting.
 * @param stallMs how long nothing may move: milliseconds; up to a quarter more until it is seen
 */
export function giveUpStalledClients(server: Server, stallMs: number): void {
  const open = openConnections(server)
  const timed = new WeakSet<Socket>()
  const look = () => {
    for (const socket of open) {
      // Whoever takes the connection over, as a WebSocket does, bounds it.
      const isWaited = socket.writableLength > 0
      if (isWaited && !timed.has(socket)) {
        timed.add(socket)
        // Node's server ends it then; until then everything that moves begins the time anew.
        socket.setTimeout(stallMs)
      } else if (!isWaited && timed.delete(socket) && answerOn(socket)) {
        // Now the client waits for us. Without an answer Node has given it the time that it may idle.
        socket.setTimeout(0)
      }
    }
  }
  const looking = setInterval(look, stallMs / LOOKS).unref()
  server.once('close', () => clearInterval(looking))
}
