import { after, test } from 'tap'
import { prepareCharts } from '../charts/charts.ts'
import type { KubernetesObject } from '../charts/objects.ts'
import { eventually } from '../helpers/eventually.ts'
import { missingCluster } from '../servers/cluster-programs.ts'
import { startOtherWebhook } from './other-webhook.ts'
import {
  admitted,
  type Container,
  deploymentOf,
  failureOf,
  hasSidecar,
  podOf,
  port,
  remove,
  rolledOut,
  sidecarsOf,
} from './pods.ts'
import { type LiveObject, openCluster } from './test-cluster.ts'
import { createWebhook, type WebhookConfiguration } from './webhook.ts'

// The injector as it is deployed, before a real API server: registered as charts/injector renders it, but by a URL.

const skip = await missingCluster()
const folderOf = skip ? undefined : await prepareCharts()
const cluster = skip ? undefined : await openCluster()
after(() => cluster?.stop())
const webhook = cluster && (await createWebhook(cluster, folderOf!('injector')))
const INJECTED = { 'sallyport/inject': 'true' }

/** `shop` and `open` have the label, `open` admits any Pod; `plain` has nothing. */
await cluster?.namespace('shop', INJECTED)
await cluster?.namespace('open', { ...INJECTED, 'pod-security.kubernetes.io/enforce': 'privileged' })
await cluster?.namespace('plain')

test('Pods of a Deployment in a labelled namespace come out with the sidecar', { skip }, async (t) => {
  await webhook!.deploy()
  await webhook!.inForce('shop', hasSidecar)
  const annotations = { ...port(3000).annotations, 'sallyport/routes': 'orders-routes' }
  const deployment = deploymentOf('orders', { annotations })
  const pods = await rolledOut(t, cluster!, 'shop', deployment)
  t.equal(pods.length, 2)
  for (const pod of pods) {
    t.equal(pod.spec.containers.length, 1, 'the service is alone among the containers')
    const [own, ...more] = pod.spec.initContainers
    t.same(more, [])
    t.match(own, {
      name: 'sallyport',
      restartPolicy: 'Always',
      args: ['sidecar'],
      startupProbe: { httpGet: { path: '/livez', port: 8081 } },
      readinessProbe: { httpGet: { path: '/readyz', port: 8081 } },
      livenessProbe: { httpGet: { path: '/livez', port: 8081 } },
      securityContext: { readOnlyRootFilesystem: true, allowPrivilegeEscalation: false },
    })
    const env = Object.fromEntries(own.env.map(({ name, value }: { name: string; value: string }) => [name, value]))
    t.match(env, { UPSTREAM: 'http://127.0.0.1:3000', ROUTES_FILE: '/run/sallyport/routes/routes.yaml' })
    const volumes = pod.spec.volumes.filter(({ name }: { name: string }) => name.startsWith('sallyport'))
    t.match(
      volumes.find(({ configMap }: { configMap?: object }) => configMap),
      { configMap: { name: 'orders-routes' } },
    )
    t.ok(volumes.length >= 4)
    t.equal(pod.metadata.labels?.['sallyport/injected'], '8080')
    t.ok(pod.status.conditions.some((found: Container) => found.type === 'Ready' && found.status === 'True'))
    // The admission plugin that hands out tokens comes after the webhook, and may not give this container one.
    const token = '/var/run/secrets/kubernetes.io/serviceaccount'
    const at = (container: Container) =>
      container.volumeMounts.find(({ mountPath }: { mountPath: string }) => mountPath === token).name
    t.match(at(pod.spec.containers[0]), /^kube-api-access-/)
    t.equal(at(own), 'sallyport-no-token')
  }
  const [kept] = (await cluster!.list('deployment', 'shop', 'orders')) as [LiveObject]
  t.same(kept.spec.template.spec.initContainers, undefined, 'the Deployment itself is as its team wrote it')
})

test('the webhook is registered as the chart renders it, and kept so', { skip }, async (t) => {
  const wanted = webhook!.registered()
  const [found] = (await cluster!.list('mutatingwebhookconfiguration', 'default', wanted.metadata.name)) as [
    LiveObject & WebhookConfiguration,
  ]
  t.match(found.webhooks, wanted.webhooks)
  t.same(
    found.webhooks.map(({ name }) => name),
    ['namespaces.injector.sallyport', 'pods.injector.sallyport'],
  )
})

