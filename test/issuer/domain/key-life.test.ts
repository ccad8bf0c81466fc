import fc from 'fast-check'
import { test } from 'tap'
import {
  advance,
  inState,
  MAX_PUBLISHED,
  needsFresh,
  revoke,
  rotate,
  takeOver,
} from '../../../issuer/domain/key-life.ts'
import {
  isPublished,
  KEYS_LEASE_MS,
  type KeyRules,
  publishAheadMs,
  type StoredSigningKey,
} from '../../../issuer/domain/signing-key.ts'
import { LEEWAY_S } from '../../../shared/clock.ts'
import { KEY_RULES } from '../../helpers/signing-keys.ts'

const AHEAD = publishAheadMs(KEY_RULES)
const RETENTION = KEYS_LEASE_MS + 310_000
const DAY = 86_400_000

let made = 0
function aKey(more: Partial<StoredSigningKey> = {}): StoredSigningKey {
  return {
    kid: `key-${++made}`,
    alg: 'ES256',
    state: 'next',
    sealedPrivateKey: 'sealed',
    createdAt: 0,
    signsFrom: null,
    retiredAt: null,
    revokedAt: null,
    ...more,
  }
}

const first = (atMs = 0) => aKey({ state: 'current', createdAt: atMs, signsFrom: atMs })
const kidIn = (keys: readonly StoredSigningKey[], state: StoredSigningKey['state']) => inState(keys, state)?.kid

test('the whole life of a key: next, current, retired, gone', async (t) => {
  const rules: KeyRules = { ...KEY_RULES, rotationMs: 30 * DAY }
  const [one, two, three] = [first(), aKey(), aKey()]
  let keys = advance([one], 1000, rules, two)
  t.match(keys, [
    { kid: one.kid, state: 'current' },
    { kid: two.kid, state: 'next', createdAt: 1000, signsFrom: null },
  ])
  t.equal(advance(keys, 30 * DAY - 1, rules, aKey()).length, 2, 'there is one to stand by already')
  keys = advance(keys, 30 * DAY, rules, three)
  t.match(keys, [
    { kid: one.kid, state: 'retired', retiredAt: 30 * DAY },
    { kid: two.kid, state: 'current', signsFrom: 30 * DAY },
    { kid: three.kid, state: 'next', createdAt: 30 * DAY },
  ])
  keys = advance(keys, 30 * DAY + RETENTION - 1, rules)
  t.match(keys[0], { state: 'retired', sealedPrivateKey: 'sealed' })
  keys = advance(keys, 30 * DAY + RETENTION, rules)
  t.match(keys[0], { kid: one.kid, state: 'gone', sealedPrivateKey: '' }, 'only its name is kept')
  keys = advance(keys, 60 * DAY, rules, aKey())
  t.equal(kidIn(keys, 'current'), three.kid)
})

test('a rotation on command waits until the next key has been published long enough', async (t) => {
  const keys = advance([first()], 0, KEY_RULES, aKey())
  const scheduled = rotate(keys, 1000, KEY_RULES, {})
  t.match(inState(scheduled, 'next'), { signsFrom: AHEAD })
  t.equal(rotate(scheduled, 5000, KEY_RULES, {}), scheduled, 'asking again puts nothing off')
  t.equal(kidIn(advance(scheduled, AHEAD - 1, KEY_RULES), 'current'), kidIn(keys, 'current'))
  t.equal(kidIn(advance(scheduled, AHEAD, KEY_RULES), 'current'), kidIn(keys, 'next'))

  t.equal(kidIn(rotate(keys, AHEAD, KEY_RULES, {}), 'current'), kidIn(keys, 'next'), 'one that is old enough: at once')
  const now = rotate(keys, 1000, KEY_RULES, { immediately: true })
  t.match(inState(now, 'current'), { kid: kidIn(keys, 'next'), signsFrom: 1000 })
  t.equal(kidIn(rotate(scheduled, 1000, KEY_RULES, { immediately: true }), 'current'), kidIn(keys, 'next'))
})

test('another algorithm: the next rotation uses it, and waits for its publication', async (t) => {
  const rules: KeyRules = { ...KEY_RULES, algorithm: 'EdDSA' }
  const keys = advance([first()], 0, KEY_RULES, aKey())
  const other = aKey({ alg: 'EdDSA' })
  t.ok(needsFresh(keys, rules))
  t.same(advance(keys, AHEAD, rules, other), keys, 'until then nothing changes')
  const rotated = rotate(keys, AHEAD, rules, { fresh: other })
  t.match(inState(rotated, 'next'), { kid: other.kid, alg: 'EdDSA', createdAt: AHEAD, signsFrom: 2 * AHEAD })
  t.equal(rotated.length, 2, 'the one that stood by has signed nothing and is dropped')
  // A replica that is still configured as before does not interfere.
  t.equal(advance(rotated, AHEAD + 1, KEY_RULES, aKey()).at(-1), rotated.at(-1))
  t.match(inState(advance(rotated, 2 * AHEAD, KEY_RULES, aKey()), 'current'), { alg: 'EdDSA' })
  t.match(inState(rotate(keys, AHEAD, rules, { fresh: other, immediately: true }), 'current'), { alg: 'EdDSA' })
})

