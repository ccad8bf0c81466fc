import { createHash } from 'node:crypto'
import { parseRevocation, type Revocation } from '../../shared/revocation.ts'
import type { Proof } from './intake.ts'

/** What has come of a snapshot, against what its signed end will say. */
export interface SnapshotCheck {
  /**
   * Takes the text of one `entries` event.
   * @returns the revocations that may be applied at once
   * @throws when it is not a list of revocations
   */
  add(data: string): Revocation[]
  /** Whether these were all entries, to the letter. */
  matches(proof: Extract<Proof, { type: 'snapshot' }>): boolean
  /** The revocations to be applied once the snapshot is known to be the issuer's. */
  held(): Revocation[]
}

/**
 * Ending sessions on the word of an unsigned text could at most lock someone out; dropping keys would also take away
 * what the signature is checked with, so key revocations wait for it.
 */
export function createSnapshotCheck(): SnapshotCheck {
  const hash = createHash('sha256')
  const keys: Revocation[] = []
  let count = 0
  return {
    add(data) {
      hash.update(`${data}\n`)
      const list: unknown = JSON.parse(data)
      if (!Array.isArray(list)) throw new Error('the snapshot is not a list')
      count += list.length
      const revocations = list.map(parseRevocation)
      if (!revocations.every((revocation) => revocation !== undefined)) throw new Error('the snapshot is malformed')
      keys.push(...revocations.filter(({ kind }) => kind === 'key'))
      return revocations.filter(({ kind }) => kind !== 'key')
    },
    matches: ({ entries, sha256 }) => entries === count && sha256 === hash.digest('base64url'),
    held: () => keys,
  }
}
