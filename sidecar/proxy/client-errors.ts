import type { Socket } from 'node:net'
import { answerOn } from '../../shared/answer-on.ts'
import type { ProblemCode } from '../../shared/problem.ts'
import { denialText } from './denials.ts'

const PROBLEM_OF: Record<string, ProblemCode> = {
  HPE_HEADER_OVERFLOW: 'header_fields_too_large',
  HPE_CHUNK_EXTENSIONS_OVERFLOW: 'payload_too_large',
  ERR_HTTP_REQUEST_TIMEOUT: 'request_timeout',
}

/**
 * Answers what could not be read as HTTP/1.1 and ends the connection: after such bytes nobody knows where the next
 * request begins. An answer that has begun, or belongs to a request that was read to its end, is not mixed up with it.
 * @param onRefused told the problem's code
 */
export function createClientErrorHandler(onRefused: (code: ProblemCode) => void) {
  return (error: NodeJS.ErrnoException, socket: Socket): void => {
    // Over a TLS connection that was never made nothing can be said: the end of it would wait for ever to be sent.
    if (error.code === 'ECONNRESET' || error.code === 'ERR_TLS_HANDSHAKE_TIMEOUT' || socket.destroyed) {
      socket.destroy()
      return
    }
    const code = PROBLEM_OF[error.code ?? ''] ?? 'invalid_request'
    onRefused(code)
    const answer = answerOn(socket)
    const unanswered = !answer || (!answer.headersSent && !answer.req.complete)
    if (socket.writable && unanswered) socket.end(denialText(code), () => socket.destroy())
    else socket.destroy()
  }
}
