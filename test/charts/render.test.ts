import { readFileSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { test } from 'tap'
import { parse } from 'yaml'
import { temporaryFolder } from '../helpers/temporary-folder.ts'
import { checkObjects, missingChartTools } from '../servers/kubeconform.ts'
import { applications, chartNames, chartsFolder, ciValues, NEWEST, OLDEST, prepareCharts, render } from './charts.ts'
import { type KubernetesObject, objectsOf } from './objects.ts'

const skip = await missingChartTools()
const folderOf = skip ? undefined : await prepareCharts()

/** Kinds of others, whose schemas are not among Kubernetes' own. */
const FOREIGN = [
  'ServiceMonitor',
  'PodMonitor',
  'PrometheusRule',
  'ExternalSecret',
  'KafkaTopic',
  'Certificate',
  'Issuer',
]

for (const chart of chartNames) {
  test(`${chart}: begins with the oldest version of Kubernetes that is tested`, async (t) => {
    const { kubeVersion } = parse(readFileSync(join(chartsFolder, chart, 'Chart.yaml'), 'utf8'))
    t.equal(kubeVersion, `>=${OLDEST}-0`)
  })
}

for (const chart of applications) {
  test(`${chart}: there are values to test it with`, async (t) => {
    t.ok(ciValues(chart).length > 0)
  })

  for (const file of ciValues(chart)) {
    for (const version of [OLDEST, NEWEST]) {
      test(`${chart}: ${basename(file)} on Kubernetes ${version}`, { skip }, async (t) => {
        const folder = temporaryFolder(t)
        const rendered: KubernetesObject[][] = []
        for (const generation of ['helm3', 'helm4'] as const) {
          const output = join(folder, `${generation}.yaml`)
          const text = await render(folderOf!(chart), { helm: generation, files: [file], kubeVersion: version })
          writeFileSync(output, text)
          await checkObjects(output, version, FOREIGN)
          rendered.push(objectsOf(text))
        }
        t.ok(rendered[0]!.length > 0)
        t.same(new Set(rendered[0]!.map(nameOf)).size, rendered[0]!.length, 'no object is there twice')
        t.same(rendered[0]!.map(nameOf).sort(), rendered[1]!.map(nameOf).sort(), 'both generations render the same')
      })
    }
  }
}

const nameOf = ({ kind, metadata }: KubernetesObject) => `${kind} ${metadata.namespace ?? ''} ${metadata.name}`

test('what Kubernetes does not know is refused', { skip }, async (t) => {
  const file = join(temporaryFolder(t), 'wrong.yaml')
  const wrong = { apiVersion: 'v1', kind: 'Service', metadata: { name: 'x' }, spec: { sellector: {} } }
  writeFileSync(file, JSON.stringify(wrong))
  await t.rejects(checkObjects(file, NEWEST, FOREIGN), /sellector/)
  writeFileSync(file, JSON.stringify({ ...wrong, kind: 'Servise' }))
  await t.rejects(checkObjects(file, OLDEST, FOREIGN), /Servise/)
})
