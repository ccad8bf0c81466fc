import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Helm } from '../charts/charts.ts'
import { type KubernetesObject, objectsOf } from '../charts/objects.ts'
import { eventually } from '../helpers/eventually.ts'
import { type Cluster, startCluster } from '../servers/cluster.ts'
import { findClusterPrograms } from '../servers/cluster-programs.ts'
import { run } from '../servers/command.ts'
import { findChartTools } from '../servers/helm.ts'
import { createKubectl, type Kubectl } from './kubectl.ts'

/** An object as the API server gives it. */
export interface LiveObject extends KubernetesObject {
  metadata: KubernetesObject['metadata'] & { uid: string; ownerReferences?: { kind: string; name: string }[] }
  // biome-ignore lint/suspicious/noExplicitAny: each kind has its own.
  status?: any
}

/** A cluster with nodes and the kinds of others that charts make, and how tests speak to it. */
export interface TestCluster extends Cluster {
  /** Whatever comes of it. */
  attempt: Kubectl
  /** What it printed to stdout. Throws an error with all it said if it failed. */
  ask(args: readonly string[], input?: readonly object[]): Promise<string>
  /** The objects of kinds, such as `pods,services`, of a namespace. @param more `-l …` or names */
  list(kinds: string, namespace: string, ...more: string[]): Promise<LiveObject[]>
  apply(objects: readonly object[], ...more: string[]): Promise<void>
  /** Makes a namespace where only restricted Pods may be, unless its labels say otherwise. Returns its name. */
  namespace(name: string, labels?: Record<string, string>): Promise<string>
  helm(generation: Helm, args: readonly string[]): Promise<string>
}

/** What decides about objects of all namespaces. */
export const ADMISSION = 'mutatingwebhookconfigurations,validatingadmissionpolicies,validatingadmissionpolicybindings'

export const NODES = ['node-a', 'node-b', 'node-c']

const RESTRICTED = Object.fromEntries(
  ['enforce', 'warn', 'audit'].map((mode) => [`pod-security.kubernetes.io/${mode}`, 'restricted']),
)

/** Starts a cluster. It is the caller's to stop. */
export async function openCluster(): Promise<TestCluster> {
  const cluster = await startCluster()
  try {
    const opened = withTools(cluster)
    await addKinds(opened)
    await opened.apply(NODES.map(node))
    await allAre(opened, 'nodes', 'Ready')
    return opened
  } catch (error) {
    await cluster.stop()
    throw error
  }
}

function withTools(cluster: Cluster): TestCluster {
  const cache = join(cluster.folder, 'cache')
  const attempt = createKubectl(cluster.kubectl, cluster.kubeconfig, cache)
  const ask: TestCluster['ask'] = async (args, input) => {
    const { code, stdout, stderr } = await attempt(args, input)
    if (code !== 0) throw new Error(`kubectl ${args.join(' ')} ended with ${code}:\n${stdout}${stderr}`)
    return stdout
  }
  const apply: TestCluster['apply'] = async (objects, ...more) =>
    void (await ask(['apply', '-f', '-', ...more], objects))
  return {
    ...cluster,
    attempt,
    ask,
    apply,
    async list(kinds, namespace, ...more) {
      const found = JSON.parse(await ask(['get', kinds, '-n', namespace, '-o', 'json', ...more]))
      return found.items ?? [found]
    },
    async namespace(name, labels = {}) {
      await apply([{ apiVersion: 'v1', kind: 'Namespace', metadata: { name, labels: { ...RESTRICTED, ...labels } } }])
      // A Pod needs it, and a controller makes it.
      await eventually(async () => (await attempt(['get', 'serviceaccount', 'default', '-n', name])).code === 0, {
        within: 60_000,
        every: 200,
        message: `the service account of ${name}`,
      })
      return name
    },
    async helm(generation, args) {
      const tools = await findChartTools()
      const homes = ['CACHE', 'CONFIG', 'DATA'].map((kind) => [
        `HELM_${kind}_HOME`,
        join(cluster.folder, `helm-${kind}`),
      ])
      return run(tools[generation], [...args], {
        timeout: 180_000,
        env: { ...Object.fromEntries(homes), KUBECONFIG: cluster.kubeconfig, KUBECACHEDIR: cache },
      })
    },
  }
}

/** `kubectl wait` gives up on an object that has no conditions yet. */
async function allAre({ list }: TestCluster, kind: string, condition: string): Promise<void> {
  const isSo = ({ status }: LiveObject) =>
    status?.conditions?.some(
      (found: { type: string; status: string }) => found.type === condition && found.status === 'True',
    )
  const within = { within: 60_000, every: 200, message: `${kind}: ${condition}` }
  await eventually(async () => (await list(kind, 'default')).every(isSo), within)
}

async function addKinds(cluster: TestCluster): Promise<void> {
  const { customResources } = await findClusterPrograms()
  const files = [...customResources, join(import.meta.dirname, 'fixtures/kafkatopic-crd.yaml')]
  const definitions = files.flatMap((file) => objectsOf(readFileSync(file, 'utf8')))
  await cluster.ask(['create', '-f', '-'], definitions)
  await allAre(cluster, 'customresourcedefinitions', 'Established')
}

function node(name: string): object {
  const resources = { cpu: '32', memory: '64Gi', pods: '110' }
  const labels = {
    'kubernetes.io/os': 'linux',
    'kubernetes.io/arch': 'amd64',
    'kubernetes.io/hostname': name,
    'topology.kubernetes.io/zone': `zone-of-${name}`,
  }
  return {
    apiVersion: 'v1',
    kind: 'Node',
    metadata: { name, labels },
    status: { allocatable: resources, capacity: resources },
  }
}
