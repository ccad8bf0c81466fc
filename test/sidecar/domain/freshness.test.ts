import fc from 'fast-check'
import { test } from 'tap'
import { createFreshness } from '../../../sidecar/domain/freshness.ts'
import { manualClock } from '../../helpers/revocations.ts'

const NOW = 1_800_000_000_000
const BOUND = 60_000
const LEEWAY = 5000

function setUp() {
  const clock = manualClock(NOW)
  return { clock, freshness: createFreshness({ maxStalenessMs: BOUND, clock }) }
}

test('is not fresh before anything is known', async (t) => {
  const { freshness } = setUp()
  t.equal(freshness.isFresh(NOW), false)
  t.equal(freshness.ageMs(NOW), Number.POSITIVE_INFINITY)
  t.equal(freshness.completeUntil(), 0)
})

test('is fresh up to the bound, counted from what was proven, not from when it came', async (t) => {
  const { freshness, clock } = setUp()
  clock.set(NOW + 30_000)
  t.equal(freshness.advance('kafka', NOW), true)
  t.equal(freshness.ageMs(NOW + 30_000), 30_000)
  t.equal(freshness.isFresh(NOW + BOUND), true)
  t.equal(freshness.isFresh(NOW + BOUND + 1), false)
})

test('clocks that differ by the leeway either way add no more than that to the bound', async (t) => {
  for (const aheadMs of [-LEEWAY, LEEWAY]) {
    const { freshness } = setUp()
    const committed = NOW
    t.equal(freshness.advance('kafka', committed + aheadMs), true)
    t.equal(freshness.isFresh(committed + BOUND + LEEWAY + 1), false, `an issuer whose clock is ${aheadMs} ms ahead`)
  }
})

test('the source that is furthest counts, and none goes back', async (t) => {
  const { freshness } = setUp()
  freshness.advance('kafka', NOW - 500)
  freshness.advance('stream', NOW - 300)
  freshness.advance('stream', NOW - 400)
  freshness.advance('kafka', NOW - 450)
  t.equal(freshness.completeUntil(), NOW - 300)
  t.equal(freshness.completeUntil('stream'), NOW - 300)
  t.equal(freshness.completeUntil('kafka'), NOW - 450)
  t.equal(freshness.completeUntil('none'), 0)
})

test('an instant further ahead than clocks may differ is not believed', async (t) => {
  const { freshness } = setUp()
  t.equal(freshness.advance('kafka', NOW + LEEWAY + 1), false)
  t.equal(freshness.isFresh(NOW), false)
  t.equal(freshness.advance('kafka', NOW + LEEWAY), true)
  t.equal(freshness.ageMs(NOW), 0)
  t.equal(freshness.isFresh(NOW), true)
  for (const value of [Number.NaN, Number.POSITIVE_INFINITY, -1, 0]) {
    t.equal(freshness.advance('kafka', value), false, String(value))
  }
  t.equal(freshness.completeUntil(), NOW + LEEWAY)
})

test('a clock that was ahead and is set back makes nothing fresh, and nothing stuck', async (t) => {
  const { freshness, clock } = setUp()
  clock.set(NOW + 3_600_000)
  freshness.advance('kafka', NOW + 3_600_000)
  freshness.advance('stream', NOW + 3_600_000)
  clock.set(NOW)
  t.equal(freshness.isFresh(NOW), false)
  t.equal(freshness.advance('kafka', NOW), true)
  t.equal(freshness.completeUntil(), NOW)
  t.equal(freshness.isFresh(NOW), true)
})

test('freshness by arrival: no order of arrivals makes it fresher than what was proven', async () => {
  const arrival = fc.record({
    source: fc.constantFrom('kafka', 'stream'),
    laterMs: fc.nat(20_000),
    untilMs: fc.integer({ min: NOW - 100_000, max: NOW + 300_000 }),
  })
  fc.assert(
    fc.property(fc.array(arrival), fc.nat(200_000), (arrivals, waitMs) => {
      const { freshness, clock } = setUp()
      let proven = 0
      for (const { source, laterMs, untilMs } of arrivals) {
        clock.advance(laterMs)
        if (untilMs <= clock.now() + LEEWAY) proven = Math.max(proven, untilMs)
        freshness.advance(source, untilMs)
      }
      clock.advance(waitMs)
      const expected = proven > 0 && clock.now() - proven <= BOUND
      if (freshness.isFresh(clock.now()) !== expected) throw new Error(`fresh should be ${expected}`)
    }),
  )
})
