import { randomUUID } from 'node:crypto'
import fc from 'fast-check'
import { test } from 'tap'
import { LEEWAY_S } from '../../../shared/clock.ts'
import { type Revocation, revocationExpiry, revocationId } from '../../../shared/revocation.ts'
import { createRevocationList } from '../../../sidecar/domain/revocation-list.ts'
import { accessClaims, NOW_MS, NOW_S } from '../../helpers/access-tokens.ts'

const KID = 'key-1'
const EXP = NOW_S + 310

function sweepAll(list: ReturnType<typeof createRevocationList>, nowS: number): void {
  for (let n = 0; n < 16; n++) list.sweep(nowS)
}

test('a session: its tokens and no others, whatever the order of its digits or its spelling', async (t) => {
  const list = createRevocationList()
  const { sid, sub } = accessClaims()
  t.equal(list.revokes(accessClaims(), KID), false)
  t.equal(list.add({ kind: 'session', sid, sub, exp: EXP }), true)
  t.equal(list.revokes(accessClaims(), KID), true)
  t.equal(list.revokes(accessClaims({ sub: 'another' }), KID), true, 'by the session alone')
  t.equal(list.revokes(accessClaims({ epoch: 1000 }), 'key-2'), true, 'whatever its epoch and key')
  t.equal(list.revokes(accessClaims({ sid: randomUUID() }), KID), false, 'another session of the user')
  t.equal(list.revokes(accessClaims({ sid: sid.toUpperCase() }), KID), false, 'another spelling is another id')
  t.equal(list.revokes(accessClaims({ sub: sid, sid: sub }), KID), false)
})

test('a session whose id is no UUID', async (t) => {
  const list = createRevocationList()
  for (const sid of ['imported-1', 'A0000000-0000-4000-8000-000000000000', '__proto__', 'é']) {
    t.equal(list.add({ kind: 'session', sid, sub: 'u', exp: EXP }), true, sid)
    t.equal(list.revokes(accessClaims({ sid }), KID), true, sid)
    t.equal(list.add({ kind: 'session', sid, sub: 'u', exp: EXP }), false, sid)
  }
  t.equal(list.revokes(accessClaims({ sid: 'imported-2' }), KID), false)
  t.same(list.counts, { session: 4, user: 0, key: 0 })
})

test('a user: every token of a lower epoch, by count and not by clock (CVE-2026-9802)', async (t) => {
  const list = createRevocationList()
  const { sub } = accessClaims()
  t.equal(list.add({ kind: 'user', sub, epoch: 3, exp: EXP }), true)
  for (const [epoch, revoked] of [
    [0, true],
    [2, true],
    [3, false],
    [4, false],
  ] as const) {
    t.equal(list.revokes(accessClaims({ epoch }), KID), revoked, `epoch ${epoch}`)
  }
  t.equal(list.revokes(accessClaims({ epoch: 3, iat: NOW_S - 100 }), KID), false, 'whenever it was issued')
  t.equal(list.revokes(accessClaims({ epoch: 2, iat: NOW_S + 4 }), KID), true, 'whenever it was issued')
  t.equal(list.revokes(accessClaims({ sub: 'another' }), KID), false, 'another user')
  t.equal(list.add({ kind: 'user', sub, epoch: 2, exp: EXP }), false, 'a lower epoch says nothing new')
  t.equal(list.revokes(accessClaims({ epoch: 2 }), KID), true, 'and takes nothing back')
  t.equal(list.add({ kind: 'user', sub, epoch: 4, exp: EXP }), true)
  t.equal(list.revokes(accessClaims({ epoch: 3 }), KID), true)
  t.equal(list.size, 1)
})

test('a key: every token it signed', async (t) => {
  const list = createRevocationList()
  t.equal(list.revokesKey(KID), false)
  t.equal(list.add({ kind: 'key', kid: KID, exp: 2 ** 40 }), true)
  t.equal(list.add({ kind: 'key', kid: KID, exp: EXP }), false)
  t.equal(list.revokes(accessClaims(), KID), true)
  t.equal(list.revokesKey(KID), true)
  t.equal(list.revokes(accessClaims(), 'key-2'), false)
  sweepAll(list, 2 ** 40 - 1)
  t.equal(list.revokesKey(KID), true, 'as long as it says')
})

