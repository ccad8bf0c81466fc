import type { Clock } from '../shared/clock.ts'
import type { SigningKeyPair } from '../shared/jws.ts'
import type { Log } from '../shared/log.ts'
import { ensureSigningKey } from './domain/ensure-signing-key.ts'
import { createKeySealing, type KeySealing } from './domain/key-sealing.ts'
import { createKeySet, type KeySet } from './domain/key-set.ts'
import type { Audit, SigningKeys } from './domain/ports.ts'
import { createRotateKeys, type RotateKeys } from './domain/rotate-keys.ts'
import type { KeyRules } from './domain/signing-key.ts'
import type { IssuerSettings } from './settings.ts'

export interface OpenedKeys {
  keySet: KeySet
  sealing: KeySealing
  rotateKeys: RotateKeys
}

/** @param longestLifetimeS the longest that any issuer's access tokens live now: seconds */
export function keyRules(settings: IssuerSettings, longestLifetimeS: () => number): KeyRules {
  return {
    algorithm: settings.SIGNING_ALGORITHM,
    get lifetimeS() {
      return longestLifetimeS()
    },
    jwksMaxAgeS: settings.JWKS_MAX_AGE / 1000,
    rotationMs: settings.KEY_ROTATION || undefined,
  }
}

export interface KeyParts {
  signingKeys: SigningKeys
  masterKeys: readonly string[]
  clock: Clock
  audit: Audit
  log: Log
}

/**
 * Opens the signing keys in the store, the first of which is made now if there is none. A key of one's own is taken into
 * the store like any other, so that all issuers use it by turns with those that follow it.
 * @throws StoreUnavailable; SigningKeysUnusable when the master keys do not open what is stored
 */
export async function openKeys(parts: KeyParts, rules: KeyRules, own: SigningKeyPair | undefined): Promise<OpenedKeys> {
  const { signingKeys, masterKeys, clock, audit, log } = parts
  const sealing = createKeySealing(masterKeys)
  await ensureSigningKey({ signingKeys, sealing, clock }, rules.algorithm, own)
  const keySet = createKeySet({ signingKeys, sealing, clock }, rules)
  // Before anything is stored beside what is there: a wrong master key has to show first.
  await keySet.reload()
  const rotateKeys = createRotateKeys({ signingKeys, sealing, keySet, clock, audit }, rules)
  if (own) await takeOver(rotateKeys, own, log)
  return { keySet, sealing, rotateKeys }
}

async function takeOver(rotateKeys: RotateKeys, own: SigningKeyPair, log: Log): Promise<void> {
  const { kid } = own
  const taken = await rotateKeys.takeOver(own)
  switch (taken.outcome) {
    case 'current':
      return log.info({ kid }, 'SIGNING_KEY signs')
    case 'next':
      return log.info(
        { kid, from: new Date(taken.effectiveAt).toISOString() },
        'SIGNING_KEY is published and will sign',
      )
    case 'retired':
      return log.warn({ kid }, 'SIGNING_KEY has been rotated away and does not sign any more')
    case 'revoked':
      return log.error({ kid }, 'SIGNING_KEY was revoked and is not used; take it out of the configuration')
  }
}
