import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { answerOn, isLast } from '../../shared/answer-on.ts'

/** Requests of one connection that may be under way behind the one that is being answered. */
const MAX_BEHIND = 50

/** What is done about clients that do not wait for one answer before they send the next request. */
export interface Pipelining {
  /**
   * Node reads on while answers are due, so that one connection could open any number to the upstream, and behind the
   * last answer of a connection, where nothing is to be processed any more (RFC 9112 section 9.6).
   * @returns whether this request is one too many; then its connection has been ended, or is about to be
   */
  isTooMuch(request: IncomingMessage, response: ServerResponse): boolean
  /**
   * For a request after which the connection is no longer HTTP: calls `proceed` when the answers before it are out. The
   * connection is ended if one of them is still being made, for nobody would see any more when its client goes.
   * @returns whether it has been ended at once
   */
  afterAnswers(request: IncomingMessage, proceed: () => void): boolean
}

export function createPipelining(): Pipelining {
  const behind = new WeakMap<Socket, Set<ServerResponse>>()

  const afterAnswers = (socket: Socket, proceed: () => void) => {
    const earlier = answerOn(socket)
    if (!earlier) {
      proceed()
      return false
    }
    if (earlier.writableEnded) {
      earlier.once('close', () => {
        if (!socket.destroyed) afterAnswers(socket, proceed)
      })
      return false
    }
    socket.destroy()
    // Node has let go of the socket and would tell only the answer that has it.
    for (const response of behind.get(socket) ?? []) response.emit('close')
    return true
  }

  return {
    isTooMuch({ socket }, response) {
      // Only an answer that has to wait for others has no socket yet.
      if (response.socket !== null) return false
      // Node itself refuses a request without Host and says that this was the last answer, but reads on.
      const earlier = answerOn(socket)
      if (earlier && isLast(earlier) && earlier.writableEnded) return true
      const waiting = behind.get(socket) ?? new Set()
      if (waiting.size >= MAX_BEHIND) {
        socket.destroy()
        return true
      }
      behind.set(socket, waiting.add(response))
      response.once('close', () => waiting.delete(response))
      return false
    },
    afterAnswers: ({ socket }, proceed) => afterAnswers(socket, proceed),
  }
}
