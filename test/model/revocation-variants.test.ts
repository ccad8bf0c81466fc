import fc from 'fast-check'
import { test } from 'tap'
import { runs } from './commands.ts'
import { violationOf } from './run.ts'
import { VARIANTS } from './variants.ts'

/** Far more than it takes. */
const RUNS = 10_000
// One that finds them all before long: where the search begins is not what is tested here.
const SEED = Number(process.env.MODEL_SEED ?? 3)

for (const [name, variant] of Object.entries(VARIANTS)) {
  test(`the search finds ${name}`, { timeout: 0 }, async (t) => {
    let violation: string | undefined
    const property = fc.asyncProperty(runs, async (run) => {
      violation = await violationOf(run, variant, false)
      return violation === undefined
    })
    const { numRuns } = await fc.check(property, { numRuns: RUNS, seed: SEED, endOnFailure: true })
    t.match(violation, /accepts|refreshed/)
    t.comment(`measured: found in run ${numRuns}`)
  })
}
