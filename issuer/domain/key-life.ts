import { isPublished, type KeyRules, publishAheadMs, type StoredSigningKey } from './signing-key.ts'

/**
 * The life of signing keys, as pure steps from all keys to all keys: next, current, retired, gone. There is one current
 * key and at most one next, which stands by from the moment the current one begins, so that every verifier knows it long
 * before it is needed. `fresh` is a key that nobody has seen yet, to be the next one where there is need of one.
 */
type Keys = readonly StoredSigningKey[]

/** Keys published at once at most: verifiers refuse sets that are much larger. */
export const MAX_PUBLISHED = 32
/** Names of keys that are gone, not counting revoked ones, that are remembered. */
const MAX_GONE = 500

export const inState = (keys: Keys, state: StoredSigningKey['state']) => keys.find((key) => key.state === state)

/** What is due by the clock: a rotation, the end of retired keys, a key to stand by. */
export function advance(keys: Keys, nowMs: number, rules: KeyRules, fresh?: StoredSigningKey): Keys {
  const current = inState(keys, 'current')
  const next = inState(keys, 'next')
  let advanced = bury(keys, nowMs, rules)
  if (current && next && next.signsFrom !== null && next.signsFrom <= nowMs) advanced = succeed(advanced, nowMs)
  else if (isRotationDue(current, nowMs, rules)) advanced = rotate(advanced, nowMs, rules, { fresh })
  return standBy(advanced, nowMs, fresh)
}

/** Whether {@link advance} or {@link rotate} could do more if it were given a fresh key. */
export function needsFresh(keys: Keys, rules: KeyRules): boolean {
  const next = inState(keys, 'next')
  return next === undefined || next.signsFrom !== null || next.alg !== rules.algorithm
}

/**
 * Lets the next key take over: at once if it has been published long enough, else as soon as it will have been. A next
 * key of another algorithm than the configured one is replaced first; it has never signed anything. A rotation that is
 * decided already is not put off.
 * @param options.immediately without waiting for the publication
 */
export function rotate(
  keys: Keys,
  nowMs: number,
  rules: KeyRules,
  { fresh, immediately = false }: { fresh?: StoredSigningKey | undefined; immediately?: boolean },
): Keys {
  const waiting = inState(keys, 'next')
  if (waiting && waiting.signsFrom !== null && !immediately) return keys
  if (keys.filter((key) => isPublished(key, nowMs, rules.lifetimeS)).length >= MAX_PUBLISHED) return keys
  const usable = waiting?.alg === rules.algorithm || waiting?.signsFrom != null
  const candidates = usable || !fresh ? keys : standBy(without(keys, waiting), nowMs, fresh)
  const next = inState(candidates, 'next')
  if (!next) return keys
  const dueMs = immediately ? nowMs : Math.max(nowMs, next.createdAt + publishAheadMs(rules))
  if (dueMs <= nowMs) return standBy(succeed(candidates, nowMs), nowMs, fresh)
  return replace(candidates, { ...next, signsFrom: dueMs })
}

/** Drops a compromised key for good. If it was the current one, the next takes over in the same step. */
export function revoke(keys: Keys, kid: string, nowMs: number, rules: KeyRules, fresh: StoredSigningKey): Keys {
  const key = keys.find((known) => known.kid === kid)
  if (!key || key.revokedAt !== null) return keys
  const revoked: StoredSigningKey = {
    ...key,
    state: 'gone',
    sealedPrivateKey: '',
    retiredAt: key.retiredAt ?? nowMs,
    revokedAt: nowMs,
  }
  const rest = standBy(replace(keys, revoked), nowMs, fresh)
  if (key.state === 'current') return standBy(succeed(rest, nowMs), nowMs, fresh)
  // The rotation that was decided happens all the same, with the key that is next now.
  if (key.state === 'next' && key.signsFrom !== null) return rotate(rest, nowMs, rules, {})
  return rest
}

/** Makes a key of one's own the next to sign, and the first one at once; a key that is known already stays what it is. */
export function takeOver(keys: Keys, own: StoredSigningKey, nowMs: number, rules: KeyRules): Keys {
  const known = keys.find(({ kid }) => kid === own.kid)
  if (known && (known.state !== 'next' || known.signsFrom !== null)) return keys
  if (!inState(keys, 'current')) return [...without(keys, known), { ...own, state: 'current', signsFrom: nowMs }]
  const next = known ?? own
  const scheduled = { ...next, signsFrom: Math.max(nowMs, next.createdAt + publishAheadMs(rules)) }
  return [...without(keys, inState(keys, 'next')), scheduled]
}

function isRotationDue(current: StoredSigningKey | undefined, nowMs: number, { rotationMs }: KeyRules): boolean {
  return rotationMs !== undefined && current != null && (current.signsFrom ?? current.createdAt) + rotationMs <= nowMs
}

function succeed(keys: Keys, nowMs: number): Keys {
  return keys.map((key) => {
    if (key.state === 'current') return { ...key, state: 'retired', retiredAt: nowMs }
    return key.state === 'next' ? { ...key, state: 'current', signsFrom: nowMs } : key
  })
}

function standBy(keys: Keys, nowMs: number, fresh: StoredSigningKey | undefined): Keys {
  if (!fresh || inState(keys, 'next') || keys.some(({ kid }) => kid === fresh.kid)) return keys
  return [...keys, { ...fresh, state: 'next', createdAt: nowMs, signsFrom: null }]
}

/** Forgets the private half of keys that no token needs any more, and in the end the oldest names. */
function bury(keys: Keys, nowMs: number, { lifetimeS }: KeyRules): Keys {
  const buried = keys.map((key): StoredSigningKey => {
    if (key.state !== 'retired' || isPublished(key, nowMs, lifetimeS)) return key
    return { ...key, state: 'gone', sealedPrivateKey: '' }
  })
  const gone = buried.filter(({ state, revokedAt }) => state === 'gone' && revokedAt === null)
  const forgotten = new Set(gone.sort((a, b) => b.retiredAt! - a.retiredAt!).slice(MAX_GONE))
  return forgotten.size === 0 ? buried : buried.filter((key) => !forgotten.has(key))
}

function replace(keys: Keys, changed: StoredSigningKey): Keys {
  return keys.map((key) => (key.kid === changed.kid ? changed : key))
}

function without(keys: Keys, dropped: StoredSigningKey | undefined): Keys {
  return keys.filter((key) => key !== dropped)
}
