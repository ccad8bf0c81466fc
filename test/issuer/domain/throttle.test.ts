import fc from 'fast-check'
import { test } from 'tap'
import { createMemoryCounts } from '../../../issuer/adapters/memory/counts.ts'
import {
  addFailure,
  countFailures,
  createThrottle,
  FAILURE_RULES,
  type FailureRule,
  LONGEST_WAIT_MS,
  waitAfter,
} from '../../../issuer/domain/throttle.ts'
import { manualClock } from '../build.ts'

const RULES = Object.entries(FAILURE_RULES) as [string, FailureRule][]
const wrong = async () => ({ ok: false, code: 'credentials_invalid' }) as const
const right = async () => ({ ok: true }) as const

/** A throttle with a clock that stands still, and a way to guess that says how long to wait (s). */
function setUp() {
  const clock = manualClock()
  const audit: { event: string; facts: object }[] = []
  const throttle = createThrottle({
    counts: createMemoryCounts(clock),
    audit: { record: (event, facts) => void audit.push({ event, facts }) },
    clock,
  })
  const guess = async (account: string, address: string, answer: () => Promise<{ ok: boolean }> = wrong) => {
    let asked = false
    const result = await throttle(account, { address, userAgent: 'test/1' }, async () => {
      asked = true
      return (await answer()) as Awaited<ReturnType<typeof wrong>>
    })
    return asked ? 0 : (result as unknown as { retryAfterS: number }).retryAfterS
  }
  return { clock, audit, throttle, guess }
}

test('five wrong guesses are free, then each wait is twice the one before, up to five minutes', async (t) => {
  const { clock, audit, guess } = setUp()
  for (let i = 0; i < 5; i++) t.equal(await guess('ada', '192.0.2.1'), 0)
  const waits: number[] = []
  for (let i = 0; i < 8; i++) {
    const wait = await guess('ada', '192.0.2.1')
    waits.push(wait)
    clock.advance(wait * 1000 - 1)
    t.equal(await guess('ada', '192.0.2.1'), 1, 'a millisecond too early')
    clock.advance(1)
    t.equal(await guess('ada', '192.0.2.1'), 0, 'then it may be made')
  }
  t.same(waits, [1, 2, 4, 8, 16, 32, 64, 128])
  for (let i = 0; i < 3; i++) {
    clock.advance(LONGEST_WAIT_MS)
    t.equal(await guess('ada', '192.0.2.1'), 0, 'there is no lockout')
  }
  t.equal(await guess('ada', '192.0.2.1'), LONGEST_WAIT_MS / 1000)
  t.match(audit.at(-1), { event: 'login_throttled', facts: { address: '192.0.2.1', user_agent: 'test/1' } })
})

test('the owner on another network is not kept out by whoever guesses elsewhere', async (t) => {
  const { clock, guess } = setUp()
  for (let network = 0; network < 200; network++) {
    for (let i = 0; i < 3; i++) await guess('ada', `198.51.100.${network}`)
  }
  t.equal(await guess('ada', '192.0.2.1', right), 0, 'the first try from a clean network')
  t.equal(await guess('ada', '192.0.2.1', right), 0, 'and the next, for it was right')
  t.equal(await guess('ada', '203.0.113.9'), 0, 'a stranger gets one try')
  t.equal(await guess('ada', '203.0.113.9'), LONGEST_WAIT_MS / 1000, 'and then waits as long as the whole account')
  t.equal(await guess('bob', '203.0.113.9'), 0, 'but not at another account')
  clock.advance(24 * 3_600_000)
  t.equal(await guess('ada', '203.0.113.9'), 0)
  t.equal(await guess('ada', '203.0.113.9'), 0, 'an attack that has ended is forgotten')
})

test('one network that tries many accounts is slowed down', async (t) => {
  const { clock, guess } = setUp()
  let made = 0
  for (let i = 0; i < 1000; i++) if ((await guess(`user${i}`, '192.0.2.1')) === 0) made++
  t.equal(made, FAILURE_RULES.network.free)
  t.equal(await guess('ada', '192.0.2.2', right), 0, 'not its neighbours')
  clock.advance(24 * 3_600_000)
  t.equal(await guess('ada', '192.0.2.1'), 0)
})

