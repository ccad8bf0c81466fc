import { test } from 'tap'
import { ensureSigningKey } from '../../../issuer/domain/ensure-signing-key.ts'
import { generateSigningKey } from '../../../issuer/domain/generate-key.ts'
import { KEYS_LEASE_MS, publishAheadMs, type StoredSigningKey } from '../../../issuer/domain/signing-key.ts'
import { signJws } from '../../../shared/jws.ts'
import { KEY_RULES, keyHolder, type MemoryKeys, memoryKeys } from '../../helpers/signing-keys.ts'
import { manualClock } from '../build.ts'

const DAY = 86_400_000
const AHEAD = publishAheadMs(KEY_RULES)

const kidIn = ({ stored }: MemoryKeys, state: StoredSigningKey['state']) =>
  stored.find((key) => key.state === state)?.kid

async function setUp(rules: Parameters<typeof keyHolder>[2] = {}) {
  const clock = manualClock()
  const signingKeys = memoryKeys()
  const one = keyHolder(signingKeys, clock, rules)
  await ensureSigningKey(one, one.rules.algorithm)
  return { clock, signingKeys, one }
}

test('the whole life of keys by upkeep alone', async (t) => {
  const { clock, signingKeys, one } = await setUp({ rotationMs: 30 * DAY })
  const { upkeep } = one.rotateKeys
  t.equal(await upkeep(), false)
  const [a, b] = [kidIn(signingKeys, 'current')!, kidIn(signingKeys, 'next')!]
  t.ok(a && b, 'one signs, one stands by')
  t.same(
    one.keySet
      .jwks()
      .keys.map(({ kid }) => kid)
      .sort(),
    [a, b].sort(),
    'both are published',
  )
  const token = signJws(one.keySet.current(), 'at+jwt', {})
  const before = signingKeys.stored
  await upkeep()
  t.same(signingKeys.stored, before, 'and nothing more happens until it is time')

  clock.advance(30 * DAY)
  t.equal(await upkeep(), true)
  t.equal(one.keySet.current().kid, b)
  t.equal(kidIn(signingKeys, 'retired'), a)
  t.ok(kidIn(signingKeys, 'next'), 'another stands by')
  t.equal(await upkeep(), false)
  t.ok(
    one.keySet.keyFor(JSON.parse(Buffer.from(token.split('.')[0]!, 'base64url').toString()).kid),
    'a is still published',
  )

  clock.advance(KEYS_LEASE_MS + 310_000)
  await upkeep()
  t.equal(one.keySet.keyFor(a), undefined)
  t.match(signingKeys.stored[0], { kid: a, state: 'gone', sealedPrivateKey: '' })
  t.same(
    one.audited.map(({ event, facts }) => [event, facts.kid, facts.by]),
    [['signing_key_rotated', b, 'schedule']],
  )
})

test('a rotation on command says when, and upkeep of another issuer carries it out', async (t) => {
  const { clock, signingKeys, one } = await setUp()
  const other = keyHolder(signingKeys, clock)
  await one.rotateKeys.upkeep()
  const next = kidIn(signingKeys, 'next')!
  clock.advance(1000)
  const expected = { ok: true, kid: next, effectiveAt: clock.now() - 1000 + AHEAD }
  t.match(await one.rotateKeys.rotate({ immediately: false, by: 'admin' }), expected)
  t.match(await other.rotateKeys.rotate({ immediately: false, by: 'admin' }), expected, 'asking again changes nothing')
  clock.advance(AHEAD - 1001)
  t.equal(await other.rotateKeys.upkeep(), false)
  clock.advance(1)
  t.equal(await other.rotateKeys.upkeep(), true)
  t.equal(other.keySet.current().kid, next)
  t.equal(await one.rotateKeys.upkeep(), false, 'one of them did it')
  t.equal(one.keySet.current().kid, next)
  clock.advance(AHEAD)
  await one.rotateKeys.upkeep()
  const at = clock.now()
  t.match(await one.rotateKeys.rotate({ immediately: false, by: 'admin' }), { ok: true, effectiveAt: at }, 'at once')
  t.match(await one.rotateKeys.rotate({ immediately: true, by: 'admin' }), { ok: true, effectiveAt: at })
})

