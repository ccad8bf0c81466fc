import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { summarize } from './cpu-profile.ts'
import { describeMachine, pin } from './machine.ts'
import { withBench } from './processes.ts'
import { say, table } from './report.ts'
import { measure } from './sidecar/measure.ts'
import { startSidecarsAlone } from './sidecar/parties.ts'
import { SIDECAR_PARTS } from './sidecar/parts.ts'

// Where the time of a request goes in the sidecar, from CPU profiles under load: with tokens found verified, and with
// each signature checked anew.
// npm run bench:profile [-- --seconds 8]

const { values: options } = parseArgs({ options: { seconds: { type: 'string', default: '8' } } })
/** Few: what they cost the first time is no part of a warm request. */
const SIZES = { revoked: 10_000, tokens: 200, manyTokens: 1 }
const PROFILED = ['sidecar, ES256', 'sidecar, ES256, no cache']
/** By then a sidecar has started, and nobody has asked it anything: seconds. */
const STARTED_AFTER_S = 1

await withBench(async (bench) => {
  say(`machine: ${describeMachine()}`)
  const folder = bench.folder()
  const nodeArgs = ['--cpu-prof', `--cpu-prof-dir=${folder}`]
  const { targets, upstream } = await startSidecarsAlone(bench, SIZES, nodeArgs)
  const loadCore = pin(process.pid, 0) && pin(upstream.pid, 0) ? 0 : undefined
  const seconds = Number(options.seconds)
  for (const target of targets.filter(({ name }) => PROFILED.includes(name))) {
    if (loadCore !== undefined) pin(target.pid, 1)
    const { cpuUs, othersCores } = await measure({ bench, upstream, loadCore, seconds }, target)
    await target.end?.()
    const file = readdirSync(folder).find((name) => name.includes(`.${target.pid}.`))!
    const rows = summarize(join(folder, file), SIDECAR_PARTS, STARTED_AFTER_S).map(({ part, share }) => [
      part,
      `${(share * 100).toFixed(1)} %`,
      (share * cpuUs).toFixed(1),
    ])
    say(`\n${table([[target.name, 'share', 'µs a request'], ...rows])}`)
    say(`${cpuUs.toFixed(1)} µs of CPU a request under the profiler; others used ${othersCores.toFixed(2)} cores`)
  }
})
