import type { Clock } from '../../shared/clock.ts'
import { type Jwks, toJwk } from '../../shared/jwks.ts'
import type { SigningKeyPair, VerificationKey } from '../../shared/jws.ts'
import { pause } from '../../shared/lifecycle.ts'
import { type KeySealing, openKeyPair } from './key-sealing.ts'
import { type SigningKeys, StoreUnavailable } from './ports.ts'
import { isPublished, KEYS_FRESH_MS, KEYS_LEASE_MS, type StoredSigningKey } from './signing-key.ts'

/** The stored keys can't be used: nothing this instance could sign would be worth anything. */
export class SigningKeysUnusable extends Error {
  constructor(reason: string) {
    super(reason)
    this.name = 'SigningKeysUnusable'
  }
}

/** The keys of this instance, in memory: asking for one never waits. */
export interface KeySet {
  /** The key that signs now. @throws StoreUnavailable when it is not known any more whether it still does */
  current(): SigningKeyPair
  /**
   * A key that was current a moment ago. It may have been rotated away since, but not revoked.
   * @returns the same key @throws StoreUnavailable when what it signs would not be believed
   */
  confirm(key: SigningKeyPair): SigningKeyPair
  keyFor(kid: string): VerificationKey | undefined
  /**
   * What is published: next, current, and retired keys whose last token may still be valid.
   * @throws StoreUnavailable when a key may be missing or have been revoked meanwhile
   */
  jwks(): Jwks
  /** All keys as they were read last, those that are gone included. */
  stored(): readonly StoredSigningKey[]
  /** Reads the keys again. @throws SigningKeysUnusable, StoreUnavailable; what was known stays in use then */
  reload(): Promise<void>
  /**
   * What was stored before the call is known after it, unless the store is away. Calls share reads, of which there are
   * at most forty a second whoever asks. Never throws.
   * @returns whether it could be read
   */
  refresh(): Promise<boolean>
  /**
   * What was stored {@link KEYS_FRESH_MS} before the call is known after it, unless the store is away; then the lease
   * says for how long {@link KeySet.current} goes on. Hardly ever reads. Never throws.
   */
  freshen(): Promise<void>
}

/** The shortest time from one read that {@link KeySet.refresh} begins to the next: milliseconds. */
const REFRESH_EVERY_MS = 25

export interface KeySetPorts {
  signingKeys: SigningKeys
  sealing: KeySealing
  clock: Clock
}

export interface KeySetRules {
  /** The longest that any issuer's access tokens live, asked each time: seconds. */
  readonly lifetimeS: number
  /** How long what was read is believed: milliseconds; see {@link KEYS_LEASE_MS}. */
  leaseMs?: number
}

export function createKeySet({ signingKeys, sealing, clock }: KeySetPorts, rules: KeySetRules): KeySet {
  const { leaseMs = KEYS_LEASE_MS } = rules
  let stored: readonly StoredSigningKey[] = []
  /** Those that are not gone. */
  let usable = new Map<string, { key: StoredSigningKey; pair: SigningKeyPair }>()
  let current: SigningKeyPair | undefined
  let readAt = Number.NEGATIVE_INFINITY
  /** As readAt, on the clock that nobody sets. */
  let freshAt = Number.NEGATIVE_INFINITY
  let [asked, answered] = [0, 0]
  let reading: Promise<boolean> = Promise.resolve(true)
  let waiting: Promise<boolean> | undefined
  let begunAt = Number.NEGATIVE_INFINITY

  const keyFor = (kid: string) => {
    const found = usable.get(kid)
    return found && isOut(found) ? found.pair : undefined
  }
  const isOut = ({ key }: { key: StoredSigningKey }) => isPublished(key, clock.now(), rules.lifetimeS)
  const requireLease = () => {
    // A clock that was set back says as little as one that has gone on.
    if (Math.abs(clock.now() - readAt) > leaseMs) {
      throw new StoreUnavailable('the store of signing keys', new Error('the keys were read too long ago'))
    }
  }

  const reload = async () => {
    const ordinal = ++asked
    const [began, beganAt] = [clock.now(), performance.now()]
    const found = await signingKeys.all()
    // An answer that was overtaken by a later one must not bring back what has changed since.
    if (ordinal < answered) return
    const live = found.filter(({ state }) => state !== 'gone')
    const opened = new Map(
      live.map((key) => [key.kid, { key, pair: usable.get(key.kid)?.pair ?? openKey(sealing, key) }]),
    )
    const signing = live.find(({ state }) => state === 'current')
    if (!signing) throw new SigningKeysUnusable('there is no current signing key in the store')
    stored = found
    usable = opened
    current = opened.get(signing.kid)!.pair
    readAt = began
    freshAt = beganAt
    answered = ordinal
  }

  const readInTurn = async () => {
    await reading
    await pause(Math.max(0, begunAt + REFRESH_EVERY_MS - performance.now()))
    waiting = undefined
    begunAt = performance.now()
    reading = reload().then(
      () => true,
      () => false,
    )
    return reading
  }

  const refresh = () => {
    waiting ??= readInTurn()
    return waiting
  }

  return {
    current() {
      if (!current) throw new SigningKeysUnusable('there is no signing key')
      requireLease()
      return current
    },
    confirm(key) {
      requireLease()
      if (keyFor(key.kid)) return key
      throw new StoreUnavailable('the signing key', new Error('it has been revoked meanwhile'))
    },
    keyFor,
    jwks() {
      requireLease()
      return { keys: [...usable.values()].filter(isOut).map(({ pair }) => toJwk(pair)) }
    },
    stored: () => stored,
    reload,
    refresh,
    async freshen() {
      if (performance.now() - freshAt > KEYS_FRESH_MS) await refresh()
    },
  }
}

function openKey(sealing: KeySealing, stored: StoredSigningKey): SigningKeyPair {
  const pair = openKeyPair(sealing, stored)
  if (!pair) throw new SigningKeysUnusable('MASTER_KEY does not open the signing keys in the store: is it another one?')
  return pair
}
