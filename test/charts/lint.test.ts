import { basename } from 'node:path'
import { test } from 'tap'
import { missingChartTools } from '../servers/kubeconform.ts'
import { applications, chartNames, ciValues, helm, NEWEST, prepareCharts } from './charts.ts'

const skip = await missingChartTools()
const folderOf = skip ? undefined : await prepareCharts()

for (const chart of chartNames) {
  for (const generation of ['helm3', 'helm4'] as const) {
    for (const file of applications.includes(chart) ? ciValues(chart) : [undefined]) {
      test(`${chart}: ${generation} lint ${file ? basename(file) : ''}`, { skip }, async (t) => {
        const values = file ? ['-f', file] : []
        const said = await helm(generation, ['lint', '--strict', '--kube-version', NEWEST, ...values, folderOf!(chart)])
        t.match(said, /1 chart\(s\) linted, 0 chart\(s\) failed/)
        t.notMatch(said, /\[(WARNING|ERROR)\]/)
      })
    }
  }
}
