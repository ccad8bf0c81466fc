import type { Server } from 'node:http'
import type { FastifyInstance } from 'fastify'
import { answerOn } from './answer-on.ts'
import { openConnections } from './open-connections.ts'

/** How often connections that idle are ended while a server closes: milliseconds. */
const IDLE_LOOK_MS = 200

/**
 * Keeps an answer that is complete here, but not with its client, from being cut off when idle connections are closed: for
 * Node a connection idles as soon as the answer has been handed over, however slowly the client takes it.
 */
export function spareUnsentAnswers(server: Server): void {
  const open = openConnections(server)
  const closeIdleConnections = server.closeIdleConnections.bind(server)
  // Node calls it too, when the server closes.
  server.closeIdleConnections = () => {
    const unsent = [...open].map(answerOn).filter((answer) => answer?.finished)
    // What Node goes by; its list of connections is its own.
    for (const answer of unsent) answer!.finished = false
    closeIdleConnections()
    for (const answer of unsent) answer!.finished = true
  }
}

/** Closes a server in good order: it accepts no more, and each connection ends when what it was asked for is answered. */
export async function closeServer(app: FastifyInstance): Promise<void> {
  const closed = app.close()
  // An answer that had begun before could not say that it is its connection's last; Node would go on keeping that.
  const idle = setInterval(() => app.server.closeIdleConnections(), IDLE_LOOK_MS)
  try {
    await closed
  } finally {
    clearInterval(idle)
  }
}
