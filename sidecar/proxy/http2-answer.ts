import type { IncomingHttpHeaders } from 'node:http'
import { type ClientHttp2Stream, constants, type IncomingHttpStatusHeader } from 'node:http2'
import type { Readable } from 'node:stream'
import type { AnswerController, AnswerHandler, UpstreamRequest } from './upstream-connections.ts'

type StatusHeaders = IncomingHttpHeaders & IncomingHttpStatusHeader

/** The stream was reset, or its connection was lost, before the end of the answer. */
class StreamBroken extends Error {
  readonly code = 'ERR_HTTP2_STREAM_CANCEL'
}

class HeadersTimeout extends Error {
  readonly code = 'UND_ERR_HEADERS_TIMEOUT'
}

/** Carries one request and its answer over an HTTP/2 stream. */
export class Http2Answer implements AnswerController {
  readonly #stream: ClientHttp2Stream
  /**
   * Resets the stream. Its own `close` would first end the request in good order, so that the upstream took the part of
   * the body that it has for the whole.
   */
  readonly #cancel: AbortController
  readonly #answer: AnswerHandler
  readonly #onTimeout: () => void
  #timer: NodeJS.Timeout | undefined
  #body: Readable | null = null
  #trailers: IncomingHttpHeaders = {}
  /** Bytes of the answer that the head promised and that have still to come; `undefined`: it promised none. */
  #missing: number | undefined
  #over = false
  /** Whether the head has come that is no hint of one. */
  #hasHead = false

  /**
   * @param stream made with the signal of `cancel`
   * @param onTimeout told when the answer did not begin in time
   */
  constructor(stream: ClientHttp2Stream, cancel: AbortController, answer: AnswerHandler, onTimeout: () => void) {
    this.#stream = stream
    this.#cancel = cancel
    this.#answer = answer
    this.#onTimeout = onTimeout
  }

  begin({ method, body, headersTimeout }: UpstreamRequest): void {
    const answer = this.#answer
    this.#stream
      .on('headers', (headers: StatusHeaders) => this.#onHead(headers))
      .on('response', (headers: StatusHeaders) => {
        clearTimeout(this.#timer)
        this.#hasHead = true
        const length = headers['content-length']
        if (length !== undefined && method !== 'HEAD' && headers[':status'] !== 304) this.#missing = Number(length)
        this.#onHead(headers)
      })
      .on('data', (chunk: Buffer) => {
        if (this.#over) return
        if (this.#missing !== undefined) this.#missing -= chunk.length
        answer.onResponseData(this, chunk)
      })
      .on('trailers', (trailers: IncomingHttpHeaders) => {
        this.#trailers = trailers
      })
      .on('end', () => this.#onEnd())
      .on('error', (error: Error) => this.#fail(error))
      .on('close', () => this.#fail(new StreamBroken('the stream has ended before the answer')))
    if (headersTimeout > 0) {
      this.#timer = setTimeout(() => {
        this.#fail(new HeadersTimeout('no answer in time'))
        this.#onTimeout()
      }, headersTimeout)
    }
    if (body) this.#send(body)
    answer.onRequestStart(this)
  }

  abort(): void {
    this.#settle()
    const { endAfterHeaders, writableEnded } = this.#stream
    // Of a stream that has ended there is nothing to be reset.
    if (!endAfterHeaders || !writableEnded) this.#cancel.abort()
  }

  pause(): void {
    this.#stream.pause()
  }

  resume(): void {
    this.#stream.resume()
  }

  #send(body: Readable): void {
    this.#body = body
    body.on('error', (error) => this.#fail(error))
    body.pipe(this.#stream)
  }

  #onHead({ ':status': status = 0, ...headers }: StatusHeaders): void {
    if (!this.#over) this.#answer.onResponseStart(this, status, headers)
  }

  /** Node ends a stream that was reset without an error, before or in the middle of its answer, as one that is complete. */
  #onEnd(): void {
    const isWhole = this.#hasHead && (this.#missing ?? 0) <= 0
    if (this.#stream.rstCode !== constants.NGHTTP2_NO_ERROR || !isWhole) {
      this.#fail(new StreamBroken('the stream was reset'))
    } else if (this.#settle()) {
      this.#answer.onResponseEnd(this, this.#trailers)
      // The service has said all it has to say: it does not wait for the rest of the request.
      if (!this.#stream.writableEnded) this.#cancel.abort()
    }
  }

  #fail(error: Error): void {
    if (!this.#settle()) return
    this.#cancel.abort()
    // What ended the connection says more than that it ended.
    const { cause } = error
    this.#answer.onResponseError(this, cause instanceof Error ? cause : error)
  }

  /** @returns whether it had not been settled before */
  #settle(): boolean {
    if (this.#over) return false
    this.#over = true
    clearTimeout(this.#timer)
    this.#body?.unpipe().destroy()
    return true
  }
}
