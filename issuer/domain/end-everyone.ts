import type { Clock } from '../../shared/clock.ts'
import { pause } from '../../shared/lifecycle.ts'
import type { Audit, SigningKeys, Users } from './ports.ts'
import type { RevokeKey } from './revoke-key.ts'
import { isPublished, type KeyRules } from './signing-key.ts'

export interface EveryoneEnded {
  /** How many users there are; the sessions of each have ended. */
  users: number
  /** The keys that had signed, and are not believed any more. */
  keys: string[]
  /** Whether the feed has acknowledged all of them; otherwise that comes later. */
  propagated: boolean
  /** False when it was interrupted: tokens of those who were logged out already end by themselves. */
  complete: boolean
}

export interface EndEveryoneOptions {
  /** Who asks, for the audit log. */
  by: string
  /** Ends it between two steps; repeated, it begins anew. */
  signal: AbortSignal
  onProgress(users: number): void
}

/**
 * Ends every session there is, and every access token. First the epochs of all users rise, so that no session of before
 * is refreshed any more; then the keys that signed their tokens are revoked. Who logs in while it runs may have to do so
 * again.
 * @throws StoreUnavailable; repeating it is harmless
 */
export type EndEveryone = (options: EndEveryoneOptions) => Promise<EveryoneEnded>

export interface EndEveryonePorts {
  users: Pick<Users, 'raiseEpochs'>
  signingKeys: Pick<SigningKeys, 'all'>
  revokeKey: RevokeKey
  audit: Audit
  clock: Clock
}

/**
 * Not by one: where an older copy of the users was restored, sessions can be of epochs that it has not come to yet, and
 * those have to end too.
 */
const EPOCHS = 1_000_000
const BATCH = 1000
/**
 * How long a refresh may run that has read the user before: milliseconds. Until then it signs with a key that is to be
 * revoked; twice a store's deadline, and some more.
 */
export const IN_FLIGHT_MS = 15_000

/** @param inFlightMs see {@link IN_FLIGHT_MS} */
export function createEndEveryone(
  { users, signingKeys, revokeKey, audit, clock }: EndEveryonePorts,
  rules: Pick<KeyRules, 'lifetimeS'>,
  inFlightMs: number = IN_FLIGHT_MS,
): EndEveryone {
  const raiseAll = async ({ signal, onProgress }: EndEveryoneOptions): Promise<number> => {
    let count = 0
    for (let after: string | undefined; !signal.aborted; ) {
      const raised = await users.raiseEpochs(EPOCHS, BATCH, after)
      count += raised.count
      onProgress(count)
      if (raised.last === undefined) break
      after = raised.last
    }
    return count
  }

  /** The one that stands by has signed nothing; it takes over, and every verifier knows it. */
  const haveSigned = async () => {
    const nowMs = clock.now()
    const keys = (await signingKeys.all()).filter((key) => isPublished(key, nowMs, rules.lifetimeS))
    return keys.filter(({ state }) => state !== 'next').map(({ kid }) => kid)
  }

  return async (options) => {
    const { by, signal } = options
    const count = await raiseAll(options)
    await pause(inFlightMs, signal)
    const keys = signal.aborted ? [] : await haveSigned()
    let propagated = true
    for (const kid of keys) {
      const revoked = await revokeKey(kid, by)
      propagated = revoked.ok && revoked.propagated && propagated
    }
    const complete = !signal.aborted
    audit.record('everyone_logged_out', { users: count, keys: keys.length, propagated, complete, by })
    return { users: count, keys, propagated, complete }
  }
}
