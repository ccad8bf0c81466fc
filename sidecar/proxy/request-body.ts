import type { IncomingMessage } from 'node:http'
import { Readable } from 'node:stream'

/** The body is larger than the route allows. */
export class BodyTooLarge extends Error {
  readonly code = 'body_too_large'
}

/** Whether the request has a body (RFC 9112 section 6.3). */
export function hasBody({ headers }: IncomingMessage): boolean {
  const length = headers['content-length']
  return (length !== undefined && length !== '0') || headers['transfer-encoding'] !== undefined
}

/** Whether part of the body has still to come. */
export function isBodyPending(request: IncomingMessage): boolean {
  return !request.complete && hasBody(request)
}

/** Whether the request says that its body is larger than `limit` bytes. */
export function announcesMoreThan({ headers }: IncomingMessage, limit: number): boolean {
  return Number(headers['content-length'] ?? 0) > limit
}

/**
 * The body as a stream of its own. Whoever forwards it may destroy it: that only lets go of the request, whose
 * connection is still needed for the answer (destroying an `IncomingMessage` destroys its socket).
 * @param limit in bytes; beyond it the stream fails with {@link BodyTooLarge}
 */
export function bodyOf(request: IncomingMessage, limit: number): Readable {
  let size = 0
  const onData = (chunk: Buffer) => {
    size += chunk.length
    if (size > limit) body.destroy(new BodyTooLarge(`more than ${limit} bytes`))
    else if (!body.push(chunk)) request.pause()
  }
  const onEnd = () => body.push(null)
  const onError = (error: Error) => body.destroy(error)
  const body = new Readable({
    read: () => {
      request.resume()
    },
    destroy(error, done) {
      request.off('data', onData).off('end', onEnd).off('error', onError)
      // A request that nobody listens to must not bring the process down when its client goes.
      request.on('error', ignore)
      done(error)
    },
  })
  request.on('data', onData).once('end', onEnd).once('error', onError)
  // Whoever was to forward it may not have come to that (no connection, a field it refuses) when the client goes.
  body.on('error', ignore)
  return body
}

function ignore(): void {}
