import type { Clock } from '../../shared/clock.ts'
import type { Audit, SigningKeys, Users } from './ports.ts'
import type { RevokeKey } from './revoke-key.ts'
import { isPublished, type KeyRules, type StoredSigningKey } from './signing-key.ts'

export interface EveryoneEnded {
  /** How many users' sessions have ended; all of them when it is complete. */
  users: number
  /** The keys that are not believed any more. */
  keys: string[]
  /** Whether the feed has acknowledged all of them; otherwise that comes later. */
  propagated: boolean
  /** False when it was interrupted or failed: sessions of `users` are over, but not all tokens. Repeated, it begins anew. */
  complete: boolean
  /** What it failed by. */
  failure?: unknown
}

export interface EndEveryoneOptions {
  /** Who asks, for the audit log. */
  by: string
  /** Whether the key that stands by goes as well, and those that retired long ago: somebody has all private keys. */
  allKeys: boolean
  /** Ends it between two steps. */
  signal: AbortSignal
  onProgress(users: number): void
}

/**
 * Ends every session there is, and every access token. First the epochs of all users rise, so that no session of before
 * is refreshed any more; then the keys that signed their tokens are revoked. A refresh or login that has read its user
 * before, and ends after, however long that takes, signs with one of those keys ({@link IssueTokens}) or not at all. Who
 * logs in while it runs may have to do so again.
 */
export type EndEveryone = (options: EndEveryoneOptions) => Promise<EveryoneEnded>

export interface EndEveryonePorts {
  users: Pick<Users, 'raiseEpochs'>
  signingKeys: Pick<SigningKeys, 'change'>
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

export function createEndEveryone(
  { users, signingKeys, revokeKey, audit, clock }: EndEveryonePorts,
  rules: Pick<KeyRules, 'lifetimeS'>,
): EndEveryone {
  const raiseAll = async (ended: EveryoneEnded, { signal, onProgress }: EndEveryoneOptions): Promise<void> => {
    for (let after: string | undefined; !signal.aborted; ) {
      const raised = await users.raiseEpochs(EPOCHS, BATCH, after)
      ended.users += raised.count
      onProgress(ended.users)
      if (raised.last === undefined) break
      after = raised.last
    }
  }

  /** The one that stands by has signed nothing; it takes over, and every verifier knows it. */
  const hasSigned = (key: StoredSigningKey) => key.state !== 'next' && isPublished(key, clock.now(), rules.lifetimeS)

  /** As a change, which no server answers that has been deposed: it might not know which key has begun to sign. */
  const toRevoke = async (allKeys: boolean): Promise<string[]> => {
    const keys = await signingKeys.change((stored) => stored)
    const chosen = keys.filter((key) => (allKeys ? key.state !== 'gone' : hasSigned(key)))
    // The one that stands by first: revoked after the current one, it would have signed.
    const standsBy = chosen.filter(({ state }) => state === 'next')
    return [...standsBy, ...chosen.filter(({ state }) => state !== 'next')].map(({ kid }) => kid)
  }

  const end = async (ended: EveryoneEnded, options: EndEveryoneOptions): Promise<void> => {
    await raiseAll(ended, options)
    if (options.signal.aborted) return
    for (const kid of await toRevoke(options.allKeys)) {
      const revoked = await revokeKey(kid, options.by)
      ended.keys.push(kid)
      ended.propagated = revoked.ok && revoked.propagated && ended.propagated
    }
    ended.complete = true
  }

  return async (options) => {
    const { by } = options
    const ended: EveryoneEnded = { users: 0, keys: [], propagated: true, complete: false }
    // However it ends, also with the process, the audit log has that it began.
    audit.record('everyone_logout_begun', { all_keys: options.allKeys, by })
    await end(ended, options).catch((error) => {
      ended.failure = error
    })
    const { keys, propagated, complete } = ended
    audit.record('everyone_logged_out', { users: ended.users, keys: keys.length, propagated, complete, by })
    return ended
  }
}
