import { createHash } from 'node:crypto'
import type { Clock } from '../../shared/clock.ts'
import type { SecurityEvent } from '../../shared/security-event.ts'
import type { Ledger } from '../domain/ports.ts'

/** Revocations in one `entries` event at most. */
const MAX_ENTRIES = 1000

export interface SnapshotParts {
  ledger: Pick<Ledger, 'live'>
  clock: Clock
  instance: string
}

/** One read of all that is live. */
export interface SnapshotReading {
  /** `entries` events as Server-Sent Events, each a JSON array. Bytes, for these many connections can send without a copy. */
  entries: AsyncGenerator<Buffer>
  /** The event that closes the snapshot and, once it is signed, vouches for the number of the entries and their text. */
  end(): Extract<SecurityEvent, { type: 'snapshot' }>
}

/**
 * Reads all that is revoked and can still concern a token. It is complete up to the instant at which the first entry is
 * asked for.
 */
export function readSnapshot({ ledger, clock, instance }: SnapshotParts): SnapshotReading {
  const hash = createHash('sha256')
  let [completeUntilMs, entries] = [0, 0]
  const read = async function* () {
    completeUntilMs = clock.now()
    for await (const batch of ledger.live(instance, Math.floor(completeUntilMs / 1000))) {
      for (let start = 0; start < batch.length; start += MAX_ENTRIES) {
        const part = batch.slice(start, start + MAX_ENTRIES)
        const data = JSON.stringify(part)
        entries += part.length
        hash.update(`${data}\n`)
        yield Buffer.from(`event: entries\ndata: ${data}\n\n`)
      }
    }
  }
  return {
    entries: read(),
    end: () => ({ type: 'snapshot', instance, completeUntilMs, entries, sha256: hash.copy().digest('base64url') }),
  }
}
