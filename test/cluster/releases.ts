import { basename, join } from 'node:path'
import { after, type Test, test } from 'tap'
import { chartNames, ciValues, type Helm, prepareCharts } from '../charts/charts.ts'
import { eventually } from '../helpers/eventually.ts'
import { missingCluster } from '../servers/cluster-programs.ts'
import { everything, type Setup, settled, valuesFile, WAIT } from './release.ts'
import { certificates, failedMigration, helmTest, keptTopic, TOPIC } from './release-stories.ts'
import { openCluster, type TestCluster } from './test-cluster.ts'

// The life of a release: installed, upgraded, rolled back, uninstalled. The same with each generation of Helm.

interface Release {
  chart: string
  /** Of the chart's own values for tests, the name. */
  values: string
  deployment: string
  /** What the upgrade changes, and where that has to arrive. */
  set: string[]
  arrives: { object: string; path: string; before: RegExp; after: RegExp }
  /** Whether Pods are to be replaced for it. */
  restarts: boolean
  /** What stays in its namespace when it is gone, by purpose. */
  kept: string[]
  /** The same in the namespace of Strimzi. */
  topics?: string[]
}

const template = { object: 'configmap/sallyport-injector', path: '{.data.template\\.yaml}' }
const staleness = { set: ['--set', 'sidecar.settings.MAX_STALENESS=20s'] }
const lifetime = {
  set: ['--set', 'settings.ACCESS_TOKEN_TTL=4m'],
  arrives: { object: 'configmap/sallyport-issuer', path: '{.data.ACCESS_TOKEN_TTL}', before: /^(5m)?$/, after: /^4m$/ },
}
const routesOf = (name: string) => ({
  set: ['--set-json', 'sidecar.routes=[{"path":"/new","access":"public"}]'],
  arrives: {
    object: `configmap/${name}-sallyport`,
    path: '{.data.routes\\.yaml}',
    before: /path: \/health/,
    after: /path: \/new/,
  },
})
const injector = { arrives: { ...template, before: /^(?![\s\S]*MAX_STALENESS)/, after: /MAX_STALENESS[\s\S]*20s/ } }
const usual = { restarts: true, kept: [] }

const RELEASES: Release[] = [
  {
    ...usual,
    ...lifetime,
    chart: 'issuer',
    values: 'trial',
    deployment: 'sallyport-issuer',
    // What the stores hold, and the passwords without which it could not be read.
    kept: [
      ...['kafka', 'mongodb', 'redis'].map((store) => `persistentvolumeclaim/data-sallyport-issuer-${store}-0`),
      'secret/sallyport-issuer-stores',
    ],
  },
  {
    ...usual,
    ...lifetime,
    chart: 'issuer',
    values: 'embedded',
    deployment: 'sallyport-issuer',
    // Users and keys are on it.
    kept: ['persistentvolumeclaim/sallyport-issuer'],
  },
  {
    ...usual,
    ...lifetime,
    chart: 'issuer',
    values: 'production',
    deployment: 'sallyport-issuer',
    // Strimzi would remove the topic with it.
    topics: [TOPIC],
  },
  { ...usual, ...lifetime, chart: 'issuer', values: 'autoscaling', deployment: 'sallyport-issuer' },
  { ...usual, ...routesOf('sallyport-example'), chart: 'example', values: 'minimal', deployment: 'sallyport-example' },
  {
    ...usual,
    ...routesOf('sallyport-example'),
    chart: 'example',
    values: 'networkpolicy',
    deployment: 'sallyport-example',
    // onRoutesChange: reload.
    restarts: false,
  },
  {
    ...usual,
    ...staleness,
    chart: 'example',
    values: 'loopback-admin',
    deployment: 'sallyport-example',
    arrives: {
      object: 'deployment/sallyport-example',
      path: '{.spec.template.spec.initContainers[*].env[?(@.name=="MAX_STALENESS")].value}',
      before: /^$/,
      after: /^20s$/,
    },
  },
  ...['minimal', 'cert-manager', 'issuer-ref'].map((values) => ({
    ...usual,
    ...staleness,
    ...injector,
    chart: 'injector',
    values,
    deployment: 'sallyport-injector',
  })),
  {
    ...usual,
    ...staleness,
    chart: 'injector',
    values: 'existing-certificate',
    deployment: 'sidecar-injector',
    arrives: { ...injector.arrives, object: 'configmap/sidecar-injector' },
  },
  { ...usual, ...routesOf('orders'), chart: 'service', values: 'fixtures', deployment: 'orders' },
]