const PODS: { name: string; namespace: string; labels?: Record<string, string>; sidecar: boolean }[] = [
  { name: 'no label anywhere', namespace: 'plain', sidecar: false },
  { name: 'a Pod with the label, in a namespace without', namespace: 'plain', labels: INJECTED, sidecar: true },
  { name: 'both', namespace: 'shop', labels: INJECTED, sidecar: true },
  { name: 'a Pod that does without', namespace: 'shop', labels: { 'sallyport/inject': 'false' }, sidecar: false },
]

for (const { name, namespace, labels, sidecar } of PODS) {
  test(`${name}: ${sidecar ? 'with' : 'without'} the sidecar`, { skip }, async (t) => {
    const [pod, ...more] = await rolledOut(t, cluster!, namespace, deploymentOf('rows', { ...port(3000), labels }))
    t.equal(more.length, 1)
    t.equal(hasSidecar(pod), sidecar)
    t.equal(pod?.metadata.labels?.['sallyport/injected'], sidecar ? '8080' : undefined)
  })
}

const REFUSED: { name: string; pod: Parameters<typeof deploymentOf>[1]; says: RegExp }[] = [
  {
    name: "the node's network",
    pod: { ...port(3000), spec: { hostNetwork: true } },
    says: /sallyport: hostNetwork: .*reached around the sidecar/,
  },
  {
    name: 'the port of the service on the node',
    pod: { container: { ports: [{ containerPort: 3000, hostPort: 3000 }] } },
    says: /sallyport: .*hostPort/,
  },
  { name: 'no port', pod: {}, says: /sallyport: annotation sallyport\/upstream-port: is needed/ },
  {
    name: 'an annotation that is wrong',
    pod: { annotations: { 'sallyport/upstream-prot': '3000' } },
    says: /sallyport: .*did you mean sallyport\/upstream-port/,
  },
  {
    name: "the sidecar's name for another program",
    pod: { ...port(3000), container: { name: 'sallyport' } },
    says: /sallyport: container sallyport: /,
  },
]

for (const { name, pod, says } of REFUSED) {
  test(`refused, and the Deployment says why: ${name}`, { skip }, async (t) => {
    // Where any Pod may be: it is the injector that refuses.
    await cluster!.apply([deploymentOf('refused', pod)], '-n', 'open')
    remove(t, cluster!, 'open', 'deployment', 'refused')
    const said = await failureOf(cluster!, 'open', 'refused')
    t.match(said, /admission webhook "namespaces\.injector\.sallyport" denied the request/)
    t.match(said, says)
    t.same(await cluster!.list('pods', 'open', '-l', 'app=refused'), [])
  })
}

for (const values of [[], ['webhook.optOut=false', 'webhook.whenExposed=refuse']]) {
  // The second time it sees its own patch with the API server's defaults in it.
  test(`asked again after another webhook, it leaves one sidecar: ${values.join(' ')}`, { skip }, async (t) => {
    await webhook!.deploy(values)
    await webhook!.inForce('shop', hasSidecar)
    await startOtherWebhook(t, cluster!)
    const traced = podOf('traced', { ...port(3000), labels: { traced: 'yes' } })
    const isTraced = (pod?: KubernetesObject) => pod?.spec.containers[0].env?.[0]?.name === 'TRACED'
    await eventually(
      async () => {
        const { pod, said } = await admitted(cluster!, 'shop', traced, '--dry-run=server')
        // Refused by the injector is refused for good.
        if (said.includes('sallyport:')) throw new Error(said)
        return isTraced(pod)
      },
      { within: 30_000, every: 200, message: 'the other webhook' },
    )
    const before = await webhook!.reviews()
    const { pod } = await admitted(cluster!, 'shop', traced)
    remove(t, cluster!, 'shop', 'pod', 'traced')
    t.ok(isTraced(pod))
    t.equal(sidecarsOf(pod!).length, 1)
    const { injected = 0, present = 0 } = await webhook!.reviews()
    t.equal(injected - (before.injected ?? 0), 1, 'the first call gave it the sidecar')
    t.equal(present - (before.present ?? 0), 1, 'the second found it there')
  })
}

