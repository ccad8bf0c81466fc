import { after, type Test, test } from 'tap'
import { ciValues, prepareCharts } from '../charts/charts.ts'
import { eventually } from '../helpers/eventually.ts'
import { missingCluster } from '../servers/cluster-programs.ts'
import { type LiveObject, NODES, openCluster } from './test-cluster.ts'

// What a drain of nodes and an autoscaler make of the charts' Deployments.

const skip = await missingCluster()
const folderOf = skip ? undefined : await prepareCharts()
const cluster = skip ? undefined : await openCluster()
after(() => cluster?.stop())

const WAIT = ['--wait', '--timeout', '150s']

async function install(t: Test, chart: string, values: string, ...more: string[]): Promise<string> {
  const namespace = await cluster!.namespace(`${chart}-${values}`)
  const file = ciValues(chart).find((name) => name.endsWith(`/${values}-values.yaml`))!
  await cluster!.helm('helm4', [
    'install',
    'sallyport',
    folderOf!(chart),
    '-n',
    namespace,
    '-f',
    file,
    ...more,
    ...WAIT,
  ])
  t.teardown(async () => void (await cluster!.helm('helm4', ['uninstall', 'sallyport', '-n', namespace, ...WAIT])))
  return namespace
}

const isReady = ({ status }: LiveObject) =>
  status.conditions?.some(({ type, status: is }: { type: string; status: string }) => type === 'Ready' && is === 'True')

async function readyPods(namespace: string): Promise<LiveObject[]> {
  const pods = await cluster!.list('pods', namespace)
  return pods.filter((pod) => isReady(pod))
}

/** By the API of evictions, as `kubectl drain` and autoscalers of nodes do. */
function evict({ metadata: { name, namespace } }: LiveObject) {
  const eviction = { apiVersion: 'policy/v1', kind: 'Eviction', metadata: { name, namespace } }
  return cluster!.attempt(
    ['create', '--raw', `/api/v1/namespaces/${namespace}/pods/${name}/eviction`, '-f', '-'],
    [eviction],
  )
}

async function disruptionsAllowed(namespace: string, name: string, count: number): Promise<void> {
  await eventually(
    async () => (await cluster!.list('poddisruptionbudget', namespace, name))[0]?.status.disruptionsAllowed === count,
    { within: 60_000, every: 200, message: `${count} disruptions allowed` },
  )
}

const CHARTS = [
  { chart: 'example', values: 'minimal', replicas: 2 },
  { chart: 'injector', values: 'minimal', replicas: 2 },
  { chart: 'issuer', values: 'production', replicas: 3 },
]

await cluster?.namespace('kafka')

