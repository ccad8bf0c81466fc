import { createPrivateKey } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { createLocalJWKSet, jwtVerify } from 'jose'
import { test } from 'tap'
import { ensureSigningKey } from '../../../issuer/domain/ensure-signing-key.ts'
import { createKeySealing } from '../../../issuer/domain/key-sealing.ts'
import { createKeySet } from '../../../issuer/domain/key-set.ts'
import { StoreUnavailable } from '../../../issuer/domain/ports.ts'
import { KEYS_FRESH_MS, KEYS_LEASE_MS } from '../../../issuer/domain/signing-key.ts'
import { ALGORITHM_NAMES, signJws } from '../../../shared/jws.ts'
import { MASTER_KEY, memoryKeys } from '../../helpers/signing-keys.ts'
import { manualClock } from '../build.ts'

const RULES = { lifetimeS: 300 }

function ports(signingKeys = memoryKeys(), masterKeys = [MASTER_KEY]) {
  return { signingKeys, sealing: createKeySealing(masterKeys), clock: manualClock() }
}

test('a key of every algorithm is made, stored encrypted, and verifies with jose', async (t) => {
  for (const alg of ALGORITHM_NAMES) {
    const all = ports()
    await ensureSigningKey(all, alg)
    const [stored] = all.signingKeys.stored
    t.match(stored, { alg, state: 'current', signsFrom: all.clock.now(), retiredAt: null, revokedAt: null })
    t.throws(() =>
      createPrivateKey({ key: Buffer.from(stored!.sealedPrivateKey, 'base64url'), format: 'der', type: 'pkcs8' }),
    )

    const keySet = createKeySet(all, RULES)
    await keySet.reload()
    const token = signJws(keySet.current(), 'at+jwt', { sub: 'someone' })
    const jwks = keySet.jwks()
    t.notMatch(JSON.stringify(jwks), /"(d|p|q|dp|dq|qi|k)":/, 'nothing private is published')
    t.equal((await jwtVerify(token, createLocalJWKSet(jwks))).payload.sub, 'someone')
  }
})

test('of two issuers that start at once one makes the key and both use it', async (t) => {
  const signingKeys = memoryKeys()
  const all = [ports(signingKeys), ports(signingKeys)]
  await Promise.all(all.map((one) => ensureSigningKey(one, 'ES256')))
  const sets = all.map((one) => createKeySet(one, RULES))
  await Promise.all(sets.map((set) => set.reload()))
  t.equal(signingKeys.stored.length, 1)
  t.equal(sets[0]!.current().kid, sets[1]!.current().kid)
})

test('next and retired keys are published, those that are gone are not', async (t) => {
  const all = ports()
  for (const state of ['retired', 'next', 'current', 'gone'] as const) {
    const one = ports()
    await ensureSigningKey(one, 'ES256')
    const retiredAt = state === 'retired' || state === 'gone' ? all.clock.now() : null
    const sealed = state === 'gone' ? { sealedPrivateKey: '' } : {}
    all.signingKeys.stored = [...all.signingKeys.stored, { ...one.signingKeys.stored[0]!, state, retiredAt, ...sealed }]
  }
  const keySet = createKeySet(all, { ...RULES, leaseMs: Number.POSITIVE_INFINITY })
  await keySet.reload()
  const [retired, next, current, gone] = all.signingKeys.stored.map(({ kid }) => kid)
  const published = () => keySet.jwks().keys.map(({ kid }) => kid)
  t.equal(keySet.current().kid, current)
  t.same(published(), [retired, next, current])
  t.equal(keySet.keyFor(gone!), undefined)
  t.equal(keySet.stored().length, 4)
  // An issuer that has not heard of it may sign with it for its lease, and a token lives for five minutes after that.
  all.clock.advance(KEYS_LEASE_MS + 309_999)
  t.ok(keySet.keyFor(retired!), 'its last token may still be accepted')
  all.clock.advance(1)
  t.equal(keySet.keyFor(retired!), undefined)
  t.same(published(), [next, current])
})

