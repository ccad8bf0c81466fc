import type { Clock } from '../../shared/clock.ts'
import { pause } from '../../shared/lifecycle.ts'
import { type Revocation, revocationId } from '../../shared/revocation.ts'
import { generateSigningKey } from './generate-key.ts'
import { inState, revoke } from './key-life.ts'
import { type KeySealing, sealKeyPair } from './key-sealing.ts'
import type { KeySet } from './key-set.ts'
import type { Audit, Ledger, LedgerEntry, SigningKeys } from './ports.ts'
import { KEYS_FRESH_MS, type KeyRules, keyRevocation, liveKeyRevocations } from './signing-key.ts'

type KeyRevocation = Extract<Revocation, { kind: 'key' }>

export type KeyRevoked =
  /** `current` signs now; `propagated`: whether the feed has acknowledged it, otherwise it goes out later. */
  { ok: true; current: string; propagated: boolean } | { ok: false; code: 'not_found' }

/**
 * Declares a key compromised. In one step it is dropped from the key set and, if it was the current one, the next one
 * signs; then the ledger has it, then the feed. Whatever is asked for after the answer, no issuer that can read its store
 * signs it with this key. Repeating it is harmless.
 * @param by who asks, for the audit log
 * @throws StoreUnavailable; if that happens after the first step, {@link EnterRevokedKeys} of any issuer does the rest
 */
export type RevokeKey = (kid: string, by: string) => Promise<KeyRevoked>

export interface RevokeKeyPorts {
  signingKeys: SigningKeys
  sealing: KeySealing
  keySet: KeySet
  /** Records a revocation in the ledger and publishes it. @returns whether the feed has acknowledged it */
  announce(revocation: KeyRevocation): Promise<boolean>
  clock: Clock
  audit: Audit
}

export function createRevokeKey(ports: RevokeKeyPorts, rules: KeyRules): RevokeKey {
  const { signingKeys, sealing, keySet, announce, clock, audit } = ports
  return async (kid, by) => {
    const fresh = sealKeyPair(sealing, await generateSigningKey(rules.algorithm), clock.now())
    const nowMs = clock.now()
    const keys = await signingKeys.change((stored) => revoke(stored, kid, nowMs, rules, fresh))
    const key = keys.find((known) => known.kid === kid)
    if (!key) return { ok: false, code: 'not_found' }
    // From here on this issuer signs with another key; the event can't be signed by the one it is about.
    await keySet.reload()
    const [propagated] = await Promise.all([announce(keyRevocation(kid, key.revokedAt!)), pause(KEYS_FRESH_MS)])
    const current = inState(keys, 'current')!.kid
    audit.record('signing_key_revoked', { kid, alg: key.alg, current, propagated, by })
    return { ok: true, current, propagated }
  }
}

/** The ledger's entry for a key that is no longer to be believed. */
export function keyLedgerEntry(revocation: KeyRevocation): LedgerEntry {
  return { id: revocationId(revocation), revocation, keepUntilMs: revocation.exp * 1000 }
}

/**
 * Enters in the ledger what whoever revoked a key may not have got to enter, once for each key.
 * @throws StoreUnavailable
 */
export type EnterRevokedKeys = () => Promise<void>

export function createEnterRevokedKeys({
  keySet,
  ledger,
  clock,
}: {
  keySet: KeySet
  ledger: Pick<Ledger, 'record'>
  clock: Clock
}): EnterRevokedKeys {
  const entered = new Set<string>()
  return async () => {
    const live = liveKeyRevocations(keySet.stored(), clock.now()).map(({ revocation }) => revocation)
    const missing = live.filter(({ kid }) => !entered.has(kid))
    if (missing.length === 0) return
    await ledger.record(missing.map(keyLedgerEntry))
    for (const { kid } of missing) entered.add(kid)
  }
}
