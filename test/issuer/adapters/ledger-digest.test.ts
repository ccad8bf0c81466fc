import { randomUUID } from 'node:crypto'
import { setImmediate } from 'node:timers/promises'
import fc from 'fast-check'
import { test } from 'tap'
import { createLedgerDigest } from '../../../issuer/adapters/ledger-digest.ts'
import { StoreUnavailable } from '../../../issuer/domain/ports.ts'
import { keyRevocation } from '../../../issuer/domain/signing-key.ts'
import { LEEWAY_S } from '../../../shared/clock.ts'
import { type Revocation, revocationExpiry, revocationId } from '../../../shared/revocation.ts'
import { createRevocationDigest, isWithin, type LedgerDigest } from '../../../shared/revocation-digest.ts'
import { createRevocationList } from '../../../sidecar/domain/revocation-list.ts'
import { entry, manualClock, memoryLedger } from '../../helpers/revocations.ts'
import { ADAPTERS } from '../../helpers/stores.ts'

const LIFETIME_S = 300
const CUT = 1_800_000_000
/** How long the ledger may take to record an entry, as `createRevoke` has it: seconds. */
const RECORD_WITHIN_S = 30

/** A revocation as an issuer makes it whose clock shows this: seconds. */
function sessionAt(atS: number, sid: string = randomUUID()): Revocation {
  return { kind: 'session', sid, sub: 'u', exp: revocationExpiry((atS + RECORD_WITHIN_S) * 1000, LIFETIME_S) }
}

function start(ledger = memoryLedger()) {
  const clock = manualClock(CUT * 1000)
  let reads = 0
  const live: typeof ledger.live = (...args) => {
    reads++
    return ledger.live(...args)
  }
  const digest = createLedgerDigest({ ledger: { live }, instance: 'a', clock, lifetimeS: LIFETIME_S })
  const ask = async (cut: number): Promise<LedgerDigest> => {
    const asked = digest(cut)
    if (!asked.ok) throw new Error(asked.code)
    return asked.digest
  }
  return { clock, ledger, digest, ask, reads: () => reads }
}

test('ten thousand who ask for one cut cost one reading, at once or later', async (t) => {
  const { ledger, ask, reads, clock } = start()
  await ledger.record([sessionAt(CUT - 100)].map(entry))
  const answers = await Promise.all(Array.from({ length: 10_000 }, () => ask(CUT)))
  clock.advance(50_000)
  await ledger.record([sessionAt(CUT - 100)].map(entry))
  answers.push(await ask(CUT))
  t.equal(reads(), 1)
  t.equal(new Set(answers).size, 1)
  t.equal(answers[0]!.count, 1)
  t.equal((await ask(CUT + 1)).count, 2)
})

test('what was reckoned with a longer lifetime than is agreed on is compared later, and nothing too early', async (t) => {
  const reckoned = (atS: number, withS: number): Revocation => {
    const exp = revocationExpiry((atS + RECORD_WITHIN_S) * 1000, withS)
    return { kind: 'session', sid: randomUUID(), sub: 'u', exp }
  }
  const ledger = memoryLedger()
  const clock = manualClock(CUT * 1000)
  const countAt = async (cut: number) => {
    const asked = createLedgerDigest({ ledger, instance: 'a', clock, lifetimeS: 300 })(cut)
    return asked.ok ? (await asked.digest).count : asked.code
  }
  const before = [reckoned(CUT - 100, 300), reckoned(CUT - 100, 3600)]
  const after = [reckoned(CUT - 1, 300), reckoned(CUT - 1, 3600)]
  await ledger.record([...before, ...after].map(entry))
  t.equal(await countAt(CUT), 1, 'of those before the cut, the one of the lifetime all had')
  clock.advance(3_350_000)
  await ledger.record([entry(reckoned(CUT + 3200, 300))])
  t.equal(await countAt(CUT + 3350), 3, 'those of the longer one when their end comes near, beside a new one')
})

test('a cut lies in the near past', async (t) => {
  const { digest } = start()
  for (const cut of [CUT + 1, CUT - 121, 0]) t.same(digest(cut), { ok: false, code: 'invalid_request' })
  for (const cut of [CUT, CUT - 120]) t.ok(digest(cut).ok)
})

test('one cut is read at a time, and only a few wait', async (t) => {
  let [running, most] = [0, 0]
  const gate = Promise.withResolvers<void>()
  const ledger = memoryLedger()
  ledger.live = async function* () {
    most = Math.max(most, ++running)
    await gate.promise
    yield []
    running--
  }
  const { digest } = start(ledger)
  const asked = Array.from({ length: 10 }, (_, n) => digest(CUT - n))
  t.equal(asked.filter(({ ok }) => ok).length, 4)
  t.match(asked.at(-1), { ok: false, code: 'overloaded' })
  gate.resolve()
  await Promise.all(asked.map((one) => one.ok && one.digest))
  t.equal(most, 1)
  t.ok(digest(CUT - 9).ok)
})

