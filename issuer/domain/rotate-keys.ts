import type { Clock } from '../../shared/clock.ts'
import type { SigningKeyPair } from '../../shared/jws.ts'
import { generateSigningKey } from './generate-key.ts'
import { advance, inState, MAX_PUBLISHED, needsFresh, rotate, takeOver } from './key-life.ts'
import { type KeySealing, resealed, sealKeyPair } from './key-sealing.ts'
import type { KeySet } from './key-set.ts'
import type { Audit, SigningKeys } from './ports.ts'
import type { KeyRules, StoredSigningKey } from './signing-key.ts'

export type Rotated =
  /** `effectiveAt`: when `kid` signs, milliseconds; not later than now when it does already. */
  { ok: true; kid: string; effectiveAt: number } | { ok: false; code: 'conflict'; detail: string }

/** What became of a key of one's own: it signs, it will (from `effectiveAt` on, milliseconds), or it did once. */
export type TakenOver =
  | { outcome: 'current' }
  | { outcome: 'next'; effectiveAt: number }
  | { outcome: 'retired' | 'revoked' }

/** Every change is one atomic step in the store, whichever issuer makes it. All throw StoreUnavailable. */
export interface RotateKeys {
  /**
   * Lets the next key take over as soon as it has been published long enough.
   * @param options.immediately without waiting for that
   * @param options.by who asks, for the audit log
   */
  rotate(options: { immediately: boolean; by: string }): Promise<Rotated>
  /** Brings in a key of one's own, which takes over once it has been published long enough. */
  takeOver(own: SigningKeyPair): Promise<TakenOver>
  /**
   * Reads the keys and does what is due: rotation, the end of retired keys, a key to stand by, and sealing with the
   * present master key.
   * @returns whether another key signs now, and this issuer has seen to it
   */
  upkeep(): Promise<boolean>
}

export interface RotateKeysPorts {
  signingKeys: SigningKeys
  sealing: KeySealing
  keySet: KeySet
  clock: Clock
  audit: Audit
}

export function createRotateKeys(ports: RotateKeysPorts, rules: KeyRules): RotateKeys {
  const { signingKeys, sealing, keySet, clock, audit } = ports
  const fresh = async () => sealKeyPair(sealing, await generateSigningKey(rules.algorithm), clock.now())

  const recordRotation = (before: string | undefined, after: StoredSigningKey, by: string) => {
    if (before === after.kid) return false
    audit.record('signing_key_rotated', { kid: after.kid, alg: after.alg, previous: before ?? null, by })
    return true
  }

  return {
    async rotate({ immediately, by }) {
      const standby = await fresh()
      const nowMs = clock.now()
      let before: string | undefined
      const keys = await signingKeys.change((stored) => {
        before = inState(stored, 'current')?.kid
        return rotate(stored, nowMs, rules, { fresh: standby, immediately })
      })
      await keySet.reload()
      const current = inState(keys, 'current')
      const next = inState(keys, 'next')
      if (current && recordRotation(before, current, by)) return { ok: true, kid: current.kid, effectiveAt: nowMs }
      if (!next || next.signsFrom === null) {
        return {
          ok: false,
          code: 'conflict',
          detail: `there are ${MAX_PUBLISHED} keys already; wait until some are gone`,
        }
      }
      audit.record('signing_key_rotation_scheduled', { kid: next.kid, alg: next.alg, by })
      return { ok: true, kid: next.kid, effectiveAt: next.signsFrom }
    },

    async takeOver(own) {
      const sealed = sealKeyPair(sealing, own, clock.now())
      const isKnown = keySet.stored().some(({ kid }) => kid === own.kid)
      const keys = await signingKeys.change((stored) => takeOver(stored, sealed, clock.now(), rules))
      await keySet.reload()
      const { state, signsFrom, revokedAt } = keys.find(({ kid }) => kid === own.kid)!
      if (!isKnown) audit.record('signing_key_taken_over', { kid: own.kid, alg: own.alg })
      if (state === 'current') return { outcome: 'current' }
      if (state === 'next') return { outcome: 'next', effectiveAt: signsFrom! }
      return { outcome: revokedAt === null ? 'retired' : 'revoked' }
    },

    async upkeep() {
      await keySet.reload()
      const known = keySet.stored()
      const due = advance(resealed(sealing, known), clock.now(), rules)
      if (isSame(due, known) && inState(due, 'next')) return false
      const standby = needsFresh(known, rules) || needsFresh(due, rules) ? await fresh() : undefined
      let before: string | undefined
      const keys = await signingKeys.change((stored) => {
        before = inState(stored, 'current')?.kid
        return advance(resealed(sealing, stored), clock.now(), rules, standby)
      })
      await keySet.reload()
      return recordRotation(before, inState(keys, 'current')!, 'schedule')
    },
  }
}

function isSame(some: readonly StoredSigningKey[], others: readonly StoredSigningKey[]): boolean {
  return some.length === others.length && some.every((key, index) => key === others[index])
}
