import type { IncomingMessage, ServerResponse } from 'node:http'
import { STATUS_CODES } from 'node:http'
import { PROBLEM_TYPE, PROBLEMS, type ProblemCode, problemDocument, problemText } from '../../shared/problem.ts'
import { METHODS } from '../domain/target.ts'
import { isBodyPending } from './request-body.ts'

const REALM = 'sallyport'

/** When it is worth asking again: seconds. */
const RETRY_AFTER_S: Partial<Record<ProblemCode, number>> = {
  revocations_stale: 5,
  keys_unavailable: 5,
  overloaded: 1,
  draining: 1,
}

/** What the client is told beside the code. */
export interface DenialDetail {
  /** The scopes that would be needed, when it is they that are missing (RFC 6750 section 3.1). */
  scopes?: readonly string[]
}

// A flood of refusals should cost no more than it must.
const bodies = new Map<ProblemCode, Buffer>()

/**
 * Answers with a problem document (RFC 9457); on 401 with the challenge of RFC 6750 section 3, which names an error only
 * when there was a token. If the request's body has not all arrived, the connection is not used again (CVE-2025-55702).
 */
export function deny(
  request: IncomingMessage,
  response: ServerResponse,
  code: ProblemCode,
  detail: DenialDetail = {},
): void {
  const body = bodyOf(code)
  const headers = denialHeaders(code, body.length, detail)
  const pending = isBodyPending(request)
  if (pending) headers.push('Connection', 'close')
  const [status] = PROBLEMS[code]
  // A head of the upstream's that could not be written may have left its own words here.
  response.writeHead(status, STATUS_CODES[status], headers)
  if (!pending) {
    response.end(body)
    return
  }
  if (request.method !== 'HEAD') response.write(body)
  endUnread(request, response)
}

/** A whole answer for a socket on which no request could be read. */
export function denialText(code: ProblemCode): string {
  const [status] = PROBLEMS[code]
  const body = bodyOf(code)
  const headers = [...denialHeaders(code, body.length, {}), 'Connection', 'close']
  const lines = headers.flatMap((name, i) => (i % 2 === 0 ? [`${name}: ${headers[i + 1]}`] : []))
  return `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n${lines.join('\r\n')}\r\n\r\n${body}`
}

function denialHeaders(code: ProblemCode, length: number, { scopes }: DenialDetail): string[] {
  const headers = ['Content-Type', PROBLEM_TYPE, 'Content-Length', String(length), 'Cache-Control', 'no-store']
  const challenge = challengeOf(code, scopes)
  if (challenge) headers.push('WWW-Authenticate', challenge)
  const retryAfter = RETRY_AFTER_S[code]
  if (retryAfter !== undefined) headers.push('Retry-After', String(retryAfter))
  if (code === 'method_not_allowed') headers.push('Allow', METHODS.join(', '))
  return headers
}

function challengeOf(code: ProblemCode, scopes: readonly string[] | undefined): string | undefined {
  if (code === 'token_missing') return `Bearer realm="${REALM}"`
  if (code === 'token_invalid') return `Bearer realm="${REALM}", error="invalid_token"`
  return scopes && `Bearer realm="${REALM}", error="insufficient_scope", scope="${scopes.join(' ')}"`
}

function bodyOf(code: ProblemCode): Buffer {
  let body = bodies.get(code)
  if (!body) {
    body = Buffer.from(problemText(problemDocument(code)))
    bodies.set(code, body)
  }
  return body
}

/** How long, and for how much, a client may go on sending after its answer: milliseconds, bytes. */
const LINGER_MS = 1000
const LINGER_BYTES = 256 * 1024

/**
 * Ends an answer whose request's body is still on its way: what comes is read and thrown away, for a while. Closing at
 * once would reset the connection, and the client would never see the answer (RFC 9112 section 9.6).
 */
export function endUnread(request: IncomingMessage, response: ServerResponse): void {
  let left = LINGER_BYTES
  const end = () => {
    clearTimeout(timer)
    request.off('data', count)
    response.end()
  }
  const count = (chunk: Buffer) => {
    left -= chunk.length
    if (left <= 0) end()
  }
  const timer = setTimeout(end, LINGER_MS)
  request.on('data', count).once('end', end).once('close', end).resume()
}
