import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { answerOn, isLast } from '../../shared/answer-on.ts'

/** Requests of one connection that may wait behind the one that is being answered. */
const MAX_BEHIND = 50

/** What is done about clients that do not wait for one answer before they send the next request. */
export interface Pipelining {
  /**
   * Calls `proceed` when a request has its turn. Node reads on while answers are due; but only safe requests may be
   * processed side by side (RFC 9112 section 9.3.2), and what is decided later knows of more revocations.
   * @returns whether it has or will have one; else it is one too many, or behind the last answer of its connection, where
   *   nothing is to be processed any more (section 9.6), and the connection has been ended, or is about to be
   */
  inTurn(request: IncomingMessage, response: ServerResponse, proceed: () => void): boolean
  /**
   * For a request after which the connection is no longer HTTP: calls `proceed` when the answers before it are out. The
   * connection is ended if one of them is still being made, for nobody would see any more when its client goes.
   * @returns whether it has been ended at once
   */
  afterAnswers(request: IncomingMessage, proceed: () => void): boolean
}

export function createPipelining(): Pipelining {
  const behind = new WeakMap<Socket, number>()

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
    return true
  }

  return {
    inTurn({ socket }, response, proceed) {
      // Only an answer that has to wait for others has no socket yet.
      if (response.socket !== null) {
        proceed()
        return true
      }
      // Node itself refuses a request without Host and says that this was the last answer, but reads on.
      const earlier = answerOn(socket)
      if (earlier && isLast(earlier) && earlier.writableEnded) return false
      const waiting = behind.get(socket) ?? 0
      if (waiting >= MAX_BEHIND) {
        socket.destroy()
        return false
      }
      behind.set(socket, waiting + 1)
      response.once('socket', () => {
        behind.set(socket, behind.get(socket)! - 1)
        // Node has still to write what the answer holds by now, which is nothing.
        process.nextTick(() => {
          if (!socket.destroyed) proceed()
        })
      })
      return true
    },
    afterAnswers: ({ socket }, proceed) => afterAnswers(socket, proceed),
  }
}
