import { readFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { after, test } from 'tap'
import { parse } from 'yaml'
import { chartNames, chartsFolder, ciValues, prepareCharts } from '../charts/charts.ts'
import { type KubernetesObject, objectsOf } from '../charts/objects.ts'
import { missingCluster } from '../servers/cluster-programs.ts'
import { dropped } from './kept.ts'
import { openCluster } from './test-cluster.ts'

// What a real API server says of every object of every chart: nothing unknown, nothing deprecated, nothing that a
// namespace for restricted Pods refuses, and nothing that it leaves out or makes less strict.

const skip = await missingCluster()
const folderOf = skip ? undefined : await prepareCharts([join(import.meta.dirname, '../charts/fixtures/service')])
const cluster = skip ? undefined : await openCluster()
after(() => cluster?.stop())

const NAMESPACES = ['auth', 'kafka', 'shop', 'billing', 'pods']
const STRICT = ['--dry-run=server', '--validate=strict', '--warnings-as-errors']

if (cluster) for (const name of NAMESPACES) await cluster.namespace(name)
// Both are the user's own: an authority's certificate, and a class of Pods.
const CA = ['--set-file', `tls.existing.caBundle=${cluster?.authority.caFile}`]
await cluster?.apply([
  { apiVersion: 'scheduling.k8s.io/v1', kind: 'PriorityClass', metadata: { name: 'high' }, value: 1000 },
  ...['webhooks', 'sallyport-injector', 'sallyport-issuer'].map((name) => ({
    apiVersion: 'v1',
    kind: 'ServiceAccount',
    metadata: { name, namespace: 'pods' },
  })),
])

const applications = chartNames.filter(
  (chart) => parse(readFileSync(join(chartsFolder, chart, 'Chart.yaml'), 'utf8')).type !== 'library',
)
const cases = [
  ...applications.flatMap((chart) => ciValues(chart).map((file) => ({ chart, file }))),
  { chart: 'service', file: join(import.meta.dirname, 'fixtures/service-values.yaml') },
]

/** As Helm would install it here: it asks this API server for its version, its kinds and what there is. */
async function rendered(generation: 'helm3' | 'helm4', chart: string, file: string): Promise<KubernetesObject[]> {
  const values = ['-f', file, ...(file.includes('existing-certificate') ? CA : [])]
  const asks = generation === 'helm3' ? '--validate' : '--dry-run=server'
  const release = ['sallyport', folderOf!(chart), '--namespace', 'auth', asks]
  const objects = objectsOf(await cluster!.helm(generation, ['template', ...release, ...values]))
  return objects.map((object) => (isClusters(object) ? object : inNamespace(object)))
}

const isClusters = ({ kind }: KubernetesObject) => /^(Mutating|Validating)/.test(kind)
const inNamespace = (object: KubernetesObject): KubernetesObject => ({
  ...object,
  metadata: { namespace: 'auth', ...object.metadata },
})

const nameOf = ({ kind, metadata }: KubernetesObject) => `${kind} ${metadata.namespace ?? ''} ${metadata.name}`

for (const { chart, file } of cases) {
  for (const generation of ['helm3', 'helm4'] as const) {
    test(`${chart} ${basename(file)}, ${generation}: accepted as it is`, { skip }, async (t) => {
      const objects = await rendered(generation, chart, file)
      t.ok(objects.length > 0)
      const told = await cluster!.ask(['apply', '-f', '-', '-o', 'json', ...STRICT], objects)
      const answer = JSON.parse(told)
      const found: KubernetesObject[] = answer.items ?? [answer]
      t.equal(found.length, objects.length)
      for (const [index, object] of objects.entries()) {
        t.equal(found[index]!.kind, object.kind)
        t.same(dropped(object, found[index]), [], nameOf(object))
        // No rule, no peer and no port more or less.
        if (object.kind === 'NetworkPolicy') t.same(dropped(found[index]!.spec, object.spec), [], nameOf(object))
      }
      t.same(
        objects.filter(({ apiVersion }) => apiVersion.startsWith('rbac.')),
        [],
        'no chart gives anybody a right',
      )
    })
  }

  test(`${chart} ${basename(file)}: its Pods are admitted among restricted ones`, { skip }, async (t) => {
    // What a controller makes of them, by somebody who may.
    const pods = (await rendered('helm3', chart, file)).flatMap((object) => {
      const template = object.kind === 'Pod' ? object : object.spec?.template
      if (template?.spec?.containers === undefined) return []
      const { labels, annotations } = template.metadata
      const claims: KubernetesObject[] = object.spec.volumeClaimTemplates ?? []
      const volumes = claims.map(({ metadata: { name } }) => ({ name, persistentVolumeClaim: { claimName: name } }))
      const spec = { ...template.spec, volumes: [...(template.spec.volumes ?? []), ...volumes] }
      return [{ apiVersion: 'v1', kind: 'Pod', metadata: { name: 'a-pod', labels, annotations }, spec }]
    })
    t.ok(pods.length > 0)
    for (const pod of pods) {
      const { spec } = JSON.parse(
        await cluster!.ask(['create', '-n', 'pods', '-f', '-', '-o', 'json', ...STRICT], [pod]),
      )
      const mounts = [...spec.containers, ...(spec.initContainers ?? [])].flatMap(
        (container) => container.volumeMounts ?? [],
      )
      const token = mounts.find(({ name }: { name: string }) => name.startsWith('kube-api-access'))
      if (chart !== 'service') t.equal(token, undefined, 'no token of a service account')
    }
  })
}

test('what is wrong is refused, by the same command', { skip }, async (t) => {
  const service = (spec: object) => ({ apiVersion: 'v1', kind: 'Service', metadata: { name: 'x' }, spec })
  const deployment = (securityContext: object) => ({
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name: 'x' },
    spec: {
      selector: { matchLabels: { app: 'x' } },
      template: {
        metadata: { labels: { app: 'x' } },
        spec: { containers: [{ name: 'x', image: 'x', securityContext }] },
      },
    },
  })
  const rows: [what: string, object: object, says: RegExp][] = [
    ['an unknown field', service({ sellector: {}, ports: [{ port: 80 }] }), /unknown field "(spec\.)?sellector"/],
    ['a Pod that may become another user', deployment({}), /would violate PodSecurity "restricted:latest"/],
    [
      'a deprecated API',
      { apiVersion: 'v1', kind: 'Endpoints', metadata: { name: 'x' }, subsets: [] },
      /v1 Endpoints is deprecated/,
    ],
    [
      'a value that its own kind does not allow',
      {
        apiVersion: 'monitoring.coreos.com/v1',
        kind: 'ServiceMonitor',
        metadata: { name: 'x' },
        spec: { selector: {}, endpoints: [{ port: 'http', scheme: 'gopher' }] },
      },
      /spec\.endpoints\[0\]\.scheme: Unsupported value: "gopher"/,
    ],
  ]
  for (const [what, object, says] of rows) {
    const { code, stderr } = await cluster!.attempt(['apply', '-n', 'auth', '-f', '-', ...STRICT], [object])
    t.not(code, 0, what)
    t.match(stderr, says, what)
  }
})