test('a compromised key is dropped, and the one that stands by signs at once', async (t) => {
  const standing = advance([first()], 0, KEY_RULES, aKey())
  const [current, next] = [kidIn(standing, 'current')!, kidIn(standing, 'next')!]
  const fresh = aKey()
  const keys = revoke(standing, current, 7, KEY_RULES, fresh)
  t.match(keys, [
    { kid: current, state: 'gone', sealedPrivateKey: '', retiredAt: 7, revokedAt: 7 },
    { kid: next, state: 'current', signsFrom: 7 },
    { kid: fresh.kid, state: 'next', createdAt: 7 },
  ])
  t.equal(revoke(keys, current, 8, KEY_RULES, aKey()), keys, 'again is nothing')
  t.equal(revoke(keys, 'nobody', 8, KEY_RULES, aKey()), keys)

  const alone = revoke([first()], `key-${made}`, 7, KEY_RULES, aKey())
  t.match(inState(alone, 'current'), { kid: `key-${made}`, signsFrom: 7 }, 'without one a new one signs')

  const scheduled = rotate(standing, 1, KEY_RULES, {})
  const replaced = revoke(scheduled, next, 1000, KEY_RULES, fresh)
  t.match(inState(replaced, 'next'), { kid: fresh.kid, signsFrom: 1000 + AHEAD }, 'a rotation that is due goes on')
  t.equal(kidIn(replaced, 'current'), current)

  const gone = advance(rotate(standing, AHEAD, KEY_RULES, {}), AHEAD + RETENTION, KEY_RULES)
  t.match(revoke(gone, current, 2 * DAY, KEY_RULES, fresh)[0], { kid: current, state: 'gone', revokedAt: 2 * DAY })
})

test("a key of one's own: the first, the next, or known already", async (t) => {
  const own = aKey()
  t.match(takeOver([], own, 5, KEY_RULES), [{ kid: own.kid, state: 'current', signsFrom: 5 }])
  const standing = advance([first()], 0, KEY_RULES, aKey())
  const taken = takeOver(standing, { ...own, createdAt: 5 }, 5, KEY_RULES)
  t.match(taken, [{ state: 'current' }, { kid: own.kid, state: 'next', signsFrom: 5 + AHEAD }])
  t.equal(takeOver(taken, own, 6, KEY_RULES), taken, 'by another issuer too')
  const signing = advance(taken, 5 + AHEAD, KEY_RULES, aKey())
  t.equal(takeOver(signing, own, DAY, KEY_RULES), signing)
  const rotated = rotate(signing, DAY, KEY_RULES, { fresh: aKey() })
  const buried = advance(rotated, DAY + RETENTION, KEY_RULES, aKey())
  t.equal(kidIn(buried, 'gone'), kidIn(buried, 'gone'))
  t.equal(takeOver(buried, own, 2 * DAY, KEY_RULES), buried, 'one that was rotated away does not come back')
  const revoked = revoke(signing, own.kid, DAY, KEY_RULES, aKey())
  t.equal(takeOver(revoked, own, DAY, KEY_RULES), revoked, 'and one that was revoked even less')
})

test('there are never more keys published than verifiers take', async (t) => {
  let keys: readonly StoredSigningKey[] = [first()]
  for (let n = 0; n < 100; n++) keys = rotate(keys, n, KEY_RULES, { fresh: aKey(), immediately: true })
  const published = keys.filter((key) => isPublished(key, 100, KEY_RULES.lifetimeS))
  t.equal(published.length, MAX_PUBLISHED)
  t.equal(keys.filter(({ state }) => state === 'current').length, 1)
  keys = advance(keys, 100 + RETENTION, KEY_RULES, aKey())
  t.equal(keys.filter((key) => isPublished(key, 100 + RETENTION, KEY_RULES.lifetimeS)).length, 2)
})

// Several issuers on one store, each with a clock of its own (within the leeway) and a view of the keys that may be as
// old as the lease. They tick, rotate, revoke, take over and sign in any order.

const ISSUERS = 3
const RULES: KeyRules = { algorithm: 'ES256', lifetimeS: 60, jwksMaxAgeS: 20, rotationMs: 200_000 }
const PUBLISHED_FOR = 2 * RULES.jwksMaxAgeS * 1000 + KEYS_LEASE_MS

type Step = {
  issuer: number
  afterMs: number
  act: 'tick' | 'read' | 'sign' | 'rotate' | 'now' | 'revoke' | 'own' | 'alg'
  pick: number
}

const step: fc.Arbitrary<Step> = fc.record({
  issuer: fc.nat(ISSUERS - 1),
  afterMs: fc.oneof(fc.nat(3000), fc.nat(30_000), fc.nat(120_000)),
  act: fc.oneof(
    { weight: 6, arbitrary: fc.constant('tick' as const) },
    { weight: 4, arbitrary: fc.constantFrom('read' as const, 'sign' as const) },
    { weight: 2, arbitrary: fc.constantFrom('rotate' as const, 'now' as const, 'revoke' as const) },
    { weight: 1, arbitrary: fc.constantFrom('own' as const, 'alg' as const) },
  ),
  pick: fc.nat(100),
})