test('an entry lasts as long as any token it concerns, and no longer', async (t) => {
  const list = createRevocationList()
  const lifetimeS = 300
  const exp = revocationExpiry(NOW_MS + 1, lifetimeS)
  const { sid, sub } = accessClaims()
  const revocations: Revocation[] = [
    { kind: 'session', sid, sub, exp },
    { kind: 'session', sid: 'imported', sub, exp },
    { kind: 'user', sub, epoch: 1, exp },
    { kind: 'key', kid: KID, exp },
  ]
  for (const revocation of revocations) list.add(revocation)
  // The last token: issued at the moment of the revocation by a clock that is ahead by the leeway.
  const refusedFromS = NOW_S + LEEWAY_S + lifetimeS + LEEWAY_S
  sweepAll(list, refusedFromS)
  t.equal(list.size, 4)
  sweepAll(list, exp - 1)
  t.equal(list.size, 4)
  sweepAll(list, exp)
  t.equal(list.size, 0)
  t.equal(list.revokes(accessClaims(), KID), false)
})

test('revocation expiry is seen at each sweep, not computed once at the start', async (t) => {
  const list = createRevocationList()
  for (let minute = 0; minute < 30; minute++) {
    const nowS = NOW_S + 60 * minute
    sweepAll(list, nowS)
    const sid = randomUUID()
    list.add({ kind: 'session', sid, sub: 'u', exp: nowS + 310 })
    sweepAll(list, nowS)
    t.equal(list.revokes(accessClaims({ sid }), KID), true, `minute ${minute}`)
    t.ok(list.size <= 6, 'and the old ones are gone')
  }
})

test('many entries of every kind are swept in parts', async (t) => {
  const list = createRevocationList()
  for (let i = 0; i < 50_000; i++) list.add({ kind: 'user', sub: `u${i}`, epoch: 1, exp: i % 2 ? EXP : EXP + 100 })
  list.sweep(EXP)
  t.ok(list.size > 25_000, 'not all at once')
  for (let n = 0; n < 5; n++) list.sweep(EXP)
  t.equal(list.size, 25_000)
  t.equal(list.revokes(accessClaims({ sub: 'u1' }), KID), false)
  t.equal(list.revokes(accessClaims({ sub: 'u2' }), KID), true)
})

const sid = fc.constantFrom(...Array.from({ length: 40 }, () => randomUUID()), 'imported', 'other')
const sub = fc.constantFrom('u1', 'u2', 'u3')
const kid = fc.constantFrom('k1', 'k2')
const exp = fc.integer({ min: 1, max: 30 })
const revocation: fc.Arbitrary<Revocation> = fc.oneof(
  fc.record({ kind: fc.constant('session' as const), sid, sub, exp }),
  fc.record({ kind: fc.constant('user' as const), sub, epoch: fc.integer({ min: 1, max: 5 }), exp }),
  fc.record({ kind: fc.constant('key' as const), kid, exp }),
)

test('is exact: answers as the plain list of all that was added would', async () => {
  const asked = fc.record({ sid, sub, epoch: fc.nat(5), kid })
  fc.assert(
    fc.property(fc.array(revocation, { maxLength: 60 }), fc.array(asked, { maxLength: 60 }), (added, questions) => {
      const list = createRevocationList()
      for (const one of added) list.add(one)
      for (const question of questions) {
        const expected = added.some((one) => {
          if (one.kind === 'session') return one.sid === question.sid
          return one.kind === 'key' ? one.kid === question.kid : one.sub === question.sub && question.epoch < one.epoch
        })
        if (list.revokes(accessClaims(question), question.kid) !== expected) throw new Error(JSON.stringify(question))
      }
    }),
  )
})

test('has exactly what would change nothing if it were added', async () => {
  const contents = (list: ReturnType<typeof createRevocationList>) =>
    JSON.stringify([...list.batches(() => true)].flat().sort())
  fc.assert(
    fc.property(fc.array(revocation, { maxLength: 60 }), revocation, (added, one) => {
      const list = createRevocationList()
      for (const other of added) list.add(other)
      const [before, had] = [contents(list), list.has(one)]
      list.add(one)
      return had === (contents(list) === before)
    }),
  )
})

