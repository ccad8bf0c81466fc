import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'tap'
import { parse } from 'yaml'
import { type Helm, helm, NEWEST, OLDEST, prepareCharts } from '../charts/charts.ts'
import { type KubernetesObject, objectOf, objectsOf } from '../charts/objects.ts'
import { temporaryFolder } from '../helpers/temporary-folder.ts'
import { checkObjects, missingChartTools } from '../servers/kubeconform.ts'
import { type Release, releaseOf } from './helm-commands.ts'
import { BLOCKS, COMMANDS, layOut } from './kubernetes.ts'

const RELEASES = COMMANDS.map(releaseOf).filter((release) => release !== undefined)
const FOREIGN = ['ServiceMonitor', 'PodMonitor', 'PrometheusRule', 'Certificate', 'Issuer']

const skip = await missingChartTools()
const chartOf = skip ? undefined : await prepareCharts()

async function renderRelease(
  folder: string,
  { name, chart, namespace, values }: Release,
  generation: Helm,
  version: string,
) {
  const path = chart.startsWith('charts/') ? chartOf!(chart.slice('charts/'.length)) : join(folder, chart)
  const given = values.map((value, i) => (values[i - 1] === '-f' ? join(folder, value) : value))
  return helm(generation, ['template', name, path, '-n', namespace, '--kube-version', version, ...given])
}

test('every chart of the page renders with its values to what Kubernetes takes', { skip }, async (t) => {
  const folder = temporaryFolder(t)
  await layOut(folder, chartOf!)
  t.ok(RELEASES.length >= 8)
  for (const [index, release] of RELEASES.entries()) {
    // Each of the four with some.
    const generation = index % 2 === 0 ? 'helm3' : 'helm4'
    const version = index % 4 < 2 ? NEWEST : OLDEST
    const output = join(folder, `${index}.yaml`)
    writeFileSync(output, await renderRelease(folder, release, generation, version))
    await checkObjects(output, version, FOREIGN)
    const text = readFileSync(output, 'utf8')
    t.ok(objectsOf(text).length > 3, `${release.name}, ${release.values.join(' ')}`)
    if (release.values.some((value) => value.startsWith('openshift'))) t.notMatch(text, /runAsUser|runAsGroup|fsGroup:/)
  }
})

test('every file of values is used by a command', async (t) => {
  const used = RELEASES.flatMap(({ values }) => values)
  const files = BLOCKS.flatMap(({ file }) => (file?.endsWith('-values.yaml') ? [file] : []))
  t.ok(files.length >= 4)
  for (const file of files) t.ok(used.includes(file), file)
})

test('what the commands name is there', { skip }, async (t) => {
  const folder = temporaryFolder(t)
  await layOut(folder, chartOf!)
  const objects = new Map<string, KubernetesObject[]>()
  for (const namespace of new Set(RELEASES.map((release) => release.namespace))) {
    // As it is installed the first time.
    const release = RELEASES.find((one) => one.namespace === namespace)!
    objects.set(namespace, objectsOf(await renderRelease(folder, release, 'helm3', NEWEST)))
  }
  const isThere = (namespace: string, kind: string, name: string) =>
    (objects.get(namespace) ?? []).some((object) => object.kind === kind && object.metadata.name === name)
  const kinds: Record<string, string> = { deploy: 'Deployment', svc: 'Service' }
  let named = 0
  for (const { words } of COMMANDS.filter(({ words: [program] }) => program === 'kubectl')) {
    const namespace = words[words.indexOf('-n') + 1]!
    for (const word of words) {
      const [, kind, name] = /^(deploy|svc)\/(.+)$/.exec(word) ?? []
      if (kind && name && ++named) t.ok(isThere(namespace, kinds[kind]!, name), `${namespace}: ${word}`)
    }
  }
  t.ok(named >= 2)

  const orders = objectOf(objects.get('shop')!, 'Deployment')
  t.match(orders.spec.template.metadata.labels, { app: 'orders', 'sallyport/sidecar': 'orders' })
  t.equal(orders.spec.template.spec.initContainers[0].name, 'sallyport')
  t.equal(objectOf(objects.get('shop')!, 'Service').spec.ports[0].targetPort, 8080)
  // The addresses by which sidecars find the issuer.
  const feed = (objects.get('auth') ?? []).find(({ metadata }) => metadata.name === 'sallyport-issuer-feed')
  t.equal(feed?.spec.ports[0].port, 4000)
  for (const file of ['orders/values.yaml', 'injector-values.yaml']) {
    const { sidecar } = parse(readFileSync(join(folder, file), 'utf8'))
    t.equal(sidecar.issuer.internalUrl, 'http://sallyport-issuer-feed.auth.svc:4000', file)
    t.equal(sidecar.issuer.url, 'https://login.example.com', file)
  }
})

test('the Secrets have what the charts read', async (t) => {
  const { secrets } = parse(readFileSync(join(import.meta.dirname, '../../charts/issuer/values.yaml'), 'utf8'))
  const keys = COMMANDS.flatMap(({ words }) => words.flatMap((word) => word.match(/(?<=^--from-file=)\w+/) ?? []))
  t.same([...new Set(keys)].sort(), ['FEED_TOKEN', 'MASTER_KEY', 'MONGO_URL', 'REDIS_URL'])
  for (const key of keys) t.ok(Object.values(secrets.keys).includes(key), key)
  for (const { file, text } of BLOCKS.filter((block) => block.file?.endsWith('values.yaml'))) {
    const values = parse(text)
    const names = [values.secrets?.existingSecret, values.sidecar?.feedToken?.secret].filter(Boolean)
    for (const name of names) {
      t.ok(
        COMMANDS.some(({ words }) => words.join(' ').includes(`create secret generic ${name} `)),
        `${file}: ${name} is created`,
      )
    }
  }
})

test('the library chart is packed under the name that is pushed', { skip }, async (t) => {
  const folder = temporaryFolder(t)
  const [, , packed] = COMMANDS.find(({ words }) => words[1] === 'package')!.words
  t.equal(packed, 'charts/sidecar')
  await helm('helm3', ['package', chartOf!('sidecar'), '-d', folder])
  const [, , pushed] = COMMANDS.find(({ words }) => words[1] === 'push' && words[0] === 'helm')!.words
  t.ok(existsSync(join(folder, pushed!)), String(pushed))
})

test('what is to be taken back was installed before', async (t) => {
  const rollback = COMMANDS.find(({ words }) => words.includes('rollback'))!.words
  t.ok(RELEASES.some(({ namespace, name }) => namespace === rollback[2] && name === rollback[4]))
})
