import type { Writable } from 'node:stream'

/** Live events kept for a subscriber that does not read them: bytes. One that is further behind is cut. */
const MAX_BEHIND = 4 * 1024 * 1024
/** How long a subscriber may take to read what is buffered while a snapshot is sent: milliseconds. */
const STALLED_AFTER_MS = 30_000

export type Frame = string | Uint8Array
export type EndReason = 'closed_by_peer' | 'too_slow' | 'no_snapshot' | 'closing'

/** One reader of the event stream. */
export interface Subscriber {
  readonly ended: boolean
  /** Sends the beginning as fast as it is read; what {@link send} was given in the meantime follows. */
  begin(frames: Iterable<Frame> | AsyncIterable<Frame>): Promise<void>
  /** Sends an event of the live stream; never waits. */
  send(frame: string): void
  end(reason: EndReason): void
}

/** @param onEnd told once, whoever ended it */
export function createSubscriber(out: Writable, onEnd: (reason: EndReason) => void): Subscriber {
  let backlog: string[] | undefined = []
  let backlogBytes = 0
  let ended = false

  const end = (reason: EndReason) => {
    if (ended) return
    ended = true
    backlog = undefined
    // One that does not read would never see an orderly end.
    if (reason === 'closing') out.end()
    else out.destroy()
    onEnd(reason)
  }
  out.once('close', () => end('closed_by_peer'))
  out.on('error', () => end('closed_by_peer'))

  return {
    get ended() {
      return ended
    },
    async begin(frames) {
      for await (const frame of frames) {
        if (ended) return
        if (!out.write(frame) && !(await drained(out))) return end('too_slow')
      }
      for (const frame of backlog ?? []) out.write(frame)
      backlog = undefined
    },
    send(frame) {
      if (ended) return
      backlogBytes += backlog ? frame.length : 0
      if (backlogBytes > MAX_BEHIND || (!backlog && out.writableLength > MAX_BEHIND)) return end('too_slow')
      if (backlog) backlog.push(frame)
      else out.write(frame)
    },
    end,
  }
}

/** @returns false when the reader took nothing for too long; true as well when the connection has ended */
function drained(out: Writable): Promise<boolean> {
  return new Promise((resolve) => {
    const done = (result: boolean) => {
      clearTimeout(timer)
      out.off('drain', onEvent)
      out.off('close', onEvent)
      resolve(result)
    }
    const onEvent = () => done(true)
    const timer = setTimeout(() => done(false), STALLED_AFTER_MS)
    out.once('drain', onEvent)
    out.once('close', onEvent)
  })
}