for (const { chart, values, replicas } of CHARTS) {
  const budget = `sallyport-${chart}`
  test(`${chart}: one Pod may be evicted, the next only when another is ready`, { skip }, async (t) => {
    const namespace = await install(t, chart, values)
    await disruptionsAllowed(namespace, budget, 1)
    const [first, second] = (await readyPods(namespace)) as [LiveObject, LiveObject]
    // Where the one that replaces the first finds no node, it can't be ready.
    const uncordon = async () => void (await cluster!.ask(['uncordon', ...NODES]))
    t.teardown(uncordon)
    await cluster!.ask(['cordon', ...NODES])
    t.equal((await evict(first)).code, 0)
    await disruptionsAllowed(namespace, budget, 0)
    const refused = await evict(second)
    t.match(refused, { code: 1, stderr: /Cannot evict pod as it would violate the pod's disruption budget/ })
    t.equal((await readyPods(namespace)).length, replicas - 1)
    await uncordon()
    await disruptionsAllowed(namespace, budget, 1)
    t.equal((await evict(second)).code, 0)
    await disruptionsAllowed(namespace, budget, 1)
  })
}

test('a drain of every node, one after the other, goes through and leaves Pods that are ready', { skip }, async (t) => {
  const namespace = await install(t, 'example', 'minimal')
  await disruptionsAllowed(namespace, 'sallyport-example', 1)
  const before = await readyPods(namespace)
  t.equal(new Set(before.map(({ spec }) => spec.nodeName)).size, 2, 'on two nodes')
  let fewest = before.length
  let draining = true
  const watching = (async () => {
    while (draining) fewest = Math.min(fewest, (await readyPods(namespace)).length)
  })()
  for (const node of NODES) {
    await cluster!.ask(['drain', node, '--delete-emptydir-data', '--ignore-daemonsets', '--timeout=90s'])
    const left = (await cluster!.list('pods', namespace)).filter(({ spec }) => spec.nodeName === node)
    t.same(left, [], `${node} is empty`)
    await cluster!.ask(['uncordon', node])
    await disruptionsAllowed(namespace, 'sallyport-example', 1)
  }
  draining = false
  await watching
  t.ok(fewest >= 1, 'at every moment one was ready')
  const uids = new Set((await readyPods(namespace)).map(({ metadata }) => metadata.uid))
  t.notOk(
    before.some(({ metadata }) => uids.has(metadata.uid)),
    'none of them is one of the first',
  )
})

test('a single one is no obstacle to a drain', { skip }, async (t) => {
  const namespace = await install(t, 'example', 'networkpolicy')
  t.same(await cluster!.list('poddisruptionbudget', namespace), [])
  const [pod] = (await readyPods(namespace)) as [LiveObject]
  await cluster!.ask(['drain', pod.spec.nodeName, '--delete-emptydir-data', '--ignore-daemonsets', '--timeout=90s'])
  await cluster!.ask(['uncordon', pod.spec.nodeName])
  await eventually(async () => (await readyPods(namespace)).length === 1, { within: 60_000, message: 'another Pod' })
})

test('autoscaling: the fewest are there, and an upgrade does not set the number back', { skip }, async (t) => {
  await cluster!.apply([
    { apiVersion: 'scheduling.k8s.io/v1', kind: 'PriorityClass', metadata: { name: 'high' }, value: 1000 },
  ])
  const namespace = await install(t, 'issuer', 'autoscaling')
  const replicas = async () => (await cluster!.list('deployment', namespace, 'sallyport-issuer'))[0]?.spec.replicas
  await eventually(async () => (await replicas()) === 2, { within: 60_000, every: 200, message: 'two issuers' })
  await cluster!.ask(['scale', 'deployment/sallyport-issuer', '--replicas=4', '-n', namespace])
  const file = ciValues('issuer').find((name) => name.endsWith('/autoscaling-values.yaml'))!
  const changed = ['-f', file, '--set', 'settings.ACCESS_TOKEN_TTL=4m', ...WAIT]
  await cluster!.helm('helm4', ['upgrade', 'sallyport', folderOf!('issuer'), '-n', namespace, ...changed])
  t.equal(await replicas(), 4)
  const [hpa] = (await cluster!.list('horizontalpodautoscaler', namespace)) as [LiveObject]
  const able = hpa.status.conditions.find(({ type }: { type: string }) => type === 'AbleToScale')
  t.equal(able.status, 'True')
})

test('autoscaling turned on later: whom kubectl scale has told how many, Helm 4 does not set back', {
  skip,
}, async (t) => {
  const off = ['--set', 'autoscaling.enabled=false', '--set', 'replicaCount=3']
  const namespace = await install(t, 'issuer', 'autoscaling', ...off)
  const replicas = async () => (await cluster!.list('deployment', namespace, 'sallyport-issuer'))[0]?.spec.replicas
  t.equal(await replicas(), 3)
  await cluster!.ask(['scale', 'deployment/sallyport-issuer', '--replicas=4', '-n', namespace])
  let fewest = 4
  let upgrading = true
  const watching = (async () => {
    while (upgrading) fewest = Math.min(fewest, await replicas())
  })()
  const file = ciValues('issuer').find((name) => name.endsWith('/autoscaling-values.yaml'))!
  await cluster!.helm('helm4', ['upgrade', 'sallyport', folderOf!('issuer'), '-n', namespace, '-f', file, ...WAIT])
  upgrading = false
  await watching
  t.equal(fewest, 4)
  t.equal((await cluster!.list('horizontalpodautoscaler', namespace)).length, 1)
})
