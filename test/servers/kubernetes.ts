import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { onPath } from './command.ts'
import { buildGoPrograms, type GoProgram } from './go.ts'

/** The newest of which every program builds with the Go that it asks for (1.26). */
const VERSION = '1.37.1'

/** What of Kubernetes itself a cluster is made of. They are of one release. */
const NAMES = ['kube-apiserver', 'kube-controller-manager', 'kube-scheduler', 'kubectl'] as const
export type KubernetesPrograms = Record<(typeof NAMES)[number], string>

/** The folder with the programs of a cluster: those above, and `etcd` and `kwok` if they are in it. */
export const programsVariable = 'TEST_KUBERNETES_PROGRAMS'
export const versionVariable = 'TEST_KUBERNETES_VERSION'

/**
 * Kubernetes' own programs: in the folder that TEST_KUBERNETES_PROGRAMS names, all of them on the PATH, or built from
 * the Go module in the version TEST_KUBERNETES_VERSION.
 */
export async function findKubernetes(): Promise<KubernetesPrograms> {
  const version = process.env[versionVariable] || VERSION
  const given = NAMES.map((name) => givenProgram(name, { needed: true }))
  if (isComplete(given)) return programs(given)
  // A kubectl alone is on many a PATH, and may be of any age.
  const installed = process.env[versionVariable] ? [] : NAMES.map(onPath)
  if (isComplete(installed)) return programs(installed)
  const cost = '5 to 10 minutes on two cores, and 5 GB of disk until it is done'
  const folder = await buildGoPrograms(
    NAMES.map((name) => kubernetesProgram(name, version)),
    cost,
  )
  return programs(NAMES.map((name) => join(folder, name)))
}

/** A program out of the folder that TEST_KUBERNETES_PROGRAMS names; undefined when it isn't set or hasn't got it. */
export function givenProgram(name: string, { needed = false } = {}): string | undefined {
  const folder = process.env[programsVariable]
  if (!folder) return undefined
  const file = join(folder, name)
  if (existsSync(file)) return file
  if (needed) throw new Error(`${programsVariable}: ${file}: no such file`)
  return undefined
}

function isComplete(files: readonly (string | undefined)[]): files is string[] {
  return files.length === NAMES.length && files.every((file) => file !== undefined)
}

function programs(files: readonly string[]): KubernetesPrograms {
  return Object.fromEntries(NAMES.map((name, index) => [name, files[index]!])) as KubernetesPrograms
}

function kubernetesProgram(name: string, version: string): GoProgram {
  const [major = '', minor = ''] = version.split('.')
  // As hack/lib/version.sh of Kubernetes stamps them. Helm asks the API server for it, and charts go by it.
  const stamp = ['k8s.io/component-base/version', 'k8s.io/client-go/pkg/version'].flatMap((place) => [
    [`${place}.gitVersion`, `v${version}`],
    [`${place}.gitMajor`, major],
    [`${place}.gitMinor`, minor],
    [`${place}.gitTreeState`, 'archive'],
  ])
  return {
    name,
    module: 'k8s.io/kubernetes',
    version,
    path: `cmd/${name}`,
    stamp: Object.fromEntries(stamp),
    directives: (goMod) => kubernetesDirectives(goMod, version),
  }
}

/**
 * What the go.mod of Kubernetes has for its own tree only: its libraries, which are folders there and modules v0.X.Y of
 * their own elsewhere, and the behaviour of Go that it is made for.
 */
export function kubernetesDirectives(goMod: string, version: string): string[] {
  const library = `v0.${version.slice(version.indexOf('.') + 1)}`
  const libraries = [...goMod.matchAll(/^\s*(?:replace )?(k8s\.io\/[\w.-]+) => \.\/staging\//gm)].map(
    ([, name]) => name,
  )
  if (libraries.length === 0) throw new Error(`go.mod of Kubernetes ${version}: no libraries found in it`)
  const behaviour = [...goMod.matchAll(/^godebug .*$/gm)].map(([line]) => line)
  return [...libraries.map((name) => `replace ${name} => ${name} ${library}`), ...behaviour]
}
