import { test } from 'tap'
import { missingChartTools } from '../servers/kubeconform.ts'
import { prepareCharts, render } from './charts.ts'
import { environmentOf, objectOf, objectsOf } from './objects.ts'
import { FIXTURE, jsonArgs, open, pod, sidecar } from './service-chart.ts'

// Ways around the sidecar that values could open, found by looking for them.

const skip = await missingChartTools()
const folderOf = skip ? undefined : await prepareCharts([FIXTURE])
const renderWith = (values: object) => render(folderOf!('service'), { args: jsonArgs(values) })

const everywhere = { ports: [{ containerPort: 3000 }], env: [{ name: 'HOST', value: '0.0.0.0' }] }
const second = { routes: [{ path: '/x/**', upstream: 'http://127.0.0.1:3001' }] }
const MULTUS = { 'k8s.v1.cni.cncf.io/networks': 'macvlan' }
const LOCALNET = { name: 'net.ipv4.conf.all.route_localnet', value: '1' }
const MOUNT = { name: 'sallyport-feed-token', mountPath: '/x' }

const refused: { name: string; values: object; says: RegExp }[] = [
  {
    name: 'an isolation that is left empty',
    values: { ...pod(everywhere), ...sidecar({ isolation: null, networkPolicy: { enabled: false } }) },
    says: /isolation/,
  },
  ...['native', 'whenStale', 'onRoutesChange'].map((field) => ({
    name: `${field} that is left empty`,
    values: sidecar({ [field]: null }),
    says: new RegExp(field),
  })),
  ...['Loopback', 'none'].map((isolation) => ({
    name: `an isolation ${isolation} of one workload`,
    values: { ...pod(everywhere), override: { isolation, networkPolicy: { enabled: false } } },
    says: /sidecar\.isolation: .* is none of/,
  })),
  {
    name: 'a switch of one workload that is a text',
    values: { override: { ...open, networkPolicy: { enabled: 'false' } } },
    says: /sidecar\.networkPolicy\.enabled: .*true or false/,
  },
  {
    name: 'a port of one workload that is no whole number',
    values: { override: { service: { port: 3000.5 } } },
    says: /sidecar\.service\.port: 3000\.5/,
  },
  ...['UPSTREAM', 'SIDECAR_PORT', 'ISSUER_URL', 'NODE_OPTIONS', 'FEED_TOKEN', 'ROUTES_FILE'].map((name) => ({
    name: `${name} among the settings of one workload`,
    values: { override: { settings: { [name]: 'x' } } },
    says: new RegExp(`sidecar\\.settings\\.${name}: `),
  })),
  {
    name: "the port of a route's service declared",
    values: { ...pod({ ports: [{ containerPort: 3001 }] }), ...sidecar(second) },
    says: /3001 is the service's/,
  },
  {
    name: "the port of a route's service on the node",
    values: { ...pod({ ports: [{ containerPort: 3001, hostPort: 3001 }] }), ...sidecar({ ...open, ...second }) },
    says: /hostPort 3001/,
  },
  {
    name: "a rule for the port of a route's service",
    values: sidecar({ ...open, ...second, networkPolicy: { additional: [{ ports: [{ port: 3001 }] }] } }),
    says: /3001 is the service's/,
  },
  {
    name: "a Service for the port of a route's service",
    values: { ...sidecar(second), servicePorts: [{ port: 80, targetPort: 3001 }] },
    says: /around the sidecar/,
  },
  {
    name: 'a probe of a route’s service, without a port',
    values: {
      ...pod({ livenessProbe: { tcpSocket: { port: 80 } } }),
      ...sidecar({ routes: [{ path: '/x/**', upstream: 'http://localhost/' }] }),
    },
    says: /livenessProbe/,
  },
  {
    name: 'a rule for the port by UDP',
    values: sidecar({ ...open, networkPolicy: { additional: [{ ports: [{ port: 3000, protocol: 'UDP' }] }] } }),
    says: /3000 is the service's/,
  },
  ...[{ port: 8081 }, { port: 8000, endPort: 9000 }].map((port) => ({
    name: `a rule that opens the admin port: ${JSON.stringify(port)}`,
    values: sidecar({ networkPolicy: { additional: [{ ports: [port] }] } }),
    says: /8081 is the admin port.*metricsFrom/,
  })),
  ...[15008, 4143].map((port) => ({
    name: `a rule for the port of a mesh, ${port}`,
    values: sidecar({ ...open, networkPolicy: { additional: [{ ports: [{ port }] }] } }),
    says: /a mesh carries/,
  })),
  {
    name: 'another network, where no NetworkPolicy holds',
    values: { ...sidecar(open), podMetadata: { annotations: MULTUS } },
    says: /annotation k8s\.v1\.cni\.cncf\.io\/networks: /,
  },
  {
    name: 'a kernel that lets others reach 127.0.0.1',
    values: pod({}, { securityContext: { sysctls: [LOCALNET] } }),
    says: /route_localnet/,
  },
  {
    name: 'a container that mounts what is the sidecar’s',
    values: pod({ volumeMounts: [MOUNT] }),
    says: /container orders, volumeMounts: sallyport-feed-token /,
  },
  {
    name: 'a volume with a name of the sidecar’s',
    values: pod({}, { volumes: [{ name: 'sallyport-data', emptyDir: {} }] }),
    says: /volume sallyport-data: /,
  },
  {
    name: 'a claim with a name of the sidecar’s volumes',
    values: { kind: 'StatefulSet', claims: [{ metadata: { name: 'sallyport-routes' } }] },
    says: /volumeClaimTemplates: sallyport-routes /,
  },
  ...['LOCALHOST:3001', '0:3001', '2130706433:03001', '[::FFFF:127.0.0.1]:3001', 'orders:3001'].map((host) => ({
    name: `the port of a route's service at ${host}`,
    values: {
      ...sidecar({ routes: [{ path: '/x/**', upstream: `HTTP://${host}`.replace('HTTP', 'http') }] }),
      servicePorts: [{ port: 80, targetPort: 3001 }],
    },
    says: /around the sidecar/,
  })),
  {
    name: 'a port of one workload that looks octal',
    values: { override: { service: { port: '03000' } } },
    says: /sidecar\.service\.port: 03000 is not a port/,
  },
  ...[
    { ports: [{ port: 9100 }], form: [] },
    { ports: [{ port: 9100, prot: 'TCP' }] },
    { ports: [{ port: 9100 }], from: [{ podSelectorr: {} }] },
  ].map((rule) => ({
    name: `a rule that the API server would read as another: ${JSON.stringify(rule)}`,
    values: sidecar({ networkPolicy: { additional: [rule] } }),
    says: /additional/,
  })),
  {
    name: 'a peer that is nobody',
    values: sidecar({ networkPolicy: { metricsFrom: [{}] } }),
    says: /metricsFrom/,
  },
  {
    name: 'a second document beside the workload',
    values: { afterWorkload: '---\napiVersion: v1\nkind: Service\nmetadata: { name: around }\n' },
    says: /orders\.workload: one document is needed/,
  },
  {
    name: 'a second document beside the Service',
    values: { afterService: '---\napiVersion: v1\nkind: Service\nmetadata: { name: around }\n' },
    says: /orders\.service: one document is needed/,
  },
  {
    name: 'something else as the Service',
    values: { serviceKind: 'Ingress' },
    says: /orders\.service: a Service is needed, this is Ingress/,
  },
  {
    name: 'a Service for the admin port',
    values: { servicePorts: [{ port: 80, targetPort: 8081 }] },
    says: /8081 is the sidecar's admin port/,
  },
]

