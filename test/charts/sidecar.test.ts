import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'tap'
import { stringify } from 'yaml'
import { checkSettings } from '../../bin/known-settings.ts'
import { checkRoutesFile } from '../../sidecar/check-routes.ts'
import { temporaryFolder } from '../helpers/temporary-folder.ts'
import { missingChartTools } from '../servers/kubeconform.ts'
import { ciValues, prepareCharts, render } from './charts.ts'
import { environmentOf, objectOf, objectsOf } from './objects.ts'
import { withFiles } from './secret-files.ts'
import { FIXTURE, jsonArgs, open, pod, sidecar } from './service-chart.ts'

// The library through a team's chart: its Pod and its Service are what each row says.

const skip = await missingChartTools()
const folderOf = skip ? undefined : await prepareCharts([FIXTURE])
const renderWith = (values: object, kubeVersion?: string) =>
  render(folderOf!('service'), { args: jsonArgs(values), kubeVersion })

const AROUND = /reachable around the sidecar|lead around the sidecar/

const refused: { name: string; values: object; says: RegExp; kubeVersion?: string }[] = [
  {
    name: 'a Pod in the network of its node',
    values: pod({}, { hostNetwork: true }),
    says: /hostNetwork: .*around the sidecar/,
  },
  {
    name: 'the port of the service declared, as if it were on every address',
    values: pod({ ports: [{ containerPort: 3000 }] }),
    says: /container orders, ports: 3000 is the service's/,
  },
  {
    name: 'the port of the service on the node',
    values: { ...pod({ ports: [{ containerPort: 3000, hostPort: 3000 }] }), ...sidecar(open) },
    says: /container orders, ports: hostPort 3000 .*around the sidecar/,
  },
  {
    name: 'a probe by the kubelet, which can only reach a service that others reach as well',
    values: pod({ readinessProbe: { httpGet: { path: '/', port: 3000 } } }),
    says: /container orders, readinessProbe: .*use exec/,
  },
  {
    name: 'a service that is told to listen on every address by a variable',
    values: pod({ env: [{ name: 'HOST', value: '0.0.0.0' }] }),
    says: /container orders, env HOST: 0\.0\.0\.0 .*around the sidecar/,
  },
  {
    name: '… with its port',
    values: pod({ env: [{ name: 'LISTEN', value: ':3000' }] }),
    says: /container orders, env LISTEN: :3000/,
  },
  {
    name: '… by an argument',
    values: pod({ args: ['serve', '--bind=0.0.0.0:3000'] }),
    says: /container orders, args: --bind=0\.0\.0\.0:3000 .*around the sidecar/,
  },
  {
    name: 'a service on every address and no NetworkPolicy',
    values: sidecar({ ...open, networkPolicy: { enabled: false } }),
    says: /sidecar\.networkPolicy\.enabled: .*around the sidecar/,
  },
  {
    name: 'a rule that admits every port',
    values: sidecar({ ...open, networkPolicy: { additional: [{ from: [{ podSelector: {} }] }] } }),
    says: /sidecar\.networkPolicy\.additional\[0\]\.ports: is needed/,
  },
  {
    name: "a rule that admits the service's port",
    values: sidecar({ ...open, networkPolicy: { additional: [{ ports: [{ port: 3000 }] }] } }),
    says: /additional\[0\]\.ports: 3000 .*around the sidecar/,
  },
  {
    name: '… within a range',
    values: sidecar({ ...open, networkPolicy: { additional: [{ ports: [{ port: 2000, endPort: 4000 }] }] } }),
    says: /additional\[0\]\.ports: 3000 .*around the sidecar/,
  },
  {
    name: '… by a name that could be its',
    values: sidecar({ ...open, networkPolicy: { additional: [{ ports: [{ port: 'http' }] }] } }),
    says: /additional\[0\]\.ports: http is not a number/,
  },
  {
    name: 'a Service that leads to the service',
    values: { ...sidecar(open), servicePorts: [{ port: 80, targetPort: 3000 }] },
    says: AROUND,
  },
  {
    name: 'a Service that leads to a name',
    values: { ...sidecar(open), servicePorts: [{ port: 80, targetPort: 'http' }] },
    says: AROUND,
  },
  {
    name: 'no port of the service',
    values: sidecar({ service: { port: 0 } }),
    says: /sidecar\.service\.port: is needed/,
  },
  { name: 'no issuer', values: sidecar({ issuer: { url: '' } }), says: /sidecar\.issuer\.url: is needed/ },
  { name: 'no feed', values: sidecar({ feedToken: { secret: '' } }), says: /sidecar\.feedToken\.secret: is needed/ },
  { name: 'one port twice', values: sidecar({ port: 3000 }), says: /sidecar\.port: has to be another/ },
  { name: 'the admin port twice', values: sidecar({ admin: { port: 8080 } }), says: /sidecar\.admin\.port: / },
  { name: 'a sidecar on loopback', values: sidecar({ host: '127.0.0.1' }), says: /sidecar\.host: / },
  {
    name: "the sidecar's port taken",
    values: pod({ ports: [{ containerPort: 8080 }] }),
    says: /container orders, ports: 8080 is the sidecar's/,
  },
  {
    name: "the sidecar's name taken",
    values: { pod: { containers: [{ name: 'sallyport', image: 'x' }] } },
    says: /container sallyport: /,
  },
  { name: 'another kind', values: { kind: 'Job' }, says: /a Deployment, StatefulSet or DaemonSet is needed/ },
  {
    name: 'a native sidecar where there are none',
    values: sidecar({ native: 'always' }),
    kubeVersion: '1.28.0',
    says: /sidecar\.native: always needs Kubernetes 1\.29/,
  },
  {
    name: 'metrics for nobody',
    values: sidecar({ podMonitor: { enabled: true } }),
    says: /networkPolicy\.metricsFrom: /,
  },
]

