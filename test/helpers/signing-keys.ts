import { createKeySealing } from '../../issuer/domain/key-sealing.ts'
import { createKeySet, type KeySet } from '../../issuer/domain/key-set.ts'
import type { SigningKeys } from '../../issuer/domain/ports.ts'
import { createRotateKeys, type RotateKeys } from '../../issuer/domain/rotate-keys.ts'
import type { KeyRules, StoredSigningKey } from '../../issuer/domain/signing-key.ts'
import type { Clock } from '../../shared/clock.ts'

export const MASTER_KEY = 'the master key of the tests, which is long enough'

export const KEY_RULES: KeyRules = { algorithm: 'ES256', lifetimeS: 300, jwksMaxAgeS: 300, rotationMs: undefined }

export interface MemoryKeys extends SigningKeys {
  stored: readonly StoredSigningKey[]
  /** How often they were read. */
  reads: number
}

/** Signing keys in memory that do as the port says. */
export function memoryKeys(stored: readonly StoredSigningKey[] = []): MemoryKeys {
  const keys: MemoryKeys = {
    stored,
    reads: 0,
    async all() {
      keys.reads++
      return structuredClone(keys.stored) as StoredSigningKey[]
    },
    async change(decide) {
      keys.stored = structuredClone(decide(structuredClone(keys.stored))) as StoredSigningKey[]
      return structuredClone(keys.stored)
    },
  }
  return keys
}

export interface KeyHolder {
  signingKeys: SigningKeys
  keySet: KeySet
  rotateKeys: RotateKeys
  /** What the audit log holds. */
  audited: { event: string; facts: Record<string, unknown> }[]
}

/** One issuer as far as its keys are concerned. */
export function keyHolder(
  signingKeys: SigningKeys,
  clock: Clock,
  { masterKeys = [MASTER_KEY], ...rules }: Partial<KeyRules> & { masterKeys?: string[] } = {},
) {
  const sealing = createKeySealing(masterKeys)
  const all = { ...KEY_RULES, ...rules }
  const keySet = createKeySet({ signingKeys, sealing, clock }, all)
  const audited: KeyHolder['audited'] = []
  const audit = { record: (event: string, facts: Record<string, unknown>) => void audited.push({ event, facts }) }
  const ports = { signingKeys, sealing, keySet, clock, audit }
  return { ...ports, audited, rules: all, rotateKeys: createRotateKeys(ports, all) }
}
