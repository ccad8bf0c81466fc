import type { AddOperation } from './json-patch.ts'
import { type Pod, readPod } from './pod.ts'
import { containerFor, type SidecarPorts } from './pod-container.ts'
import { podPatch } from './pod-patch.ts'
import { portConflict, upstreamOf } from './pod-ports.ts'
import { INJECT_LABEL, readPodSettings } from './pod-settings.ts'
import type { SidecarTemplate } from './template.ts'

/** What becomes of a Pod. */
export type Verdict =
  | { outcome: 'injected'; patch: AddOperation[]; warnings: string[] }
  /** It has the sidecar already: from an earlier call, or of its own. */
  | { outcome: 'present'; warnings: string[] }
  | { outcome: 'opted_out' }
  /** It may not come to be: the message is for whoever wrote it. */
  | { outcome: 'refused'; message: string }

export interface InjectionRules {
  template: SidecarTemplate
  /** Where the template has the sidecar listen. */
  ports: SidecarPorts
  /** Whether a Pod may do without the sidecar by its label. */
  mayOptOut: boolean
}

/**
 * Decides about a Pod that is about to be created. The API server calls twice where others change the Pod afterwards:
 * for what came of the first patch there is no second.
 */
export function inject(rules: InjectionRules, object: unknown): Verdict {
  const pod = readPod(object)
  if (typeof pod === 'string') return refused(`this is not a Pod: ${pod}`)
  return optOut(pod, rules) ?? existing(pod, rules) ?? unsuitable(pod, rules) ?? injected(pod, rules)
}

type Step = (pod: Pod, rules: InjectionRules) => Verdict | undefined

const optOut: Step = ({ labels }, { mayOptOut }) => {
  const wish = labels[INJECT_LABEL]
  if (wish === undefined || wish === 'true') return undefined
  if (wish !== 'false')
    return refused(`label ${INJECT_LABEL}: ${JSON.stringify(wish.slice(0, 100))} is neither true nor false`)
  if (mayOptOut) return { outcome: 'opted_out' }
  return refused(`label ${INJECT_LABEL}: no Pod may do without the sidecar here`)
}

/** Its image may have been rewritten between two calls (mirrors, digests), so that alone makes it no other container. */
const existing: Step = ({ containers }, { template: { container } }) => {
  const found = containers.find(({ name }) => name === container.name)
  if (!found) return undefined
  const sameProgram = isSame(found.command, container.command) && isSame(found.args, container.args)
  if (!sameProgram || !found.stays) {
    return refused(`container ${found.name}: the sidecar has this name, and this is another program; rename it`)
  }
  const other = found.image !== container.image
  const warning = `container ${found.name}: its image is ${found.image.slice(0, 100)}, not the one that is injected`
  return { outcome: 'present', warnings: other ? [warning] : [] }
}

const unsuitable: Step = (pod, { template }) => {
  if (pod.hostNetwork) {
    return refused(`hostNetwork: in the node's network the service is reached around the sidecar${orOptOut}`)
  }
  if (pod.windows) return refused(`the sidecar is a Linux container, and this Pod is for Windows${orOptOut}`)
  if (!template.isNative && pod.restartPolicy !== 'Always') {
    return refused(
      `restartPolicy ${pod.restartPolicy}: the Pod would never end, for the sidecar is a plain container here${orOptOut}`,
    )
  }
  return undefined
}

const orOptOut = `; label it ${INJECT_LABEL}: "false" if it serves nobody`

function injected(pod: Pod, rules: InjectionRules): Verdict {
  const { template, ports: usual } = rules
  const settings = readPodSettings(pod.annotations)
  if (Array.isArray(settings)) return refused(settings.join('; '))
  const ports = { proxy: settings.port ?? usual.proxy, admin: settings['admin-port'] ?? usual.admin }
  const upstream = upstreamOf(pod, settings, template)
  if (typeof upstream === 'string') return refused(upstream)
  const conflict = portConflict(pod.containers, ports, upstream.port)
  if (conflict !== undefined) return refused(conflict)
  const wishes = { upstream: upstream.address, ports, routes: settings.routes, audience: settings.audience }
  const added = containerFor(template, usual, wishes)
  const taken = pod.volumeNames.find((name) => added.volumes.some((volume) => volume.name === name))
  if (taken !== undefined) return refused(`volume ${taken}: the sidecar has a volume of this name; rename it`)
  return { outcome: 'injected', patch: podPatch(pod, template, added, ports.proxy), warnings: warningsOf(pod) }
}

function warningsOf({ shareProcessNamespace }: Pod): string[] {
  if (!shareProcessNamespace) return []
  return ["shareProcessNamespace: the Pod's other containers can read the sidecar's environment and end it"]
}

function isSame(a: unknown, b: unknown): boolean {
  return JSON.stringify(a ?? []) === JSON.stringify(b ?? [])
}

function refused(message: string): Verdict {
  return { outcome: 'refused', message }
}
