import type { DigestValue } from '../../shared/revocation-digest.ts'

/**
 * `equal`. `missing`: the issuer has what this sidecar does not know. `surplus`: this sidecar knows more, which alone
 * does no harm; whether it also lacks something can't be told from two digests.
 */
export type Difference = 'equal' | 'missing' | 'surplus'

export interface Comparison {
  /** @returns what the digests say, and whether a snapshot may be needed */
  judge(own: DigestValue, issuers: DigestValue): { difference: Difference; mend: boolean }
  /** A snapshot has been read since the last call of `judge`: nothing is missing now. */
  mended(): void
}

/**
 * Decides on snapshots so that a surplus that lasts does not cost one each time: right after a snapshot it is all there
 * is to the difference, and as long as it does not shrink nothing is missing.
 */
export function createComparison(): Comparison {
  let isMended = false
  let surplus = 0
  return {
    judge(own, issuers) {
      const more = own.count - issuers.count
      if (more === 0 && own.digest === issuers.digest) {
        isMended = false
        return { difference: 'equal', mend: false }
      }
      if (more <= 0) {
        isMended = false
        return { difference: 'missing', mend: true }
      }
      const mend = !isMended || more < surplus
      isMended = !mend
      surplus = more
      return { difference: 'surplus', mend }
    },
    mended() {
      isMended = true
      surplus = 0
    },
  }
}