test('a Pod that is there keeps its labels and the image of its sidecar; other images are its own', {
  skip,
}, async (t) => {
  const [pod] = await rolledOut(t, cluster!, 'shop', deploymentOf('changed', port(3000)))
  const { name } = pod!.metadata
  const change = (...args: string[]) => cluster!.attempt([...args, '-n', 'shop'])
  const other = () => change('set', 'image', `pod/${name}`, 'sallyport=another:1', '--dry-run=server')
  await eventually(async () => /the sidecar's image stays/.test((await other()).stderr), { within: 60_000, every: 200 })
  t.match(await change('label', 'pod', name, 'sallyport/injected-'), {
    code: 1,
    stderr: /denied request: sallyport: the label sallyport\/injected of a Pod stays/,
  })
  t.equal((await change('set', 'image', `pod/${name}`, 'orders=orders:2')).code, 0)
  t.equal((await change('label', 'pod', name, 'team=shop')).code, 0)
})

test('what is not asked about: ephemeral containers, and changes of a Pod without the policy', { skip }, async (t) => {
  await webhook!.deploy(['webhook.keepInjected=false'])
  await webhook!.inForce('shop', hasSidecar)
  const [pod] = await rolledOut(t, cluster!, 'shop', deploymentOf('unkept', port(3000)))
  const { name } = pod!.metadata
  const before = await webhook!.reviews()
  await cluster!.ask(['debug', name, '-n', 'shop', '--image=busybox', '--profile=restricted', '--quiet'])
  const change = async () => {
    await cluster!.ask(['set', 'image', `pod/${name}`, 'sallyport=another:1', '-n', 'shop'])
    return cluster!.ask(['label', 'pod', name, 'sallyport/injected-', '-n', 'shop'])
  }
  await eventually(change, { within: 60_000, every: 200, message: 'the end of the policy' })
  const [changed] = (await cluster!.list('pods', 'shop', name)) as [LiveObject]
  t.equal(changed.spec.ephemeralContainers.length, 1)
  t.equal(sidecarsOf(changed)[0].image, 'another:1')
  t.equal(changed.metadata.labels?.['sallyport/injected'], undefined)
  t.same(await webhook!.reviews(), before)
  await webhook!.deploy()
  await webhook!.inForce('shop', hasSidecar)
})

test('without opting out, a Pod with that label is refused', { skip }, async (t) => {
  await webhook!.deploy(['webhook.optOut=false'])
  await webhook!.inForce('shop', hasSidecar)
  const pod = podOf('out', { ...port(3000), labels: { 'sallyport/inject': 'false' } })
  const { said } = await admitted(cluster!, 'shop', pod, '--dry-run=server')
  t.match(said, /denied the request: sallyport: label sallyport\/inject: no Pod may do without the sidecar here/)
})

test('without the label of Pods, only namespaces count', { skip }, async (t) => {
  await webhook!.deploy(['webhook.podLabel=false'])
  await webhook!.inForce('shop', hasSidecar)
  const { pod } = await admitted(cluster!, 'plain', podOf('asking', { labels: INJECTED }), '--dry-run=server')
  t.notOk(hasSidecar(pod))
  t.ok(pod)
})

test('a service that others reach as well: told, or refused', { skip }, async (t) => {
  const exposed = podOf('exposed', { container: { ports: [{ containerPort: 3000 }] } })
  await webhook!.deploy()
  await webhook!.inForce('shop', hasSidecar)
  const warned = await admitted(cluster!, 'shop', exposed, '--dry-run=server')
  t.ok(hasSidecar(warned.pod))
  t.match(warned.said, /Warning: sallyport: .*3000/)
  await webhook!.deploy(['webhook.whenExposed=refuse'])
  await webhook!.inForce('shop', hasSidecar)
  const { pod, said } = await admitted(cluster!, 'shop', exposed, '--dry-run=server')
  t.equal(pod, undefined)
  t.match(said, /denied the request: sallyport: .*3000/)
})
