import fc from 'fast-check'
import { test } from 'tap'
import { createMemoryCounts } from '../../issuer/adapters/memory/counts.ts'
import type { Guess, GuessCounts } from '../../issuer/domain/ports.ts'
import { FAILURE_RULES, LONGEST_WAIT_MS, waitAfter } from '../../issuer/domain/throttle.ts'
import { systemClock } from '../../shared/clock.ts'
import { eventually } from '../helpers/eventually.ts'
import { serversPlace } from '../helpers/stores.ts'
import { uniqueName } from '../helpers/unique-name.ts'
import { missingShared } from '../servers/shared.ts'

const skip = await missingShared('mongo', 'redis')

for (const name of ['memory', 'Redis']) {
  test(`counts: ${name}`, { skip: name === 'Redis' && skip }, async (t) => {
    const place = name === 'Redis' ? await serversPlace(t) : undefined
    const open = async () => (place ? (await place.open()).counts! : createMemoryCounts(systemClock))
    const counts = await open()
    // Another replica, where there can be one.
    const other = place ? await open() : counts
    const aGuess = (): Guess => ({ account: uniqueName('account'), network: uniqueName('network') })

    await t.test('requests are counted by key, by all replicas together, until the window ends', async (t) => {
      const key = uniqueName('key')
      t.equal((await counts.hit(key, 60_000)).count, 1)
      const second = await other.hit(key, 60_000)
      t.equal(second.count, 2)
      t.ok(second.endsInMs > 50_000 && second.endsInMs <= 60_000)
      t.equal((await counts.hit(uniqueName('key'), 60_000)).count, 1, 'another key has its own')

      const brief = uniqueName('brief')
      await counts.hit(brief, 100)
      await eventually(async () => (await other.hit(brief, 100)).count === 1, { message: 'a new window' })
    })

    await t.test('of many at once none is lost', async (t) => {
      const key = uniqueName('key')
      const hits = await Promise.all(Array.from({ length: 200 }, (_, i) => (i % 2 ? counts : other).hit(key, 60_000)))
      t.same(
        hits.map(({ count }) => count).sort((a, b) => a - b),
        Array.from({ length: 200 }, (_, i) => i + 1),
      )
    })

    await t.test('of many guesses at once only the free ones are made', async (t) => {
      const guess = aGuess()
      const now = Date.now()
      const waits = await Promise.all(Array.from({ length: 100 }, (_, i) => (i % 2 ? counts : other).claim(guess, now)))
      t.equal(waits.filter((wait) => wait === 0).length, FAILURE_RULES.pair.free)
      t.same([...new Set(waits)].sort(), [0, 1000])
    })

    await t.test('a network that failed too often waits at every account', async (t) => {
      const { network } = aGuess()
      const now = Date.now()
      for (let i = 0; i < FAILURE_RULES.network.free; i++) await counts.settle({ ...aGuess(), network }, 'wrong', now)
      t.equal(await other.claim({ ...aGuess(), network }, now), 1000)
      t.equal(await other.claim({ ...aGuess(), network }, now + 1000), 0)
    })
  })
}

/** Wrong again and again from one network, as soon as may be, and once more right after the longest wait has begun. */
const TO_THE_LONGEST_WAIT = Array.from({ length: 15 }, (_, failures) => ({
  account: 'a',
  network: 0,
  outcome: 'wrong',
  again: Number(failures === 14),
  pause: failures < 5 ? 0 : waitAfter(failures, FAILURE_RULES.pair),
}))

test('Redis counts as the rules say', { skip }, async (t) => {
  const { counts } = await (await serversPlace(t)).open()
  const waits = new Set<number>()
  // Often wrong, quickly and from many networks: only so are the waits of the pair and of the account reached.
  const step = fc.record({
    account: fc.constantFrom('a', 'a', 'a', 'b'),
    network: fc.nat(7),
    outcome: fc.constantFrom('wrong', 'unsettled', 'unsettled', 'void', 'right'),
    again: fc.nat(7),
    pause: fc.oneof({ weight: 9, arbitrary: fc.nat(1500) }, { weight: 1, arbitrary: fc.nat(2 * LONGEST_WAIT_MS) }),
  })
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 20, maxLength: 60 }), async (steps) => {
      const run = uniqueName('run')
      const both: GuessCounts[] = [counts!, createMemoryCounts(systemClock)]
      let now = Date.now()
      for (const { account, network, outcome, again, pause } of steps) {
        now += pause
        const guess = { account: `${run}-${account}`, network: `${run}-${network}` }
        for (let i = 0; i <= again; i++) {
          const [redis, memory] = await Promise.all(both.map((each) => each.claim(guess, now)))
          if (redis !== memory) return false
          if (redis! > 0) waits.add(redis!)
          if (redis === 0 && outcome !== 'unsettled') {
            await Promise.all(both.map((each) => each.settle(guess, outcome as 'right', now)))
          }
        }
      }
      return true
    }),
    // By chance alone one search in thousands does not come that far.
    { numRuns: 40, examples: [[TO_THE_LONGEST_WAIT]] },
  )
  t.ok(waits.has(LONGEST_WAIT_MS), 'up to the longest wait')
  t.ok(waits.size > 20, `${waits.size} different waits`)
})
