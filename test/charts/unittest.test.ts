import { globSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'tap'
import { run } from '../servers/command.ts'
import { findChartTools } from '../servers/helm.ts'
import { missingChartTools } from '../servers/kubeconform.ts'
import { chartNames, chartsFolder, prepareCharts } from './charts.ts'

// The suites in the charts, written for whoever works on a chart with `helm unittest`.

const skip = await missingChartTools()
const folderOf = skip ? undefined : await prepareCharts()

for (const chart of chartNames) {
  const suites = globSync('tests/*_test.yaml', { cwd: join(chartsFolder, chart) })
  // A library renders nothing: what it does is in the suites of those that use it.
  if (chart === 'sidecar') continue

  test(`${chart}: helm unittest`, { skip }, async (t) => {
    t.ok(suites.length > 0, 'there are suites')
    const tools = await findChartTools()
    const said = await run(tools['helm-unittest'], ['--file', 'tests/*_test.yaml', folderOf!(chart)], {
      timeout: 300_000,
    })
    t.match(said, new RegExp(`Test Suites: +${suites.length} passed, ${suites.length} total`))
    t.notMatch(said, /failed|errored/)
  })
}