/** How programs are told to listen on every address. */
const EVERY_ADDRESS = [
  '0.0.0.0',
  'http://0.0.0.0:3000/',
  'http://[::]:3000/',
  'tcp://0.0.0.0:3000',
  '127.0.0.1:3000,0.0.0.0:3000',
  '--bind=0.0.0.0:3000',
  '-Dserver.address=0.0.0.0',
  '-b0.0.0.0',
  "--bind '0.0.0.0:3000'",
  '0.0.0.0:$(PORT)',
  'http://+:3000',
  'http://localhost:3000;http://*:3000',
  ':3000',
  '--listen=:3000',
  '::',
  '::0',
  '[::0]:3000',
  '0:0:0:0:0:0:0:0',
  '$(POD_IP):3000',
]

for (const value of EVERY_ADDRESS) {
  refused.push(
    {
      name: `a variable ${value}`,
      values: pod({ env: [{ name: 'OPTIONS', value }] }),
      says: /container orders, env OPTIONS: /,
    },
    { name: `an argument ${value}`, values: pod({ args: ['serve', value] }), says: /container orders, args: / },
  )
}
for (const value of ['*', '0', '0:3000', '*:3000']) {
  refused.push(
    {
      name: `an address ${value}`,
      values: pod({ env: [{ name: 'LISTEN_ADDR', value }] }),
      says: /container orders, env LISTEN_ADDR: /,
    },
    { name: `--host=${value}`, values: pod({ args: [`--host=${value}`] }), says: /container orders, args: / },
    { name: `--host ${value}`, values: pod({ args: ['--host', value] }), says: /container orders, args: / },
  )
}
refused.push({
  name: "the Pod's own address",
  values: pod({ env: [{ name: 'BIND_ADDRESS', valueFrom: { fieldRef: { fieldPath: 'status.podIP' } } }] }),
  says: /container orders, env BIND_ADDRESS: /,
})

