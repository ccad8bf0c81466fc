import { type Fields, isObject, member, objects, texts } from './document.ts'

/** What a container says of a port. */
export interface DeclaredPort {
  port: number
  name: string
}

export interface PodContainer {
  name: string
  image: string
  command: unknown
  args: unknown
  /** It is an init container. */
  isInit: boolean
  /** It goes on running while the service does: not a step before its start. */
  stays: boolean
  /** Its TCP ports. */
  ports: DeclaredPort[]
  /** Ports of the node that lead to it, by whichever protocol. */
  hostPorts: number[]
  /** Ports, by number or name, at which the kubelet asks for its health. */
  probed: unknown[]
  /** What it is told by arguments and variables. */
  told: string[]
  /** Names of the volumes that it mounts. */
  mounts: string[]
  /** All of it. */
  fields: Fields
}

/** One of the containers that are the service, and how it ends. */
export interface ServiceContainer {
  name: string
  hasLifecycle: boolean
  hasPreStop: boolean
}

/** What Kubernetes takes where a Pod says nothing: seconds. */
const DEFAULT_GRACE_S = 30

/** No Pod has as many containers or volumes. */
const MAX_ITEMS = 1000

/** What the injector looks at in a Pod. */
export interface Pod {
  labels: Readonly<Record<string, string>>
  annotations: Readonly<Record<string, string>>
  /** Its containers; those of its init containers, too. */
  containers: PodContainer[]
  /** Its containers without init containers, in their order. */
  services: ServiceContainer[]
  volumes: readonly Fields[]
  pullSecretNames: string[]
  hostNetwork: boolean
  shareProcessNamespace: boolean
  /** Names of the kernel's settings that it changes. */
  sysctls: string[]
  restartPolicy: string
  terminationGracePeriodSeconds: number
  windows: boolean
  /** Which lists and objects there are to add to. */
  has: { labels: boolean; annotations: boolean; initContainers: boolean; volumes: boolean; imagePullSecrets: boolean }
}

/**
 * Reads what matters of a Pod (v1). Its name is none of that: a Pod of a Deployment has none yet.
 * @returns a text that says what is wrong, for what is not a Pod
 */
export function readPod(object: unknown): Pod | string {
  const metadata = member(object, 'metadata')
  const spec = member(object, 'spec')
  if (!isObject(metadata)) return 'metadata is not an object'
  if (!isObject(spec)) return 'spec is not an object'
  const labels = texts(metadata.labels)
  const annotations = texts(metadata.annotations)
  if (!labels) return 'metadata.labels is not an object of texts'
  if (!annotations) return 'metadata.annotations is not an object of texts'
  const lists: Record<string, readonly Fields[]> = {}
  for (const name of ['containers', 'initContainers', 'volumes', 'imagePullSecrets']) {
    const list = objects(member(spec, name))
    if (!list) return `spec.${name} is not a list of objects`
    if (list.length > MAX_ITEMS) return `spec.${name} has more than ${MAX_ITEMS} items`
    lists[name] = list
  }
  const graceSeconds = member(spec, 'terminationGracePeriodSeconds')
  const { containers = [], initContainers = [], volumes = [], imagePullSecrets = [] } = lists
  if (containers.length === 0) return 'spec.containers is empty'
  return {
    labels,
    annotations,
    containers: [
      ...initContainers.map((fields) => readContainer(fields, true)),
      ...containers.map((fields) => readContainer(fields, false)),
    ],
    services: containers.map((fields) => ({
      name: nameOf(fields),
      hasLifecycle: isObject(member(fields, 'lifecycle')),
      hasPreStop: isObject(member(member(fields, 'lifecycle'), 'preStop')),
    })),
    volumes,
    pullSecretNames: imagePullSecrets.map(nameOf),
    hostNetwork: member(spec, 'hostNetwork') === true,
    sysctls: (objects(member(member(spec, 'securityContext'), 'sysctls')) ?? []).map(nameOf),
    shareProcessNamespace: member(spec, 'shareProcessNamespace') === true,
    restartPolicy: textOr(member(spec, 'restartPolicy'), 'Always'),
    terminationGracePeriodSeconds: typeof graceSeconds === 'number' ? graceSeconds : DEFAULT_GRACE_S,
    windows:
      member(member(spec, 'os'), 'name') === 'windows' ||
      member(member(spec, 'nodeSelector'), 'kubernetes.io/os') === 'windows',
    has: {
      labels: isObject(metadata.labels),
      annotations: isObject(metadata.annotations),
      initContainers: Array.isArray(member(spec, 'initContainers')),
      volumes: Array.isArray(member(spec, 'volumes')),
      imagePullSecrets: Array.isArray(member(spec, 'imagePullSecrets')),
    },
  }
}

const PROBES = ['startupProbe', 'readinessProbe', 'livenessProbe']
const ASKED = ['httpGet', 'tcpSocket', 'grpc']

function readContainer(fields: Fields, isInit: boolean): PodContainer {
  const declared = objects(member(fields, 'ports')) ?? []
  const ports = declared.flatMap((one) => {
    const port = member(one, 'containerPort')
    if (typeof port !== 'number' || textOr(member(one, 'protocol'), 'TCP') !== 'TCP') return []
    return [{ port, name: nameOf(one) }]
  })
  return {
    name: nameOf(fields),
    image: textOr(member(fields, 'image'), ''),
    command: member(fields, 'command'),
    args: member(fields, 'args'),
    isInit,
    stays: !isInit || member(fields, 'restartPolicy') === 'Always',
    ports,
    hostPorts: declared
      .map((one) => member(one, 'hostPort'))
      .filter((port) => typeof port === 'number' && port !== 0) as number[],
    probed: PROBES.flatMap((probe) => ASKED.map((way) => member(member(member(fields, probe), way), 'port'))),
    told: [
      ...[member(fields, 'command'), member(fields, 'args')].flat(),
      ...(objects(member(fields, 'env')) ?? []).map((variable) => member(variable, 'value')),
    ].filter((text) => typeof text === 'string'),
    mounts: (objects(member(fields, 'volumeMounts')) ?? []).map(nameOf),
    fields,
  }
}

function nameOf(fields: Fields): string {
  return textOr(member(fields, 'name'), '')
}

function textOr(value: unknown, fallback: string): string {
  return typeof value === 'string' ? value : fallback
}
