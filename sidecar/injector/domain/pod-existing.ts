import { type Fields, isObject, member, objects } from './document.ts'
import type { Pod, PodContainer } from './pod.ts'
import type { Added } from './pod-container.ts'

/** What an API server writes where nothing was said; nothing else that was not expected is let through. */
const DEFAULTS: Readonly<Record<string, unknown>> = {
  protocol: 'TCP',
  defaultMode: 420,
  apiVersion: 'v1',
  scheme: 'HTTP',
  timeoutSeconds: 1,
  periodSeconds: 10,
  successThreshold: 1,
  failureThreshold: 3,
  terminationMessagePath: '/dev/termination-log',
  terminationMessagePolicy: 'File',
}
/** Quantities have several ways to be written, and a cluster can have every image pulled anew or say how Pods are resized: no other program. */
const UNTOLD = ['resources', 'resizePolicy', 'imagePullPolicy']

/** Whether a container of a Pod is the very one that it would be given, with the volumes that belong to it. */
export function isOwn(pod: Pod, { fields }: PodContainer, { container, volumes }: Added): boolean {
  return (
    matches(telling(fields), telling(container)) &&
    volumes.every((volume) => {
      const found = pod.volumes.find(({ name }) => name === volume.name)
      return found !== undefined && matches(found, volume)
    })
  )
}

function telling(container: Fields): Fields {
  return Object.fromEntries(Object.entries(container).filter(([name]) => !UNTOLD.includes(name)))
}

/** Whether it is the same program, whatever it is told. */
export function isSameProgram({ command, args, stays }: PodContainer, container: Fields): boolean {
  return stays && matches(command, member(container, 'command')) && matches(args, member(container, 'args'))
}

function matches(found: unknown, expected: unknown): boolean {
  if (isNothing(expected)) return isNothing(found)
  if (Array.isArray(expected)) {
    const items = Array.isArray(found) ? found : []
    return items.length === expected.length && expected.every((item, i) => matches(items[i], item))
  }
  if (!isObject(expected)) return found === expected
  if (!isObject(found)) return false
  return (
    Object.entries(expected).every(([name, value]) => matches(member(found, name), value)) &&
    Object.entries(found).every(
      ([name, value]) => Object.hasOwn(expected, name) || isNothing(value) || value === DEFAULTS[name],
    )
  )
}

/** What an API server leaves out. */
function isNothing(value: unknown): boolean {
  return value === undefined || value === null || value === '' || value === false || objects(value)?.length === 0
}
