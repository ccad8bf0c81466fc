import { test } from 'tap'
import { createKeyRing } from '../../../sidecar/domain/key-ring.ts'
import { signingKey } from '../../helpers/revocations.ts'

test('knows the keys of the last set, and no others', async (t) => {
  const ring = createKeyRing({ maxStaleMs: 1000 })
  const [a, b] = [signingKey('ES256', 'a'), signingKey('EdDSA', 'b')]
  t.equal(ring.size, 0)
  t.equal(ring.fetchedAtMs, undefined)
  ring.replace([a, b], 5)
  t.equal(ring.keyFor('a'), a)
  t.equal(ring.keyFor('b'), b)
  t.same([ring.size, ring.fetchedAtMs], [2, 5])
  ring.replace([b], 6)
  t.equal(ring.keyFor('a'), undefined)
  t.same([ring.size, ring.fetchedAtMs], [1, 6])
})

test('kid injection (CVE-2026-81829): a key id is a map key and nothing else', async (t) => {
  const ring = createKeyRing({ maxStaleMs: 1000 })
  ring.replace([signingKey('ES256', 'a')], 0)
  for (const kid of ['__proto__', 'constructor', 'toString', '../a', 'a\0', "a' or '1'='1", 'A', '']) {
    t.equal(ring.keyFor(kid), undefined, JSON.stringify(kid))
  }
})

test('a key that stays the same stays the same object', async (t) => {
  const ring = createKeyRing({ maxStaleMs: 1000 })
  const key = signingKey('ES256', 'a')
  ring.replace([key], 0)
  ring.replace([{ ...key }], 1)
  t.equal(ring.keyFor('a'), key)
  const other = signingKey('ES256', 'a')
  ring.replace([other], 2)
  t.equal(ring.keyFor('a'), other, 'another key under the same id replaces it')
  const rebound = { ...other, alg: 'RS256' as const }
  ring.replace([rebound], 3)
  t.equal(ring.keyFor('a'), rebound, 'and so does another algorithm')
})

test('a revoked key never comes back', async (t) => {
  const ring = createKeyRing({ maxStaleMs: 1000 })
  const [a, b] = [signingKey('ES256', 'a'), signingKey('ES256', 'b')]
  ring.replace([a, b], 0)
  ring.revoke('a')
  t.equal(ring.keyFor('a'), undefined)
  t.ok(ring.isRevoked('a'))
  t.notOk(ring.isRevoked('b'))
  t.equal(ring.keyFor('b'), b)
  ring.replace([a, b], 1)
  t.equal(ring.keyFor('a'), undefined, 'not by a later key set')
  t.equal(ring.size, 1)
  ring.revoke('later')
  ring.replace([signingKey('ES256', 'later')], 2)
  t.equal(ring.size, 0, 'nor when it was revoked before it was known')
})

test('keys are served stale up to the bound', async (t) => {
  const ring = createKeyRing({ maxStaleMs: 1000 })
  ring.expire(10)
  ring.replace([signingKey('ES256', 'a')], 5000)
  ring.expire(6000)
  t.ok(ring.keyFor('a'))
  ring.expire(6001)
  t.equal(ring.keyFor('a'), undefined)
  t.equal(ring.size, 0)
  ring.replace([signingKey('ES256', 'a')], 7000)
  t.ok(ring.keyFor('a'), 'and come back with a fresh set')
})

test('a time of fetching that lies ahead buys nothing', async (t) => {
  const ring = createKeyRing({ maxStaleMs: 1000 })
  ring.replace([signingKey('ES256', 'a')], 1_000_000)
  ring.expire(5000)
  t.ok(ring.keyFor('a'))
  ring.expire(6001)
  t.equal(ring.keyFor('a'), undefined)
})