for (const { name, values, says } of refused) {
  test(`refused: ${name}`, { skip }, async (t) => {
    await t.rejects(renderWith(values), { message: says })
  })
}

const harmless: { name: string; value: string }[] = [
  { name: 'CORS_ORIGIN', value: '*' },
  { name: 'ALLOWED_HOSTS', value: '*' },
  { name: 'REDIS_URL', value: 'redis://:6379' },
  { name: 'DATABASE_URL', value: 'postgres://orders@db:5432/orders' },
  { name: 'HANDLER', value: 'MyApp::Server' },
  { name: 'METRICS_LISTEN', value: '0.0.0.0:9100' },
  { name: 'VERSION', value: '10.0.0.0' },
  { name: 'RETRIES', value: '0' },
  { name: 'TIME', value: '12:30' },
  { name: 'HOST', value: '127.0.0.1:3000' },
  { name: 'TRUSTED_PROXIES', value: '0.0.0.0/0' },
  { name: 'NETWORKS', value: '10.0.0.0/8,::/0' },
  { name: 'LISTEN_BACKLOG', value: '0' },
  { name: 'BASE_URL', value: '*' },
  { name: 'OPTIONS', value: '--cors-host=*' },
]

test('what is no address of the service is let through', { skip }, async (t) => {
  const objects = objectsOf(await renderWith(pod({ env: harmless, args: harmless.map(({ value }) => value) })))
  t.ok(objectOf(objects, 'Deployment'))
})

test('what belongs to a workload is where it is', { skip }, async (t) => {
  const monitored = { podMonitor: { enabled: true }, networkPolicy: { metricsFrom: [{ podSelector: {} }] } }
  const values = { metadata: { namespace: 'other' }, ...sidecar({ ...open, ...second, ...monitored }) }
  const objects = objectsOf(await renderWith(values))
  for (const kind of ['Deployment', 'NetworkPolicy', 'ConfigMap', 'PodMonitor']) {
    t.equal(objectOf(objects, kind).metadata.namespace, 'other', kind)
  }
})

test('workloads with long names have labels of their own', { skip }, async (t) => {
  const labelOf = async (name: string) => {
    const objects = objectsOf(await renderWith({ metadata: { name } }))
    const { labels } = objectOf(objects, 'Deployment').spec.template.metadata
    t.same(
      objectOf(objects, 'NetworkPolicy').spec.podSelector.matchLabels['sallyport/sidecar'],
      labels['sallyport/sidecar'],
    )
    return labels['sallyport/sidecar']
  }
  const [a, b] = [await labelOf(`${'a'.repeat(70)}.b`), await labelOf(`${'a'.repeat(70)}.c`)]
  t.match(a, /^[a-z0-9][-a-z0-9.]{0,61}[a-z0-9]$/)
  t.not(a, b)
})

test('a Pod is given the time that the sidecar needs', { skip }, async (t) => {
  const grace = async (seconds: number) => {
    const { spec } = objectOf(
      objectsOf(await renderWith(pod({}, { terminationGracePeriodSeconds: seconds }))),
      'Deployment',
    )
    return spec.template.spec.terminationGracePeriodSeconds
  }
  t.equal(await grace(1), 45)
  t.equal(await grace(300), 300)
})

test('a setting of one workload is among those that there are', { skip }, async (t) => {
  const { spec } = objectOf(
    objectsOf(await renderWith({ override: { settings: { MAX_STALENESS: '30s' } } })),
    'Deployment',
  )
  t.match(environmentOf(spec.template.spec.initContainers[0]), { MAX_STALENESS: '30s' })
})
