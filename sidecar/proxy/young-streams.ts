/** What stands in the list carries its own links; they are the list's business alone. */
export interface Linked {
  previousYoung?: Linked | undefined
  nextYoung?: Linked | undefined
  isYoung?: boolean
}

/** Streams in the order in which they came. */
export interface YoungStreams<Stream extends Linked> extends Iterable<Stream> {
  add(stream: Stream): void
  /** @returns whether it was there */
  delete(stream: Stream): boolean
  readonly size: number
}

/**
 * A doubly linked list through the streams themselves. A `Set` would do but for what it costs: under load its table is
 * made anew all the time and keeps finished requests alive into the old generation (at 30,000 requests a second: a fifth
 * of the CPU, half of p99, a quarter of the memory).
 */
export function createYoungStreams<Stream extends Linked>(): YoungStreams<Stream> {
  let first: Linked | undefined
  let last: Linked | undefined
  let size = 0
  return {
    add(stream) {
      stream.isYoung = true
      stream.previousYoung = last
      stream.nextYoung = undefined
      if (last) last.nextYoung = stream
      else first = stream
      last = stream
      size++
    },
    delete(stream) {
      if (!stream.isYoung) return false
      const { previousYoung: previous, nextYoung: next } = stream
      if (previous) previous.nextYoung = next
      else first = next
      if (next) next.previousYoung = previous
      else last = previous
      stream.isYoung = false
      // A finished request must not keep others in memory.
      stream.previousYoung = undefined
      stream.nextYoung = undefined
      size--
      return true
    },
    /** The present one may be deleted while it is visited. */
    *[Symbol.iterator]() {
      for (let stream = first; stream; ) {
        const next: Linked | undefined = stream.nextYoung
        yield stream as Stream
        stream = next
      }
    },
    get size() {
      return size
    },
  }
}
