import type { Test } from 'tap'
import type { KubernetesObject } from '../charts/objects.ts'
import { eventually } from '../helpers/eventually.ts'
import type { LiveObject, TestCluster } from './test-cluster.ts'

interface PodOptions {
  labels?: Record<string, string>
  annotations?: Record<string, string>
  spec?: object
  container?: object
}

/** A Pod of a team that has not heard of the sidecar, as a namespace for restricted Pods wants it. */
export function podOf(name: string, { labels, annotations, spec, container }: PodOptions = {}): KubernetesObject {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, labels: { app: name, ...labels }, annotations },
    spec: {
      securityContext: { runAsNonRoot: true, runAsUser: 1000, seccompProfile: { type: 'RuntimeDefault' } },
      containers: [
        {
          name: 'orders',
          image: 'orders:1',
          securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } },
          ...container,
        },
      ],
      ...spec,
    },
  }
}

/** The same as the template of a Deployment of two. */
export function deploymentOf(name: string, options: PodOptions = {}): KubernetesObject {
  const { metadata, spec } = podOf(name, options)
  const { labels, annotations } = metadata
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name },
    spec: {
      replicas: 2,
      selector: { matchLabels: { app: name } },
      template: { metadata: { labels, annotations }, spec },
    },
  }
}

/** The annotation that says where the service listens. */
export const port = (number: number) => ({ annotations: { 'sallyport/upstream-port': String(number) } })

// biome-ignore lint/suspicious/noExplicitAny: of a Pod, as loosely as tests look at it.
export type Container = any
export const sidecarsOf = ({ spec }: KubernetesObject): Container[] =>
  [...spec.containers, ...(spec.initContainers ?? [])].filter(({ name }) => name === 'sallyport')
export const hasSidecar = (pod: KubernetesObject | undefined) => pod !== undefined && sidecarsOf(pod).length === 1

/** A Pod as the API server would keep it, or what it says against it. */
export async function admitted(cluster: TestCluster, namespace: string, pod: KubernetesObject, ...more: string[]) {
  const args = ['create', '-n', namespace, '-f', '-', '-o', 'json', ...more]
  const { code, stdout, stderr } = await cluster.attempt(args, [pod])
  return code === 0 ? { pod: JSON.parse(stdout) as LiveObject, said: stderr } : { said: stderr }
}

/** Why a Deployment has no Pods. */
export async function failureOf(cluster: TestCluster, namespace: string, name: string): Promise<string> {
  return eventually(
    async () => {
      const [{ status }] = (await cluster.list('deployment', namespace, name)) as [LiveObject]
      return status.conditions?.find(({ type }: { type: string }) => type === 'ReplicaFailure')?.message
    },
    { within: 60_000, every: 200, message: `the failure of ${name}` },
  )
}

/** Deletes it when the test ends. */
export function remove(t: Test, cluster: TestCluster, namespace: string, kind: string, name: string): void {
  t.teardown(async () => void (await cluster.ask(['delete', kind, name, '-n', namespace, '--wait=false'])))
}

/** The Pods of a Deployment once they are ready. It goes with the test. */
export async function rolledOut(
  t: Test,
  cluster: TestCluster,
  namespace: string,
  deployment: KubernetesObject,
): Promise<LiveObject[]> {
  const { name } = deployment.metadata
  await cluster.apply([deployment], '-n', namespace)
  remove(t, cluster, namespace, 'deployment', name)
  await cluster.ask(['rollout', 'status', `deployment/${name}`, '-n', namespace, '--timeout=90s'])
  return cluster.list('pods', namespace, '-l', `app=${name}`)
}
