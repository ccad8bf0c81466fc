import fc from 'fast-check'
import { test } from 'tap'
import { runs } from './commands.ts'
import { violationOf } from './run.ts'
import { TRACES } from './traces.ts'
import { VARIANTS } from './variants.ts'

/** `MODEL_RUNS` asks for a long search, `MODEL_SEED` for the same one again. */
const RUNS = Number(process.env.MODEL_RUNS ?? 2000)
const SEED = Number(process.env.MODEL_SEED ?? Math.floor(Math.random() * 2 ** 31))
/** A slow or busy machine searches less rather than longer than this: milliseconds of its time, and by the clock. */
const BUDGET =
  process.env.MODEL_RUNS === undefined ? { cpuMs: 25_000, wallMs: 90_000 } : { cpuMs: Infinity, wallMs: Infinity }
const LEAST_RUNS = 200

test('no run of issuers, broker and sidecars breaks the promise of a logout', { timeout: 0 }, async (t) => {
  const began = { at: Date.now(), cpu: process.cpuUsage() }
  const cpuMs = () => process.cpuUsage(began.cpu).user / 1000
  let done = 0
  const property = fc.asyncProperty(runs, async (run) => {
    const isOver = cpuMs() > BUDGET.cpuMs || Date.now() - began.at > BUDGET.wallMs
    if (isOver && done >= LEAST_RUNS) return
    done++
    const violation = await violationOf(run)
    if (violation) throw new Error(`${violation}\nto be kept in traces.ts: ${JSON.stringify(run)}`)
  })
  const result = await fc.check(property, { numRuns: RUNS, seed: SEED })
  t.notOk(result.failed, fc.defaultReportMessage(result) ?? 'none of them')
  t.comment(`measured: ${done} runs in ${(cpuMs() / 1000).toFixed(1)} s of CPU, seed ${SEED}`)
})

for (const { name, variant, run } of TRACES) {
  test(`the trace of ${name}`, async (t) => {
    if (variant)
      t.match(await violationOf(run, VARIANTS[variant]), /accepts|refreshed/, 'that variant breaks the promise')
    t.equal(await violationOf(run), undefined, 'and the code keeps it')
  })
}
