import { type Fields, isObject, member, objects, texts } from './document.ts'

export interface EnvironmentVariable extends Fields {
  name: string
}

/** What every Pod is given, as the charts render it; a Pod's own settings change a few members of it. */
export interface SidecarTemplate {
  /** A Container (core/v1). With `restartPolicy: Always` it becomes a native sidecar among the Pod's init containers. */
  container: Fields & { name: string; image: string }
  env: readonly EnvironmentVariable[]
  isNative: boolean
  /** The Volumes it mounts. */
  volumes: readonly Fields[]
  imagePullSecrets: readonly Fields[]
  /** What each of the Pod's containers waits for before it ends (a LifecycleHandler), unless it has a `preStop`. */
  preStop: Fields | undefined
  /** How long the sidecar may take to end; a Pod that allows less allows as much: seconds. */
  terminationGracePeriodSeconds: number
  labels: Readonly<Record<string, string>>
  annotations: Readonly<Record<string, string>>
}

const MEMBERS = [
  'container',
  'volumes',
  'imagePullSecrets',
  'preStop',
  'terminationGracePeriodSeconds',
  'labels',
  'annotations',
]

/** Reads a template out of a document. @returns everything that is wrong with it, a text each */
export function readTemplate(document: unknown): SidecarTemplate | string[] {
  if (!isObject(document)) return ['it is not an object']
  const container = member(document, 'container')
  const env = objects(member(container, 'env'))
  const volumes = objects(member(document, 'volumes'))
  const imagePullSecrets = objects(member(document, 'imagePullSecrets'))
  const labels = texts(member(document, 'labels'))
  const annotations = texts(member(document, 'annotations'))
  const preStop = member(document, 'preStop')
  const graceSeconds = member(document, 'terminationGracePeriodSeconds') ?? 0
  const restartPolicy = member(container, 'restartPolicy')
  const problems = Object.keys(document)
    .filter((name) => !MEMBERS.includes(name))
    .map((name) => `${name}: there is no such member; there are ${MEMBERS.join(', ')}`)
  const need = (condition: boolean, problem: string) => void (condition || problems.push(problem))
  need(isText(member(container, 'name')), 'container.name: is needed')
  need(isText(member(container, 'image')), 'container.image: is needed')
  need(restartPolicy === undefined || restartPolicy === 'Always', 'container.restartPolicy: is Always or left out')
  need(hasNames(env), 'container.env: is not a list of named variables')
  need(objects(member(container, 'ports')) !== undefined, 'container.ports: is not a list of ports')
  need(objects(member(container, 'volumeMounts')) !== undefined, 'container.volumeMounts: is not a list of mounts')
  need(hasNames(volumes), 'volumes: is not a list of named volumes')
  need(hasNames(imagePullSecrets), 'imagePullSecrets: is not a list of named secrets')
  need(preStop === undefined || isObject(preStop), 'preStop: is not a handler')
  need(isSeconds(graceSeconds), 'terminationGracePeriodSeconds: is not a number of seconds')
  need(labels !== undefined, 'labels: is not an object of texts')
  need(annotations !== undefined, 'annotations: is not an object of texts')
  if (problems.length > 0) return problems
  return {
    container: container as SidecarTemplate['container'],
    env: env as EnvironmentVariable[],
    isNative: restartPolicy === 'Always',
    volumes: volumes!,
    imagePullSecrets: imagePullSecrets!,
    preStop: preStop as Fields | undefined,
    terminationGracePeriodSeconds: graceSeconds as number,
    labels: labels!,
    annotations: annotations!,
  }
}

function isText(value: unknown): boolean {
  return typeof value === 'string' && value !== ''
}

function isSeconds(value: unknown): boolean {
  return typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= 86_400
}

function hasNames(list: readonly Fields[] | undefined): boolean {
  return list?.every((item) => isText(item.name)) ?? false
}

/** The value that an environment variable has in the template itself, not by way of a Secret or a field. */
export function literal(env: readonly Fields[], name: string): string | undefined {
  const value = env.find((variable) => variable.name === name)?.value
  return typeof value === 'string' && value !== '' ? value : undefined
}