for (const { name, values, says, kubeVersion } of refused) {
  test(`refused: ${name}`, { skip }, async (t) => {
    await t.rejects(renderWith(values, kubeVersion), { message: says })
  })
}

test('everything that is wrong is told at once', { skip }, async (t) => {
  const wrong = {
    ...pod({ ports: [{ containerPort: 3000 }] }, { hostNetwork: true }),
    ...sidecar({ issuer: { url: '' } }),
  }
  await t.rejects(renderWith(wrong), { message: /sidecar\.issuer\.url.*hostNetwork.*container orders/s })
})

const accepted: { name: string; values: object }[] = [
  { name: 'a service on loopback', values: pod({ env: [{ name: 'HOST', value: '127.0.0.1' }] }) },
  { name: 'a probe by command', values: pod({ livenessProbe: { exec: { command: ['check'] } } }) },
  { name: 'another port for others', values: pod({ ports: [{ name: 'metrics', containerPort: 9100 }] }) },
  {
    name: 'a service on every address, with a NetworkPolicy',
    values: {
      ...pod({ ports: [{ containerPort: 3000 }], readinessProbe: { httpGet: { port: 3000 } }, args: ['0.0.0.0:3000'] }),
      ...sidecar(open),
    },
  },
  { name: 'another kind of workload', values: { kind: 'StatefulSet' } },
  { name: 'a Service with the port of something else', values: { servicePorts: [{ port: 9100, targetPort: 9100 }] } },
]

for (const { name, values } of accepted) {
  test(`accepted: ${name}`, { skip }, async (t) => {
    const objects = objectsOf(await renderWith(values))
    const workload = objects.find(({ kind }) => kind === 'Deployment' || kind === 'StatefulSet')
    t.equal(workload?.spec.template.spec.initContainers.at(-1).name, 'sallyport')
    const { spec } = objectOf(objects, 'NetworkPolicy')
    t.same(spec.podSelector.matchLabels, { 'sallyport/sidecar': 'orders' })
    t.equal(workload?.spec.template.metadata.labels['sallyport/sidecar'], 'orders')
    t.same(spec.ingress, [{ ports: [{ protocol: 'TCP', port: 8080 }] }], 'the port of the sidecar alone is let in')
  })
}

for (const { version, native, waits } of [
  { version: '1.25.0', native: false, waits: false },
  { version: '1.28.9', native: false, waits: false },
  { version: '1.29.0', native: true, waits: false },
  { version: '1.30.0', native: true, waits: true },
]) {
  test(`Kubernetes ${version}: ${native ? 'a native sidecar' : 'a plain container'}`, { skip }, async (t) => {
    const values = pod({}, { initContainers: [{ name: 'first', image: 'first' }] })
    const { spec } = objectOf(objectsOf(await renderWith(values, version)), 'Deployment')
    const { containers, initContainers } = spec.template.spec
    const [own] = native ? initContainers.slice(-1) : containers.slice(-1)
    t.equal(own.name, 'sallyport')
    t.equal(own.restartPolicy, native ? 'Always' : undefined)
    t.equal(initContainers[0].name, 'first')
    t.equal(containers[0].name, 'orders')
    // A native one ends after the service; a plain one is told at the same time and has to wait.
    t.equal(environmentOf(own).DRAIN_DELAY, native ? '0s' : '5s')
    t.same(containers[0].lifecycle, waits ? { preStop: { sleep: { seconds: 5 } } } : undefined)
    t.equal(own.startupProbe.httpGet.path, '/livez')
    t.equal(own.readinessProbe.httpGet.path, '/readyz')
  })
}

test('a preStop of the service stays', { skip }, async (t) => {
  const lifecycle = { preStop: { exec: { command: ['drain'] } } }
  const { spec } = objectOf(objectsOf(await renderWith(pod({ lifecycle }))), 'Deployment')
  t.same(spec.template.spec.containers[0].lifecycle, lifecycle)
})