/** Declares the tests of all releases with a generation of Helm. */
export async function testReleases(generation: Helm): Promise<void> {
  const skip = await missingCluster()
  const folderOf = skip ? undefined : await prepareCharts([join(import.meta.dirname, '../charts/fixtures/service')])
  const cluster = skip ? undefined : await openCluster()
  after(() => cluster?.stop())
  await cluster?.apply([
    { apiVersion: 'scheduling.k8s.io/v1', kind: 'PriorityClass', metadata: { name: 'high' }, value: 1000 },
    ...Array.from({ length: 8 }, (_, index) => volume(`volume-${index}`)),
  ])
  for (const name of ['kafka', 'shop', 'billing']) await cluster?.namespace(name)

  test('there is a release for each of the values files', async (t) => {
    const files = chartNames.flatMap((chart) => ciValues(chart).map((file) => `${chart}/ci/${basename(file)}`))
    const own = RELEASES.filter(({ chart }) => chart !== 'service')
    t.same(own.map(({ chart, values }) => `${chart}/ci/${values}-values.yaml`).sort(), files.sort())
  })

  for (const release of RELEASES) {
    test(`${release.chart} ${release.values}: from its installation to its end`, { skip }, (t) =>
      live(t, { cluster: cluster!, generation, folder: folderOf!(release.chart) }, release),
    )
  }

  test('a migration that fails stops the upgrade, and what runs goes on', { skip }, (t) =>
    failedMigration(t, { cluster: cluster!, generation, folder: folderOf!('issuer') }),
  )

  test('a topic that was kept is taken over by the next release of that name', { skip }, (t) =>
    keptTopic(t, { cluster: cluster!, generation, folder: folderOf!('issuer') }),
  )

  test('helm test: its Pod is admitted and run, and its end is told', { skip }, (t) =>
    helmTest(t, { cluster: cluster!, generation, folder: folderOf!('example') }),
  )

  test(
    'the generated certificate outlives upgrades, is renewed when it is due, and goes with its authority',
    { skip },
    (t) => certificates(t, { cluster: cluster!, generation, folder: folderOf!('injector') }),
  )
}

function volume(name: string): object {
  const spec = { capacity: { storage: '20Gi' }, accessModes: ['ReadWriteOnce'], hostPath: { path: `/none/${name}` } }
  return { apiVersion: 'v1', kind: 'PersistentVolume', metadata: { name }, spec }
}

async function live(t: Test, { cluster, generation, folder }: Setup, release: Release): Promise<void> {
  const { chart, values, deployment, arrives, kept, topics = [] } = release
  const namespace = await cluster.namespace(`${chart}-${values}`)
  if (values === 'existing-certificate') {
    await cluster.ask(['create', 'serviceaccount', 'webhooks', '-n', namespace])
  }
  // The one in the repository is an example that no API server would take for a certificate.
  const authority =
    values === 'existing-certificate' ? ['--set-file', `tls.existing.caBundle=${cluster.authority.caFile}`] : []
  const given = ['-n', namespace, '-f', valuesFile(chart, values), ...authority]
  const before = { own: await everything(cluster, namespace), kafka: await everything(cluster, 'kafka') }
  const arrived = async () =>
    (await cluster.ask(['get', arrives.object, '-n', namespace, '-o', `jsonpath=${arrives.path}`])).trim()
  const took: string[] = []
  const timed = async (what: string, args: string[]) => {
    const start = performance.now()
    await cluster.helm(generation, args)
    took.push(`${what} ${((performance.now() - start) / 1000).toFixed(1)} s`)
  }

  await timed('install', ['install', 'sallyport', folder, ...given, ...WAIT])
  const first = await settled(cluster, namespace, deployment)
  t.match(await arrived(), arrives.before)
  await rightsOf(t, cluster, namespace, chart)

  await timed('upgrade', ['upgrade', 'sallyport', folder, ...given, ...release.set, ...WAIT])
  t.match(await arrived(), arrives.after)
  const second = await settled(cluster, namespace, deployment)
  t.equal(second !== first, release.restarts, release.restarts ? 'new Pods' : 'the same Pods')

  await timed('rollback', ['rollback', 'sallyport', '1', '-n', namespace, ...WAIT])
  t.match(await arrived(), arrives.before)
  t.equal(await settled(cluster, namespace, deployment), first, 'Pods as they were')
  const history = JSON.parse(await cluster.helm(generation, ['history', 'sallyport', '-n', namespace, '-o', 'json']))
  t.same(
    history.map(({ status }: { status: string }) => status),
    ['superseded', 'superseded', 'deployed'],
  )

  await timed('uninstall', ['uninstall', 'sallyport', '-n', namespace, ...WAIT])
  const expected = [...before.own, ...kept].sort()
  await eventually(async () => String(await everything(cluster, namespace)) === String(expected), {
    within: 60_000,
    every: 500,
    message: `only ${kept.join() || 'nothing'} is left`,
  }).catch(async () => t.same(await everything(cluster, namespace), expected))
  t.same(await everything(cluster, 'kafka'), [...before.kafka, ...topics].sort())
  // Another release may not have it.
  for (const topic of topics) await cluster.ask(['delete', topic, '-n', 'kafka'])
  t.comment(`measured: ${chart} ${values}: ${took.join(', ')}`)
}

/** No chart gives its service account a right, and no Pod of Sallyport's own has its token. */
async function rightsOf(t: Test, cluster: TestCluster, namespace: string, chart: string): Promise<void> {
  const pods = await cluster.list('pods', namespace)
  const rights = (account: string) =>
    cluster.ask(['auth', 'can-i', '--list', '-n', namespace, `--as=system:serviceaccount:${namespace}:${account}`])
  const none = await rights('nobody-gave-it-anything')
  for (const account of new Set(pods.map(({ spec }) => spec.serviceAccountName as string))) {
    t.equal(await rights(account), none, `${account}: what every account may, and no more`)
  }
  for (const { metadata, spec } of pods) {
    const tokens = spec.volumes.filter(({ name }: { name: string }) => name.startsWith('kube-api-access'))
    if (chart !== 'service') t.same(tokens, [], `${metadata.name}: no token`)
  }
}