interface Signature {
  kid: string
  atMs: number
  exp: number
}

function run(steps: Step[], skews: number[]): void {
  let realMs = 1_000_000
  let store: readonly StoredSigningKey[] = [first(realMs)]
  const firstKid = store[0]!.kid
  const issuers = skews.map((skewMs) => ({ skewMs, rules: RULES, view: store, readAt: realMs }))
  const publishedAt = new Map([[firstKid, Number.NEGATIVE_INFINITY]])
  const hurried = new Set<string>()
  const gone = new Set<string>()
  const signatures: Signature[] = []
  const fail = (what: string) => {
    throw new Error(what)
  }

  const check = () => {
    if (store.filter(({ state }) => state === 'current').length !== 1) fail('there is one current key')
    if (store.filter(({ state }) => state === 'next').length > 1) fail('there is at most one next key')
    if (new Set(store.map(({ kid }) => kid)).size !== store.length) fail('every key is there once')
    for (const { kid, state, sealedPrivateKey, revokedAt } of store) {
      if (!publishedAt.has(kid)) publishedAt.set(kid, realMs)
      if (state === 'gone') gone.add(kid)
      else if (gone.has(kid)) fail('a key that is gone has come back')
      if ((state === 'gone') !== (sealedPrivateKey === '')) fail('what is gone has no private half, all else has one')
      if (revokedAt !== null && state !== 'gone') fail('a revoked key is gone')
    }
    // What was signed is verifiable for as long as any clock accepts it, unless its key was revoked.
    for (const { kid, exp } of signatures) {
      const key = store.find((one) => one.kid === kid)
      if (key?.revokedAt != null || realMs > (exp + LEEWAY_S) * 1000) continue
      for (const { skewMs } of issuers) {
        if (!key || !isPublished(key, realMs + skewMs, RULES.lifetimeS))
          fail(`a token of ${kid} cannot be verified any more`)
      }
    }
  }

  for (const { issuer, afterMs, act, pick } of steps) {
    realMs += afterMs
    const one = issuers[issuer]!
    const nowMs = realMs + one.skewMs
    const before = kidIn(store, 'current')!
    const fresh = aKey({ alg: one.rules.algorithm, createdAt: nowMs })
    if (act === 'tick') store = advance(store, nowMs, one.rules, fresh)
    else if (act === 'rotate') store = rotate(store, nowMs, one.rules, { fresh })
    else if (act === 'now') store = rotate(store, nowMs, one.rules, { fresh, immediately: true })
    else if (act === 'revoke') store = revoke(store, store[pick % store.length]!.kid, nowMs, one.rules, fresh)
    else if (act === 'own') store = takeOver(store, fresh, nowMs, one.rules)
    else if (act === 'alg') one.rules = { ...RULES, algorithm: one.rules.algorithm === 'ES256' ? 'EdDSA' : 'ES256' }
    if (act === 'now' || act === 'revoke') hurried.add(kidIn(store, 'current')!)
    check()
    const current = kidIn(store, 'current')!
    if (current !== before && !hurried.has(current) && realMs - publishedAt.get(current)! < PUBLISHED_FOR) {
      fail(`${current} signs ${realMs - publishedAt.get(current)!} ms after it was published`)
    }
    if (act !== 'sign' && act !== 'alg') Object.assign(one, { view: store, readAt: realMs })
    else if (act === 'sign' && realMs - one.readAt <= KEYS_LEASE_MS) {
      const atMs = realMs
      signatures.push({ kid: kidIn(one.view, 'current')!, atMs, exp: Math.floor(nowMs / 1000) + RULES.lifetimeS })
    }
  }
}

test('any number of issuers, in any order: one current key, published long enough before and after', async (t) => {
  const skews = fc.array(fc.nat(LEEWAY_S * 1000), { minLength: ISSUERS, maxLength: ISSUERS })
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), skews, (steps, clocks) => run(steps, clocks)),
      { numRuns: 2000 },
    ),
  )
})

test('where the key that stands by is known to others, it is revoked before the one that signs', async (t) => {
  const [signs, standsBy] = [aKey({ state: 'current', signsFrom: 0 }), aKey()]
  const [fresh, other] = [aKey(), aKey()]
  const live = (keys: readonly StoredSigningKey[]) => keys.filter(({ state }) => state !== 'gone').map(({ kid }) => kid)
  const first = revoke([signs, standsBy], signs.kid, DAY, KEY_RULES, fresh)
  t.equal(inState(first, 'current')?.kid, standsBy.kid, 'the other way round it signs, and what stands by is new')
  t.equal(inState(first, 'next')?.kid, fresh.kid)
  const right = revoke(revoke([signs, standsBy], standsBy.kid, DAY, KEY_RULES, fresh), signs.kid, DAY, KEY_RULES, other)
  t.same(live(right), [fresh.kid, other.kid])
})
