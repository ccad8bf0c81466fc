import { randomBytes } from 'node:crypto'

/**
 * Follows a stream of WebSocket frames (RFC 6455 section 5.2) only so far as to know where one ends and the next begins:
 * nothing is unmasked, joined or kept.
 */
export class FrameBoundary {
  #head: number[] = []
  #left = 0

  /** Whether the stream is between two frames. */
  get reached(): boolean {
    return this.#left === 0 && this.#head.length === 0
  }

  /** Reads a piece of the stream to its end. */
  read(chunk: Uint8Array): void {
    let at = 0
    while (at < chunk.length) at = this.#step(chunk, at)
  }

  /** Reads up to the end of the present frame. @returns how many bytes of the piece belong to it */
  readFrame(chunk: Uint8Array): number {
    let at = 0
    while (at < chunk.length && !this.reached) at = this.#step(chunk, at)
    return at
  }

  #step(chunk: Uint8Array, at: number): number {
    if (this.#left > 0) {
      const taken = Math.min(this.#left, chunk.length - at)
      this.#left -= taken
      return at + taken
    }
    const head = this.#head
    head.push(chunk[at]!)
    const payload = payloadLength(head)
    if (payload !== undefined) {
      this.#left = payload
      this.#head = []
    }
    return at + 1
  }
}

/** @returns the payload's length in bytes once the head is complete */
function payloadLength(head: readonly number[]): number | undefined {
  if (head.length < 2) return undefined
  const short = head[1]! & 0x7f
  const extended = short === 126 ? 2 : short === 127 ? 8 : 0
  const masking = head[1]! & 0x80 ? 4 : 0
  if (head.length < 2 + extended + masking) return undefined
  return extended === 0 ? short : head.slice(2, 2 + extended).reduce((length, byte) => length * 256 + byte, 0)
}

/**
 * A Close frame (RFC 6455 section 5.5.1).
 * @param reason ASCII, at most 123 bytes
 * @param masked whether it goes to a server (section 5.3)
 */
export function closeFrame(code: number, reason: string, masked: boolean): Buffer {
  const payload = Buffer.alloc(2 + reason.length)
  payload.writeUInt16BE(code)
  payload.write(reason, 2, 'latin1')
  if (!masked) return Buffer.concat([Buffer.from([0x88, payload.length]), payload])
  const key = randomBytes(4)
  for (let i = 0; i < payload.length; i++) payload[i]! ^= key[i % 4]!
  return Buffer.concat([Buffer.from([0x88, 0x80 | payload.length]), key, payload])
}
