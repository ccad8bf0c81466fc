import type { IncomingHttpHeaders } from 'node:http'
import type { Duplex } from 'node:stream'
import { PROBLEMS } from '../../shared/problem.ts'
import { endUnread } from './denials.ts'
import type { Exchange } from './exchange.ts'
import { isBodyPending } from './request-body.ts'
import { responseHeaders, responseTrailers } from './response-headers.ts'
import { joinTunnel } from './tunnel.ts'
import type { AnswerController, AnswerHandler } from './upstream-connections.ts'
import { upstreamErrorCode, upstreamProblem } from './upstream-errors.ts'

/** A body up to this size that comes with its head leaves with it: bytes. */
const MAX_MERGED_BYTES = 16 * 1024

export interface AnswerParts {
  /** Whether connections are to be given up after this answer. */
  isDraining(): boolean
  onUpstreamError(code: string, error: Error, exchange: Exchange): void
}

/**
 * Takes the upstream's answer and writes it to the client as it comes. The upstream is stopped while the client does
 * not keep up, so what is buffered is bounded whatever the answer's length.
 */
export class UpstreamAnswer implements AnswerHandler {
  readonly #exchange: Exchange
  readonly #parts: AnswerParts
  #timer: NodeJS.Timeout | undefined
  #begun = false
  #ended = false
  #bodyBegun = false
  /** The first piece, until it is known whether it is all of the body. */
  #first: Buffer | undefined

  constructor(exchange: Exchange, parts: AnswerParts) {
    this.#exchange = exchange
    this.#parts = parts
  }

  /**
   * Gives the upstream time to begin its answer, counted from the end of the request's body: how long the client takes
   * to send that is not the upstream's fault.
   */
  startTimer(timeoutMs: number): void {
    if (this.#exchange.response.headersSent || this.#exchange.isOver) return
    this.#timer = setTimeout(() => this.#exchange.fail('upstream_timeout', 'failed', 'upstream_timeout'), timeoutMs)
  }

  get state(): 'waiting' | 'over' | 'begun' {
    if (this.#begun) return 'begun'
    return this.#exchange.isOver ? 'over' : 'waiting'
  }

  onRequestStart(controller: AnswerController): void {
    this.#begun = true
    this.#exchange.attach(controller)
  }

  onResponseStart(controller: AnswerController, status: number, headers: IncomingHttpHeaders): void {
    const { request, response } = this.#exchange
    if (this.#exchange.isOver) return
    if (status < 200) {
      // It has no body, and a client that believes a length would take the answer for one (RFC 9110 section 8.6).
      delete headers['content-length']
      // 100 was ours to say, and HTTP/1.0 knows none of these (RFC 9110 section 15.2). Nothing stops the upstream while
      // the client does not read: what can't leave at once is left out, for it is only a hint.
      if (status !== 101 && request.httpVersion !== '1.0' && response.writableLength === 0) {
        response.writeInformation(status, responseHeaders(headers))
      }
      return
    }
    clearTimeout(this.#timer)
    const isEmpty = status === 304 || status === 204
    const claimsBody = (headers['content-length'] ?? '0') !== '0' || headers['transfer-encoding'] !== undefined
    // It has none (RFC 9110 section 8.6), and a client that believes one would take the next answer for its body.
    if (status === 204) delete headers['content-length']
    const fields = responseHeaders(headers)
    if (this.#parts.isDraining() || isBodyPending(request)) fields.push('Connection', 'close')
    response.writeHead(status, fields)
    if (isEmpty && claimsBody) {
      // It ends with its head (RFC 9112 section 6.3), but undici (7.30) would wait for what the head speaks of.
      this.onResponseEnd(controller, {})
      controller.abort(new Error('the answer has ended'))
      return
    }
    process.nextTick(flushHead, this)
  }

  onRequestUpgrade(_controller: AnswerController, _status: number, headers: IncomingHttpHeaders, socket: Duplex): void {
    const exchange = this.#exchange
    exchange.detach()
    if (!exchange.isOver && headers.upgrade?.toLowerCase() === 'websocket') {
      joinTunnel(exchange, socket, headers)
      return
    }
    socket.destroy()
    exchange.fail('upstream_failed', 'failed', 'upstream_failed')
  }

  onResponseData(controller: AnswerController, chunk: Buffer): void {
    const { response } = this.#exchange
    if (!this.#bodyBegun && chunk.length <= MAX_MERGED_BYTES) {
      this.#bodyBegun = true
      this.#first = chunk
      return
    }
    this.#bodyBegun = true
    this.#writeFirst()
    if (response.write(chunk)) return
    controller.pause()
    response.once('drain', () => controller.resume())
  }

  onResponseEnd(_controller: AnswerController, trailers: IncomingHttpHeaders): void {
    const { request, response } = this.#exchange
    if (this.#exchange.isOver) return
    this.#ended = true
    this.#bodyBegun = true
    this.#exchange.detach()
    if (response.chunkedEncoding) response.addTrailers(responseTrailers(trailers))
    if (isBodyPending(request)) {
      this.#writeFirst()
      endUnread(request, response)
      return
    }
    const only = this.#first
    this.#first = undefined
    // In the encoding of heads, head and body are one string and one write; as a Buffer they would be a vector of two,
    // which costs a tenth of the request more.
    if (only) response.end(only.toString('latin1'), 'latin1')
    else response.end()
  }

  onResponseError(_controller: AnswerController | undefined, error: Error): void {
    clearTimeout(this.#timer)
    if (this.#ended) return
    const exchange = this.#exchange
    exchange.detach()
    // Once the exchange is over or the client's connection is, this is only the echo of that.
    if (exchange.isOver || exchange.request.socket.destroyed) return
    const problem = upstreamProblem(error)
    if (PROBLEMS[problem][0] < 500) {
      exchange.fail(problem, 'denied', problem)
      return
    }
    this.#parts.onUpstreamError(upstreamErrorCode(error), error, exchange)
    exchange.fail(problem, 'failed', problem)
  }

  /** What has come by the end of the tick goes out; where the body is still to come, the head alone (event streams). */
  flush(): void {
    const { response, isOver } = this.#exchange
    if (isOver) return
    // Not `flushHeaders`: it writes the head as UTF-8 (Node 26), and a byte beyond ASCII would become two.
    if (!this.#bodyBegun) response.write('', 'latin1')
    this.#bodyBegun = true
    this.#writeFirst()
  }

  #writeFirst(): void {
    const first = this.#first
    this.#first = undefined
    if (first) this.#exchange.response.write(first)
  }
}

function flushHead(answer: UpstreamAnswer): void {
  answer.flush()
}
