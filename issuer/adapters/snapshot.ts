import { createHash } from 'node:crypto'
import type { Clock } from '../../shared/clock.ts'
import type { SecurityEvent } from '../../shared/security-event.ts'
import type { Ledger } from '../domain/ports.ts'

/** Revocations in one `entries` event at most. */
const MAX_ENTRIES = 1000

export interface SnapshotParts {
  ledger: Pick<Ledger, 'live'>
  sign(event: SecurityEvent): string
  clock: Clock
  instance: string
  /** Makes the frame of the event that closes the snapshot. */
  frame(token: string): string
}

/**
 * All that is revoked and can still concern a token, as Server-Sent Events: `entries` events, each a JSON array, and
 * then one signed event that vouches for their number and their text.
 */
export async function* snapshotFrames({ ledger, sign, clock, instance, frame }: SnapshotParts): AsyncGenerator<string> {
  const completeUntilMs = clock.now()
  const hash = createHash('sha256')
  let entries = 0
  for await (const batch of ledger.live(instance, Math.floor(completeUntilMs / 1000))) {
    for (let start = 0; start < batch.length; start += MAX_ENTRIES) {
      const part = batch.slice(start, start + MAX_ENTRIES)
      const data = JSON.stringify(part)
      entries += part.length
      hash.update(`${data}\n`)
      yield `event: entries\ndata: ${data}\n\n`
    }
  }
  yield frame(sign({ type: 'snapshot', instance, completeUntilMs, entries, sha256: hash.digest('base64url') }))
}
