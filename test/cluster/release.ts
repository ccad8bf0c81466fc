import { join } from 'node:path'
import { ciValues, type Helm } from '../charts/charts.ts'
import { eventually } from '../helpers/eventually.ts'
import { ADMISSION, type LiveObject, type TestCluster } from './test-cluster.ts'

/** Options with which Helm returns when all is ready, or gone. */
export const WAIT = ['--wait', '--timeout', '150s']

export interface Setup {
  cluster: TestCluster
  generation: Helm
  folder: string
}

export function valuesFile(chart: string, name: string): string {
  if (chart === 'service') return join(import.meta.dirname, 'fixtures/service-values.yaml')
  return ciValues(chart).find((file) => file.endsWith(`/${name}-values.yaml`))!
}

/** All there is in a namespace, and what decides about objects of all of them, by kind and name. */
export async function everything({ ask }: TestCluster, namespace: string): Promise<string[]> {
  const kinds = (await ask(['api-resources', '--verbs=list', '--namespaced', '-o', 'name'])).trim().split('\n')
  // Events tell what was; Endpoints are written again for every EndpointSlice.
  const wanted = kinds.filter((kind) => !/^(events|endpoints)\b/.test(kind))
  const found = await ask(['get', wanted.join(), '-n', namespace, '-o', 'name', '--ignore-not-found'])
  const admission = await ask(['get', ADMISSION, '-o', 'name', '--ignore-not-found'])
  return `${found}\n${admission}`.split('\n').filter(Boolean).sort()
}

async function podsOf({ list }: TestCluster, namespace: string, deployment: string): Promise<LiveObject[]> {
  const [{ spec }] = (await list('deployment', namespace, deployment)) as [LiveObject]
  const labels = Object.entries(spec.selector.matchLabels).map(([key, value]) => `${key}=${value}`)
  return list('pods', namespace, '-l', labels.join())
}

/** Waits until all Pods are of one template and ready. @returns its hash */
export async function settled(cluster: TestCluster, namespace: string, deployment: string): Promise<string> {
  return eventually(
    async () => {
      const pods = await podsOf(cluster, namespace, deployment)
      const hashes = new Set(pods.map(({ metadata }) => metadata.labels?.['pod-template-hash']))
      const ready = pods.every(({ status }) => readiness(status) === 'True')
      return pods.length > 0 && hashes.size === 1 && ready && [...hashes][0]
    },
    { within: 60_000, every: 200, message: `the Pods of ${namespace}` },
  )
}

function readiness(status: { conditions?: { type: string; status: string }[] }): string | undefined {
  return status.conditions?.find(({ type }) => type === 'Ready')?.status
}
