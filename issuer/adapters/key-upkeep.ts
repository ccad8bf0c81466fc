import type { Clock } from '../../shared/clock.ts'
import { type Lifecycle, pause } from '../../shared/lifecycle.ts'
import { expected, type Log } from '../../shared/log.ts'
import { counter, gauge, gaugeBy, type Metrics } from '../../shared/metrics.ts'
import type { KeySet } from '../domain/key-set.ts'
import type { EnterRevokedKeys } from '../domain/revoke-key.ts'
import type { RotateKeys } from '../domain/rotate-keys.ts'

/** How soon what other issuers changed is known, well below the lease of the keys: milliseconds. */
const UPKEEP_EVERY_MS = 2000

export interface KeyUpkeepParts {
  keySet: KeySet
  rotateKeys: Pick<RotateKeys, 'upkeep'>
  enterRevokedKeys: EnterRevokedKeys
  clock: Clock
  log: Log
  metrics: Metrics
  lifecycle: Lifecycle
}

/** Reads the keys now and then, and does what is due; every issuer does, and the store lets one of them win. */
export function startKeyUpkeep(parts: KeyUpkeepParts): void {
  const { rotateKeys, enterRevokedKeys, log, metrics, lifecycle } = parts
  const rotations = counter(
    metrics,
    'signing_key_rotations_total',
    'Times this issuer let another signing key take over because that was due.',
  )
  addGauges(parts)
  let failing = false

  const run = async () => {
    while (!lifecycle.signal.aborted) {
      try {
        if (await rotateKeys.upkeep()) rotations.inc()
        await enterRevokedKeys()
        if (failing) log.info('the signing keys can be read again')
        failing = false
      } catch (err) {
        if (!failing)
          log.error({ err: expected(err) }, 'the signing keys cannot be read or kept up; soon nothing can be signed')
        failing = true
      }
      await pause(UPKEEP_EVERY_MS, lifecycle.signal)
    }
  }
  const running = run()
  lifecycle.onClose('key upkeep', () => running)
}

function addGauges({ metrics, keySet, clock }: KeyUpkeepParts): void {
  gauge(metrics, 'signing_key_age_seconds', 'How long the current signing key has been signing.', () => {
    const current = keySet.stored().find(({ state }) => state === 'current')
    return current ? Math.max(0, clock.now() - (current.signsFrom ?? current.createdAt)) / 1000 : Number.NaN
  })
  const help = 'Signing keys by state; of those that are gone or revoked only the names are kept.'
  gaugeBy(metrics, 'signing_keys', help, 'state', () => {
    const counts = new Map(['next', 'current', 'retired', 'gone', 'revoked'].map((state) => [state, 0]))
    for (const { state, revokedAt } of keySet.stored()) {
      const shown = revokedAt === null ? state : 'revoked'
      counts.set(shown, counts.get(shown)! + 1)
    }
    return counts
  })
}
