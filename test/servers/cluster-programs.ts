import { customResources } from './custom-resources.ts'
import { type Etcd, findEtcd } from './etcd.ts'
import { findChartTools } from './helm.ts'
import { findKubernetes, type KubernetesPrograms, programsVariable } from './kubernetes.ts'
import { findKwok, type Kwok } from './kwok.ts'
import { unlessHad } from './shared.ts'
import { missingVariable, ServerUnavailable } from './sources.ts'

/** All that a cluster of a test is made of. */
export interface ClusterPrograms {
  kubernetes: KubernetesPrograms
  etcd: Etcd
  kwok: Kwok
  /** Files with the CustomResourceDefinitions of others. */
  customResources: string[]
}

let found: Promise<ClusterPrograms> | undefined

/**
 * The programs of a cluster, fetched or built if need be: the first time that takes minutes.
 * @throws ServerUnavailable
 */
export function findClusterPrograms(): Promise<ClusterPrograms> {
  found ??= find()
  return found
}

async function find(): Promise<ClusterPrograms> {
  if (process.env[missingVariable]?.split(',').includes('kubernetes')) {
    throw new ServerUnavailable("Kubernetes can't be had here")
  }
  try {
    // The quick ones first: who lacks one of them should not wait for the others.
    const [etcd, custom] = [await findEtcd(), await customResources()]
    return { etcd, customResources: custom, kwok: await findKwok(), kubernetes: await findKubernetes() }
  } catch (error) {
    throw new ServerUnavailable(
      `Kubernetes can't be had here. Install Go (and etcd where there is no apt-get), or name a folder with kube-apiserver, kube-controller-manager, kube-scheduler, kubectl, etcd and kwok by ${programsVariable}. What failed: ${(error as Error).message}`,
    )
  }
}

/** Has all that tests on a cluster need. Throws ServerUnavailable. */
export async function prepareCluster(): Promise<void> {
  await findClusterPrograms()
  await findChartTools()
}

/** For a test's `skip` option: why there can be no cluster here, or false. Where servers are required it is always false. */
export function missingCluster(): Promise<string | false> {
  return unlessHad('Kubernetes', prepareCluster)
}