test('before a token is made the keys are read again, ten times a second at most', async (t) => {
  const all = ports()
  await ensureSigningKey(all, 'ES256')
  let [reads, isAway] = [0, false]
  const read = all.signingKeys.all
  all.signingKeys.all = async () => {
    reads++
    if (isAway) throw new StoreUnavailable('the store of signing keys', new Error('away'))
    return read()
  }
  const keySet = createKeySet(all, RULES)
  const began = performance.now()
  await keySet.reload()
  const { kid } = keySet.current()
  while (performance.now() - began < 3 * KEYS_FRESH_MS || reads < 3) {
    await Promise.all(Array.from({ length: 100 }, () => keySet.freshen()))
    await sleep(1)
  }
  const spans = (performance.now() - began) / KEYS_FRESH_MS
  t.ok(reads <= 1 + spans, `${reads} reads in ${spans.toFixed(1)} times ${KEYS_FRESH_MS} ms`)

  const other = ports()
  await ensureSigningKey(other, 'ES256')
  all.signingKeys.stored = other.signingKeys.stored
  await sleep(KEYS_FRESH_MS + 1)
  await keySet.freshen()
  const changed = keySet.current().kid
  t.not(changed, kid)
  isAway = true
  await sleep(KEYS_FRESH_MS + 1)
  await keySet.freshen()
  t.equal(keySet.current().kid, changed, 'while the store is away the lease decides')
})

test('a store that fails changes nothing; a foreign master key is an error', async (t) => {
  const all = ports()
  await ensureSigningKey(all, 'ES256')
  const keySet = createKeySet(all, RULES)
  t.throws(() => keySet.current())
  await keySet.reload()
  const { kid } = keySet.current()
  const stored = all.signingKeys.stored
  all.signingKeys.all = async () => {
    throw new Error('away')
  }
  await t.rejects(keySet.reload())
  await keySet.refresh()
  t.equal(keySet.current().kid, kid)

  const foreign = createKeySet(
    { ...all, signingKeys: memoryKeys(stored), sealing: createKeySealing(['another master key']) },
    RULES,
  )
  await t.rejects(foreign.reload(), /MASTER_KEY/)
})

test('keys that were read too long ago neither sign nor are published, but go on verifying', async (t) => {
  const all = ports()
  await ensureSigningKey(all, 'ES256')
  const keySet = createKeySet(all, RULES)
  await keySet.reload()
  const { kid } = keySet.current()
  all.clock.advance(KEYS_LEASE_MS)
  t.equal(keySet.current().kid, kid)
  t.equal(keySet.jwks().keys.length, 1)
  all.clock.advance(1)
  t.throws(() => keySet.current(), StoreUnavailable)
  t.throws(() => keySet.jwks(), StoreUnavailable)
  t.ok(keySet.keyFor(kid))
  await keySet.reload()
  t.equal(keySet.current().kid, kid)
  all.clock.advance(-3_600_000)
  t.throws(() => keySet.current(), StoreUnavailable, 'a clock that was set back proves nothing')
})

test('refresh: what was stored before the call is known after it, and however many call cost few reads', async (t) => {
  const all = ports()
  await ensureSigningKey(all, 'ES256')
  const keySet = createKeySet(all, RULES)
  await keySet.reload()
  all.signingKeys.reads = 0
  const began = performance.now()
  for (let n = 0; n < 5; n++) {
    const another = ports()
    await ensureSigningKey(another, 'ES256')
    const [key] = another.signingKeys.stored
    all.signingKeys.stored = [...all.signingKeys.stored, { ...key!, state: 'next' }]
    await Promise.all(Array.from({ length: 50 }, () => keySet.refresh()))
    t.ok(keySet.keyFor(key!.kid), 'also one that came a moment after the last read')
  }
  const atMost = 2 + (performance.now() - began) / 25
  t.ok(all.signingKeys.reads <= atMost, `${all.signingKeys.reads} reads for 250 calls`)
})

test('an answer that is overtaken by a later one brings nothing back', async (t) => {
  const all = ports()
  await ensureSigningKey(all, 'ES256')
  const keySet = createKeySet(all, RULES)
  await keySet.reload()
  const old = keySet.current().kid
  const slow = Promise.withResolvers<void>()
  const before = all.signingKeys.stored
  const read = all.signingKeys.all
  all.signingKeys.all = async () => {
    await slow.promise
    return [...before]
  }
  const overtaken = keySet.reload()
  const another = ports()
  await ensureSigningKey(another, 'ES256')
  all.signingKeys.stored = another.signingKeys.stored
  all.signingKeys.all = read
  await keySet.reload()
  const now = keySet.current().kid
  t.not(now, old)
  slow.resolve()
  await overtaken
  t.equal(keySet.current().kid, now)
})
