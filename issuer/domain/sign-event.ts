import type { Clock } from '../../shared/clock.ts'
import { type SecurityEvent, signSecurityEvent } from '../../shared/security-event.ts'
import type { KeySet } from './key-set.ts'
import { StoreUnavailable } from './ports.ts'

/**
 * Signs events with the current key, but never one that says that this very key is compromised: then it has been
 * replaced, by another issuer and a moment ago, and the keys have to be read again first.
 * @throws StoreUnavailable then, and while it is not known which key signs; whoever has the event tries again
 */
export function createSignEvent(
  { keySet, clock }: { keySet: KeySet; clock: Clock },
  { issuer, audience }: { issuer: string; audience: readonly string[] },
): (event: SecurityEvent) => string {
  return (event) => {
    const key = keySet.current()
    if (event.type === 'revocation' && event.revocation.kind === 'key' && event.revocation.kid === key.kid) {
      void keySet.refresh()
      throw new StoreUnavailable('the store of signing keys', new Error('the current key has just been revoked'))
    }
    return signSecurityEvent(key, event, { issuer, audience, nowMs: clock.now() })
  }
}
