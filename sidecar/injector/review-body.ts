import type { Readable } from 'node:stream'

/**
 * An API server accepts objects of 3 MiB, and in its own JSON writes `<`, `>` and `&` as six characters each: bytes. What
 * is refused here for its size alone would be created without a sidecar where the webhook's failurePolicy is Ignore.
 */
const MAX_BYTES = 20 * 1024 * 1024
/** Of all bodies that are being received: bytes. A handful of API servers send a few kB each. */
const MAX_TOGETHER = 64 * 1024 * 1024
/** What is larger than any Pod would take many times its size in memory once it is parsed. */
const MAX_VALUES = 300_000

/** Where API servers write of which request a review is: bytes. */
const HEAD = 1024
const UID = /"request":\{"uid":"([0-9a-f-]{36})"/

/** A body that was turned down. */
export interface BodyProblem extends Error {
  statusCode: number
  /** The request's, if that much could be read: a review that is refused by an answer is refused for good. */
  uid?: string | undefined
}

/** Reads a body and parses it. Throws a BodyProblem. */
export type ReadBody = (body: Readable) => Promise<unknown>

/** Bodies that are read at the same time share what there is of memory: one that has no room any more is refused. */
export function createReadBody(): ReadBody {
  let received = 0
  return async (body) => {
    const chunks: Buffer[] = []
    let own = 0
    try {
      for await (const chunk of body) {
        own += chunk.length
        received += chunk.length
        if (own > MAX_BYTES) throw problem(413, `the body has more than ${MAX_BYTES} bytes`, chunks)
        if (received > MAX_TOGETHER) throw problem(503, 'too much is being received', chunks)
        chunks.push(chunk)
      }
      return parse(chunks)
    } catch (error) {
      // Whoever sent it has gone.
      throw 'statusCode' in (error as object) ? error : problem(400, 'the body did not arrive', [])
    } finally {
      received -= own
    }
  }
}

function parse(chunks: readonly Buffer[]): unknown {
  const bytes = Buffer.concat(chunks)
  if (valuesIn(bytes) > MAX_VALUES) throw problem(400, 'the body has more values than a Pod can have', [bytes])
  try {
    return JSON.parse(bytes.toString())
  } catch {
    throw problem(400, 'the body is not JSON', [])
  }
}

/** @returns at least as many as there are: commas and brackets in texts are counted, too */
function valuesIn(bytes: Buffer): number {
  let found = 0
  for (const byte of bytes) if (byte === 0x2c || byte === 0x5b || byte === 0x7b) found++
  return found
}

function problem(statusCode: number, message: string, [head]: readonly Buffer[]): BodyProblem {
  const uid = head && UID.exec(head.toString('latin1', 0, HEAD))?.[1]
  return Object.assign(new Error(message), { statusCode, uid })
}