test('too many keys at once are a conflict', async (t) => {
  const { one } = await setUp()
  for (let n = 0; n < 31; n++) await one.rotateKeys.rotate({ immediately: true, by: 'admin' })
  t.match(await one.rotateKeys.rotate({ immediately: true, by: 'admin' }), {
    ok: false,
    code: 'conflict',
    detail: /32/,
  })
})

test('another algorithm is used from the next rotation on', async (t) => {
  const { clock, signingKeys, one } = await setUp({ rotationMs: DAY })
  await one.rotateKeys.upkeep()
  const changed = keyHolder(signingKeys, clock, { algorithm: 'RS256', rotationMs: DAY })
  clock.advance(DAY - 1)
  await changed.rotateKeys.upkeep()
  t.equal(changed.keySet.current().alg, 'ES256')
  clock.advance(1)
  await changed.rotateKeys.upkeep()
  t.match(
    signingKeys.stored.find(({ state }) => state === 'next'),
    { alg: 'RS256', signsFrom: clock.now() + AHEAD },
  )
  clock.advance(AHEAD)
  t.equal(await changed.rotateKeys.upkeep(), true)
  t.equal(changed.keySet.current().alg, 'RS256')
})

test("a key of one's own is taken over, by as many issuers as have it", async (t) => {
  const { clock, signingKeys, one } = await setUp()
  const other = keyHolder(signingKeys, clock)
  const own = await generateSigningKey('EdDSA')
  await Promise.all([one.rotateKeys.upkeep(), other.rotateKeys.upkeep()])
  const effectiveAt = clock.now() + AHEAD
  t.same(await one.rotateKeys.takeOver(own), { outcome: 'next', effectiveAt })
  t.same(await other.rotateKeys.takeOver(own), { outcome: 'next', effectiveAt })
  t.ok(other.keySet.keyFor(own.kid), 'it is published from now on')
  t.notOk(
    signingKeys.stored.some(({ sealedPrivateKey }) =>
      sealedPrivateKey.includes(own.privateKey.export({ format: 'jwk' }).d!),
    ),
  )
  clock.advance(AHEAD)
  await other.rotateKeys.upkeep()
  t.same(await one.rotateKeys.takeOver(own), { outcome: 'current' })
  t.equal(one.keySet.current().kid, own.kid)
  await one.rotateKeys.rotate({ immediately: true, by: 'admin' })
  t.same(await one.rotateKeys.takeOver(own), { outcome: 'retired' })
  clock.advance(DAY)
  await one.rotateKeys.upkeep()
  t.same(await one.rotateKeys.takeOver(own), { outcome: 'retired' }, 'it does not come back either when it is gone')
  t.not(one.keySet.current().kid, own.kid)
})

test('the master key is changed: after one upkeep with both the old one opens nothing', async (t) => {
  const { clock, signingKeys, one } = await setUp({ masterKeys: ['the old one'] })
  await one.rotateKeys.upkeep()
  const { kid } = one.keySet.current()
  const both = keyHolder(signingKeys, clock, { masterKeys: ['the new one', 'the old one'] })
  t.equal(await both.rotateKeys.upkeep(), false)
  const after = signingKeys.stored
  await both.rotateKeys.upkeep()
  t.same(signingKeys.stored, after, 'done once')
  await t.rejects(keyHolder(signingKeys, clock, { masterKeys: ['the old one'] }).keySet.reload(), /MASTER_KEY/)
  const next = keyHolder(signingKeys, clock, { masterKeys: ['the new one'] })
  await next.keySet.reload()
  t.equal(next.keySet.current().kid, kid)
  // One that still runs with the old one goes on with what it has in memory.
  await one.keySet.reload()
  t.equal(one.keySet.current().kid, kid)
})

test('a wrong master key stores nothing', async (t) => {
  const { clock, signingKeys } = await setUp()
  const before = signingKeys.stored
  const wrong = keyHolder(signingKeys, clock, { masterKeys: ['another one'], rotationMs: 1 })
  clock.advance(DAY)
  await t.rejects(wrong.rotateKeys.upkeep(), /MASTER_KEY/)
  t.same(signingKeys.stored, before)
})