test('a PodMonitor names the port as the container does', { skip }, async (t) => {
  const monitored = { podMonitor: { enabled: true }, networkPolicy: { metricsFrom: [{ podSelector: {} }] } }
  const objects = objectsOf(await renderWith(sidecar({ ...monitored, admin: { port: 9081 } })))
  const [own] = objectOf(objects, 'Deployment').spec.template.spec.initContainers
  const [{ port, portNumber }] = objectOf(objects, 'PodMonitor').spec.podMetricsEndpoints
  t.equal(portNumber, undefined, 'which operators before 0.79 do not know')
  t.match(own.ports, [{}, { name: port, containerPort: 9081 }])
})

test('a sidecar that waits for issuer and feed is not started again and again', { skip }, async (t) => {
  const probeOf = async (whenStale: string) => {
    const objects = objectsOf(await renderWith(sidecar({ whenStale })))
    return objectOf(objects, 'Deployment').spec.template.spec.initContainers[0].startupProbe
  }
  const serve = await probeOf('serve')
  t.equal(serve.httpGet.path, '/readyz', 'no request before it knows what was revoked')
  // The kubelet forgets how often it has restarted a container that ran for twice its longest pause (5 minutes).
  t.ok(serve.periodSeconds * serve.failureThreshold > 2 * 300)
  t.equal((await probeOf('unready')).httpGet.path, '/livez')
})

test('values of one workload come before those of the chart, and are checked as well', { skip }, async (t) => {
  const override = { port: 9090, service: { port: 3001 } }
  const objects = objectsOf(await renderWith({ override }))
  const [own] = objectOf(objects, 'Deployment').spec.template.spec.initContainers
  t.match(environmentOf(own), { SIDECAR_PORT: '9090', UPSTREAM: 'http://127.0.0.1:3001', SIDECAR_ADMIN_PORT: '8081' })
  t.same(objectOf(objects, 'NetworkPolicy').spec.ingress, [{ ports: [{ protocol: 'TCP', port: 9090 }] }])
  t.equal(objectOf(objects, 'Service').spec.ports[0].targetPort, 9090)
  await t.rejects(renderWith({ override, ...pod({ ports: [{ containerPort: 3001 }] }) }), {
    message: /3001 is the service's/,
  })
})

test('routes: the ConfigMap is what was meant, and a change replaces Pods or is reloaded', { skip }, async (t) => {
  const routes = [
    { path: '/admin/**', roles: ['admin'], methods: ['GET'] },
    { path: '/health', access: 'public' },
  ]
  const rendered = async (values: object) => objectsOf(await renderWith(sidecar(values)))
  const annotations = async (values: object) =>
    objectOf(await rendered(values), 'Deployment').spec.template.metadata.annotations ?? {}
  const objects = await rendered({ routes })
  const file = join(temporaryFolder(t), 'routes.yaml')
  writeFileSync(file, objectOf(objects, 'ConfigMap').data!['routes.yaml']!)
  const checked = await checkRoutesFile(file)
  t.same(checked.problems, [])
  t.same(
    checked.routes.map(({ route }) => route.path),
    ['/admin/**', '/health'],
  )
  const key = 'sallyport/checksum-routes'
  const before = (await annotations({ routes }))[key]
  t.ok(before)
  t.not((await annotations({ routes: routes.slice(1) }))[key], before)
  t.equal((await annotations({ routes, onRoutesChange: 'reload' }))[key], undefined)
  const { spec } = objectOf(objects, 'Deployment')
  const container = spec.template.spec.initContainers[0]
  const mount = container.volumeMounts.find(({ name }: { name: string }) => name === 'sallyport-routes')
  t.equal(environmentOf(container).ROUTES_FILE, `${mount.mountPath}/routes.yaml`)
})

for (const file of ciValues('example')) {
  test(`the program accepts the settings of ${file.split('/').at(-1)}`, { skip }, async (t) => {
    const { spec } = objectOf(objectsOf(await render(folderOf!('example'), { files: [file] })), 'Deployment')
    const { containers, initContainers = [] } = spec.template.spec
    const container = [...containers, ...initContainers].find(({ name }) => name === 'sallyport')
    const env = environmentOf(container)
    for (const path of Object.keys(env).filter((name) => name.endsWith('_FILE'))) {
      const folders = container.volumeMounts.map(({ mountPath }: { mountPath: string }) => mountPath)
      t.ok(
        folders.some((folder: string) => env[path]!.startsWith(`${folder}/`)),
        `${path} is in a volume`,
      )
    }
    t.doesNotThrow(() => checkSettings(withFiles(temporaryFolder(t), env), ['sidecar']))
  })
}

test('a setting is the text that was meant, not what YAML makes of it', { skip }, async (t) => {
  const file = join(temporaryFolder(t), 'values.yaml')
  writeFileSync(file, stringify({ sidecar: { settings: { FORWARD_TOKEN: true, TOKEN_CACHE_SIZE: 10_000_000 } } }))
  const { spec } = objectOf(objectsOf(await render(folderOf!('service'), { files: [file] })), 'Deployment')
  t.match(environmentOf(spec.template.spec.initContainers[0]), { FORWARD_TOKEN: 'on', TOKEN_CACHE_SIZE: '10000000' })
})