test('many at once are as many as one after the other', async (t) => {
  const { guess } = setUp()
  let asked = 0
  const slowly = async () => {
    asked++
    await new Promise(setImmediate)
    return wrong()
  }
  await Promise.all(Array.from({ length: 1000 }, () => guess('ada', '192.0.2.1', slowly)))
  t.equal(asked, FAILURE_RULES.pair.free)
})

test('a right password makes the failures of that network forgotten, not those of others', async (t) => {
  const { guess } = setUp()
  for (let i = 0; i < 5; i++) await guess('ada', '198.51.100.1')
  for (let i = 0; i < 4; i++) await guess('ada', '192.0.2.1')
  t.equal(await guess('ada', '192.0.2.1', right), 0)
  for (let i = 0; i < 5; i++) t.equal(await guess('ada', '192.0.2.1'), 0)
  t.not(await guess('ada', '192.0.2.1'), 0)
  t.not(await guess('ada', '198.51.100.1'), 0)
})

test('a guess that nobody looked at is none', async (t) => {
  const { guess } = setUp()
  const failing = async (): Promise<{ ok: boolean }> => {
    throw new Error('a store is away')
  }
  for (let i = 0; i < 50; i++) await t.rejects(guess('ada', '192.0.2.1', failing), /away/)
  for (let i = 0; i < 50; i++) await guess('ada', '192.0.2.1', async () => ({ ok: false, code: 'password_rejected' }))
  for (let i = 0; i < 5; i++) t.equal(await guess('ada', '192.0.2.1'), 0)
  t.not(await guess('ada', '192.0.2.1'), 0)
})

test('a wait is never shorter after one more failure, and never longer than five minutes', async (t) => {
  for (const [name, rule] of RULES) {
    fc.assert(
      fc.property(fc.nat(1000), (failures) => {
        const wait = waitAfter(failures, rule)
        return wait <= waitAfter(failures + 1, rule) && wait <= LONGEST_WAIT_MS && wait > 0 === failures >= rule.free
      }),
    )
    t.pass(name)
  }
})

test('failures are forgotten one by one, and all of them in time', async (t) => {
  for (const [name, rule] of RULES) {
    fc.assert(
      fc.property(fc.array(fc.nat(2 * rule.forgetMs), { maxLength: 200 }), (pauses) => {
        let [now, failures] = [1_700_000_000_000, { forgottenAt: 0, openAt: 0 }]
        for (const pause of pauses) {
          now += pause
          const before = countFailures(failures, rule, now)
          failures = addFailure(failures, rule, now)
          const after = countFailures(failures, rule, now)
          if (after !== Math.min(before + 1, rule.most)) return false
          if (countFailures(failures, rule, now + rule.forgetMs) !== after - 1) return false
          if (failures.openAt > failures.forgottenAt) return false
        }
        return countFailures(failures, rule, now + rule.most * rule.forgetMs) === 0
      }),
    )
    t.pass(name)
  }
})

test('however attackers go about it, a network gets few guesses, and a clean one always gets its first', async (t) => {
  const step = fc.record({ network: fc.nat(5), pause: fc.oneof(fc.constant(0), fc.nat(2000), fc.nat(400_000)) })
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 50, maxLength: 300 }), async (steps) => {
      const { clock, guess } = setUp()
      const start = clock.now()
      const made = new Map<number, number>()
      for (const { network, pause } of steps) {
        clock.advance(pause)
        const wait = await guess('ada', `198.51.100.${network}`)
        if (wait > LONGEST_WAIT_MS / 1000) return false
        if (wait > 0 && !made.has(network)) return false
        if (wait === 0) made.set(network, (made.get(network) ?? 0) + 1)
      }
      const { free, forgetMs } = FAILURE_RULES.pair
      // The free ones, eight shorter waits, what was forgotten meanwhile, and one for each longest wait.
      const elapsed = clock.now() - start
      const bound = free + 9 + elapsed / forgetMs + elapsed / LONGEST_WAIT_MS
      if ([...made.values()].some((count) => count > bound)) return false
      clock.advance(LONGEST_WAIT_MS)
      return (await guess('ada', '198.51.100.0')) === 0
    }),
    { numRuns: 50 },
  )
  t.pass()
})