test('the order and the number of arrivals make no difference', async () => {
  const contents = (revocations: Revocation[]) => {
    const list = createRevocationList()
    for (const one of revocations) list.add(one)
    return JSON.stringify([[...list.batches(() => true)].flat().sort(), list.counts, list.size])
  }
  fc.assert(
    fc.property(
      fc
        .array(revocation, { maxLength: 30 })
        .chain((all) => fc.tuple(fc.constant(all), fc.shuffledSubarray(all, { minLength: all.length }))),
      ([all, shuffled]) => contents(all) === contents([...shuffled, ...all]),
    ),
  )
})

test('the ledger and the list name the same revocations, whatever came again, out of order or was superseded', async () => {
  fc.assert(
    fc.property(fc.array(revocation, { maxLength: 40 }), fc.array(fc.nat(1000)), fc.nat(30), (all, picks, nowS) => {
      // The ledger keeps the first of a name, and that is what is published, however often.
      const ledger = new Map<string, Revocation>()
      for (const one of all) if (!ledger.has(revocationId(one))) ledger.set(revocationId(one), one)
      const published = [...ledger.values()]
      const list = createRevocationList()
      for (const pick of picks) if (published.length > 0) list.add(published[pick % published.length]!)
      for (const one of published) list.add(one)
      sweepAll(list, nowS)
      const live = published.filter(({ exp }) => exp > nowS).map((one) => `${revocationId(one)} ${one.exp}`)
      const shown = [...list.batches((_, exp) => exp > nowS)].flat().map((one) => one.join(' '))
      return JSON.stringify(shown.sort()) === JSON.stringify(live.sort())
    }),
  )
})

test('while it is read in batches, additions and sweeps make nothing come twice or be left out', async (t) => {
  const list = createRevocationList()
  const staying = Array.from({ length: 20_000 }, (_, n): Revocation => {
    if (n % 4 === 0) return { kind: 'user', sub: `u${n}`, epoch: 1, exp: EXP }
    return { kind: 'session', sid: n % 4 === 1 ? `imported-${n}` : randomUUID(), sub: 'u', exp: EXP }
  })
  for (const [n, one] of staying.entries()) {
    list.add(one)
    list.add({ kind: 'session', sid: n % 2 ? randomUUID() : `gone-${n}`, sub: 'u', exp: NOW_S })
  }
  const seen: string[] = []
  let next = 0
  for (const batch of list.batches((_, exp) => exp === EXP)) {
    t.ok(batch.length <= 1024)
    seen.push(...batch.map(([id]) => id))
    list.sweep(NOW_S)
    for (let n = 0; n < 20; n++) {
      list.add({ kind: 'session', sid: randomUUID(), sub: 'u', exp: EXP + 1 })
      list.add({ kind: 'user', sub: `u${4 * (next++ % 5000)}`, epoch: 1 + next, exp: EXP + 1 })
    }
  }
  t.same(seen.sort(), staying.map(revocationId).sort())
})

test('superseded revocations of a user who is revoked again and again are forgotten too', async (t) => {
  const list = createRevocationList()
  for (let n = 0; n < 100; n++) {
    list.add({ kind: 'user', sub: 'u', epoch: n + 1, exp: NOW_S + n + 10 })
    sweepAll(list, NOW_S + n)
  }
  t.equal([...list.batches(() => true)].flat().length, 10)
  t.same(list.counts, { session: 0, user: 1, key: 0 })
})

test('shows every revocation under the name both sides give it', async (t) => {
  const list = createRevocationList()
  list.add({ kind: 'session', sid: '7c9e6679-7425-40de-944b-e07fc1f90ae7', sub: 'u', exp: 1 })
  list.add({ kind: 'session', sid: 'imported', sub: 'u', exp: 2 })
  list.add({ kind: 'user', sub: 'u', epoch: 7, exp: 3 })
  list.add({ kind: 'key', kid: 'k', exp: 4 })
  t.same([...list.batches(() => true)].flat(), [
    ['session:7c9e6679-7425-40de-944b-e07fc1f90ae7', 1],
    ['session:imported', 2],
    ['user:u:7', 3],
    ['key:k', 4],
  ])
})
