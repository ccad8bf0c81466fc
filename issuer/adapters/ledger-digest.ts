import { setImmediate } from 'node:timers/promises'
import { type Clock, LEEWAY_S } from '../../shared/clock.ts'
import { revocationExpiry, revocationId } from '../../shared/revocation.ts'
import {
  createRevocationDigest,
  type DigestWindow,
  isWithin,
  type LedgerDigest,
} from '../../shared/revocation-digest.ts'
import type { Ledger } from '../domain/ports.ts'
import { keyRevocation } from '../domain/signing-key.ts'

/** How far back a cut may lie. More than a minute, which is how far those lie apart: seconds. */
const MAX_AGE_S = 120
/** How long entries have to last beyond the cut: it leaves a sidecar the time to compare them. Seconds. */
const HORIZON_S = 120
/**
 * How long after a key was revoked every issuer has entered it in the ledger, should the one that was asked have crashed
 * before it did: seconds.
 */
const KEY_SETTLED_S = 60

const MAX_KEPT = 4
const MAX_WAITING = 4

export interface LedgerDigestParts {
  ledger: Pick<Ledger, 'live'>
  instance: string
  clock: Clock
  /**
   * How long access tokens live: seconds, asked each time. Nobody may have reckoned with less for an entry that was
   * recorded in the last {@link MAX_AGE_S}; what reckons with more is compared later.
   */
  readonly lifetimeS: number
}

export type AskedDigest =
  | { ok: true; digest: Promise<LedgerDigest> }
  /** `invalid_request`: the cut lies in the future, or too far back. */
  | { ok: false; code: 'invalid_request' | 'overloaded' }

/**
 * The digest of what had been recorded in the ledger before a cut. The ledger is read once for each cut, however many
 * ask for it, and for one cut at a time.
 * @param cut seconds since the Unix epoch
 * @returns a promise that rejects with StoreUnavailable when the ledger can't be read; then the next one who asks tries
 * again
 */
export type DigestLedger = (cut: number) => AskedDigest

export function createLedgerDigest(parts: LedgerDigestParts): DigestLedger {
  const { ledger, instance, clock } = parts
  const known = new Map<number, Promise<LedgerDigest>>()
  let last: Promise<unknown> = Promise.resolve()
  let waiting = 0

  const compute = async (cut: number): Promise<LedgerDigest> => {
    const window = windowOf(cut, parts.lifetimeS)
    const digest = createRevocationDigest()
    for await (const batch of ledger.live(instance, window.after)) {
      for (const revocation of batch) {
        if (isWithin(window, revocation.kind, revocation.exp)) digest.add(revocationId(revocation))
      }
      // Requests come first.
      await setImmediate()
    }
    return { window, ...digest.value() }
  }

  const begin = (cut: number) => {
    waiting++
    const digest = last
      .then(() => compute(cut))
      .finally(() => {
        waiting--
      })
    last = digest.catch(() => known.delete(cut))
    known.set(cut, digest)
    if (known.size > MAX_KEPT) known.delete(known.keys().next().value!)
    return digest
  }

  return (cut) => {
    const nowS = clock.now() / 1000
    if (cut > nowS || cut < nowS - MAX_AGE_S) return { ok: false, code: 'invalid_request' }
    const digest = known.get(cut)
    if (digest) return { ok: true, digest }
    return waiting < MAX_WAITING ? { ok: true, digest: begin(cut) } : { ok: false, code: 'overloaded' }
  }
}

/**
 * An entry tells when it was recorded: its expiry was reckoned from the latest instant at which that could be
 * (`createRevoke`), so one that ends by then was recorded before the cut, even by an issuer whose clock is behind.
 * What was reckoned with a longer lifetime than others agree on ends later, and is compared when that time comes.
 */
function windowOf(cut: number, lifetimeS: number): DigestWindow {
  const until = revocationExpiry((cut - LEEWAY_S) * 1000, lifetimeS)
  const { exp: key } = keyRevocation('', (cut - KEY_SETTLED_S) * 1000)
  return { after: cut + HORIZON_S, until: { session: until, user: until, key } }
}
