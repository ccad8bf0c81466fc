import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'tap'
import { missingChartTools } from '../servers/kubeconform.ts'
import { chartsFolder, ciValues, prepareCharts, render } from './charts.ts'
import { valueRows } from './values-table.ts'

const skip = await missingChartTools()
const folderOf = skip ? undefined : await prepareCharts()

/** What a protection hangs on. (That the schema needs every value is checked with what is made from values.yaml.) */
const DECIDES =
  /(^|[.])(enabled|isolation|native|port|ports|namespaces|mode|optOut|failurePolicy|egress|dns|ca|host|keys|from|additional|podSecurityContext)$/

// Helm drops a value that is null, and takes no default in its place.
for (const chart of ['issuer', 'injector', 'sidecar']) {
  test(`${chart}: a value that is left empty is refused, not read as off`, { skip, timeout: 300_000 }, async (t) => {
    const [host, prefix] = chart === 'sidecar' ? ['example', 'sidecar.'] : [chart, '']
    const files = ciValues(host).filter((file) => /(embedded|minimal)-values/.test(file))
    const names = valueRows(readFileSync(join(chartsFolder, chart, 'values.yaml'), 'utf8')).map(({ name }) => name)
    const left = [...names.filter((name) => DECIDES.test(name)), 'networkPolicy']
    if (chart !== 'sidecar') left.push('podSecurityContext.runAsNonRoot')
    t.ok(left.length > 10)
    const accepted: string[] = []
    const work = async () => {
      for (let name = left.pop(); name !== undefined; name = left.pop()) {
        const rendered = render(folderOf!(host), { files, args: ['--set', `${prefix}${name}=null`] })
        if (await rendered.then(Boolean, () => false)) accepted.push(name)
      }
    }
    await Promise.all([work(), work()])
    t.same(accepted, [])
  })
}
