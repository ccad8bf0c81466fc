import { hash } from 'node:crypto'
import type { Revocation } from './revocation.ts'

/** Which entries of two lists are compared, by their expiry alone, for that is what both sides know of an entry. Seconds. */
export interface DigestWindow {
  /** Only what lasts longer counts, so that neither side forgets a part of it while the two are compared. */
  after: number
  /** Only what lasts no longer counts: what lasts longer may be so new that it is still on its way. */
  until: Readonly<Record<Revocation['kind'], number>>
}

/** The entries of one list that are within a window, as far as they have to be compared. */
export interface DigestValue {
  count: number
  /** 32 hexadecimal digits. */
  digest: string
}

/** What the issuer says of its ledger. */
export interface LedgerDigest extends DigestValue {
  window: DigestWindow
}

/** @param exp the expiry of an entry: seconds */
export function isWithin({ after, until }: DigestWindow, kind: Revocation['kind'], exp: number): boolean {
  return exp > after && exp <= until[kind]
}

/**
 * A digest of a set of revocations in which their order makes no difference: of the SHA-256 of each entry's name
 * (`revocationId`) four words are summed up, each modulo 2^32. Unlike XOR, one that came twice does not vanish. Whoever
 * could choose many names could find two sets of one sum, but names are the issuer's own ids, and to hide a revocation
 * the issuer would not need to: this finds what was lost, not who lies. The expiry is left out, for a longer one
 * revokes nothing else.
 */
export function createRevocationDigest() {
  let [a, b, c, d, count] = [0, 0, 0, 0, 0]
  return {
    add(id: string): void {
      const bytes = hash('sha256', id, 'buffer')
      a = (a + bytes.readUInt32BE(0)) >>> 0
      b = (b + bytes.readUInt32BE(4)) >>> 0
      c = (c + bytes.readUInt32BE(8)) >>> 0
      d = (d + bytes.readUInt32BE(12)) >>> 0
      count++
    },
    value: (): DigestValue => ({
      count,
      digest: [a, b, c, d].map((word) => word.toString(16).padStart(8, '0')).join(''),
    }),
  }
}

/** Reads the issuer's answer; `undefined` when any part of it is missing or wrongly typed. */
export function parseLedgerDigest(value: unknown): LedgerDigest | undefined {
  const { window, count, digest } = fields(value)
  const { after, until } = fields(window)
  const { session, user, key } = fields(until)
  if (![after, session, user, key, count].every((number) => Number.isSafeInteger(number) && (number as number) >= 0)) {
    return undefined
  }
  if (typeof digest !== 'string' || !/^[0-9a-f]{32}$/.test(digest)) return undefined
  const times = { session: session as number, user: user as number, key: key as number }
  return { window: { after: after as number, until: times }, count: count as number, digest }
}

function fields(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {}
}