test('what could not be read is read when it is asked for again', async (t) => {
  const ledger = memoryLedger()
  const { live } = ledger
  ledger.live = () => {
    throw new StoreUnavailable('the ledger', new Error('away'))
  }
  const { ask, ledger: used } = start(ledger)
  await t.rejects(ask(CUT), StoreUnavailable)
  used.live = live
  t.equal((await ask(CUT)).count, 0)
})

test('a large ledger lets others have their turn', async (t) => {
  const { ledger, ask } = start()
  await ledger.record([])
  const many = Array.from({ length: 50_000 }, () => sessionAt(CUT - 100))
  ledger.live = async function* () {
    for (let from = 0; from < many.length; from += 1000) yield many.slice(from, from + 1000)
  }
  let [turns, over] = [0, false]
  const counting = (async () => {
    while (!over) {
      await setImmediate()
      turns++
    }
  })()
  t.equal((await ask(CUT)).count, 50_000)
  over = true
  await counting
  t.ok(turns >= 40, `${turns} turns`)
})

test('for a sidecar that has read what was recorded before the cut, nothing on its way is a difference', async () => {
  const fromCut = (from: number, to: number) => fc.integer({ min: from * 10, max: to * 10 }).map((n) => CUT + n / 10)
  const revoked = fc.record({
    // When it was revoked and how long the ledger took, in the time of one issuer; the other's clock can be ahead.
    at: fc.oneof(fromCut(-400, 80), fromCut(-45, -25)),
    // Less than it may take: who is not done by then has given up. Recorded at the very cut would not be before it.
    took: fc.oneof(fc.constant(RECORD_WITHIN_S - 0.1), fc.integer({ min: 0, max: RECORD_WITHIN_S - 1 })),
    ahead: fc.integer({ min: -LEEWAY_S, max: LEEWAY_S }),
    kind: fc.constantFrom('session' as const, 'user' as const, 'key' as const),
    sub: fc.constantFrom('u1', 'u2'),
  })
  // When the issuer reads its ledger; how far the sidecar has got, which is never less than the cut.
  const times = fc.record({ readAt: fromCut(0, 60), completeUntil: fromCut(0, 80) })
  await fc.assert(
    fc.asyncProperty(fc.array(revoked, { maxLength: 30 }), times, async (all, { readAt, completeUntil }) => {
      const events = all.map(({ at, took, ahead, kind, sub }, n) => {
        const { exp } = sessionAt(at - ahead)
        if (kind === 'session') return { recordedAt: at + took, one: sessionAt(at - ahead) }
        if (kind === 'key') return { recordedAt: at + took, one: keyRevocation(`k${n}`, (at - ahead) * 1000) }
        return { recordedAt: at + took, one: { kind, sub, epoch: n + 1, exp } }
      })
      const { ledger, ask, clock } = start()
      clock.set(readAt * 1000)
      await ledger.record(events.filter(({ recordedAt }) => recordedAt < readAt).map(({ one }) => entry(one)))
      const list = createRevocationList()
      for (const { recordedAt, one } of events) if (recordedAt < completeUntil) list.add(one)
      const { window, ...issuers } = await ask(CUT)
      const own = createRevocationDigest()
      for (const batch of list.batches((kind, exp) => isWithin(window, kind, exp))) {
        for (const [id] of batch) own.add(id)
      }
      return JSON.stringify(own.value()) === JSON.stringify(issuers)
    }),
    { numRuns: 500 },
  )
})

for (const { name, skip, place } of ADAPTERS) {
  test(`the digest of a ledger in ${name} is that of its entries within the window`, { skip }, async (t) => {
    const { ledger } = await (await place(t)).open()
    const cut = Math.floor(Date.now() / 1000)
    const within: Revocation[] = [
      ...Array.from({ length: 1500 }, () => sessionAt(cut - 60)),
      { kind: 'user', sub: 'u', epoch: 1, exp: sessionAt(cut - 70).exp },
      { kind: 'user', sub: 'u', epoch: 2, exp: sessionAt(cut - 60).exp },
      keyRevocation('k', (cut - 61) * 1000),
    ]
    const without = [sessionAt(cut), sessionAt(cut - 240), keyRevocation('new', cut * 1000)]
    const all = [...within, ...without].map(entry)
    // More than one batch is read; but written in parts, each within the store's deadline on a slow machine.
    for (let from = 0; from < all.length; from += 250) await ledger.record(all.slice(from, from + 250))
    const asked = createLedgerDigest({ ledger, instance: 'a', clock: { now: Date.now }, lifetimeS: LIFETIME_S })(cut)
    const expected = createRevocationDigest()
    for (const one of within) expected.add(revocationId(one))
    t.match(asked.ok && (await asked.digest), expected.value())
  })
}
