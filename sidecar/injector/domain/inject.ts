import { member, objects } from './document.ts'
import type { AddOperation } from './json-patch.ts'
import { type Pod, readPod } from './pod.ts'
import { type Added, containerFor, ROUTES_VOLUME, type SidecarPorts } from './pod-container.ts'
import { isOwn, isSameProgram } from './pod-existing.ts'
import { exposed } from './pod-exposure.ts'
import { markedPod, podPatch } from './pod-patch.ts'
import { portConflict, upstreamOf } from './pod-ports.ts'
import { INJECT_LABEL, INJECTED_LABEL, readPodSettings, SIDECAR_LABEL } from './pod-settings.ts'
import { literal, type SidecarTemplate } from './template.ts'

/** Further networks of a Pod (Multus). */
const MORE_NETWORKS = 'k8s.v1.cni.cncf.io/networks'

/** What becomes of a Pod. */
export type Verdict =
  | { outcome: 'injected'; patch: AddOperation[]; warnings: string[]; isExposed: boolean }
  /** It has the sidecar already: from an earlier call, or of its own. */
  | { outcome: 'present'; patch: AddOperation[]; warnings: string[] }
  | { outcome: 'opted_out' }
  /** It may not come to be: the message is for whoever wrote it. */
  | { outcome: 'refused'; message: string }

export interface InjectionRules {
  template: SidecarTemplate
  /** Where the template has the sidecar listen. */
  ports: SidecarPorts
  /** Whether a Pod may do without the sidecar by its label. */
  mayOptOut: boolean
  /** Namespaces in which a NetworkPolicy lets nobody reach more of an injected Pod than its sidecar. */
  guarded: ReadonlySet<string>
  /** What becomes of a Pod of another namespace whose service looks as if others reach it. */
  whenExposed: 'warn' | 'refuse'
}

/**
 * Decides about a Pod that is about to be created. The API server calls twice where others change the Pod afterwards:
 * for what came of the first patch there is no second.
 */
export function inject(rules: InjectionRules, object: unknown, namespace: string): Verdict {
  const pod = readPod(object)
  if (typeof pod === 'string') return refused(`this is not a Pod: ${pod}`)
  return optOut(pod, rules) ?? unsuitable(pod, rules) ?? existing(pod, rules) ?? injected(pod, rules, namespace)
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

const unsuitable: Step = (pod, { template }) => {
  if (pod.hostNetwork) {
    return refused(`hostNetwork: in the node's network the service is reached around the sidecar${orOptOut}`)
  }
  // Around the sidecar, and not every network plugin holds a policy against it.
  const open = pod.containers.find(({ hostPorts }) => hostPorts.length > 0)
  if (open) {
    return refused(`container ${open.name}: hostPort opens port ${open.hostPorts[0]} of the node to it${orOptOut}`)
  }
  if (pod.sysctls.some((name) => name.endsWith('.route_localnet'))) {
    return refused(`securityContext.sysctls: route_localnet would let others reach 127.0.0.1, around the sidecar`)
  }
  const ownVolumes = [...template.volumes.map(({ name }) => name), ROUTES_VOLUME]
  for (const { name, mounts } of pod.containers) {
    const mounted = name !== template.container.name && mounts.find((mount) => ownVolumes.includes(mount))
    if (mounted) return refused(`container ${name}: volume ${mounted} is the sidecar's alone`)
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

/** Its image may have been rewritten between two calls (mirrors, digests): that does not make it no sidecar. */
const existing: Step = (pod, rules) => {
  const { container } = rules.template
  const found = pod.containers.find(({ name }) => name === container.name)
  if (!found) return undefined
  if (!isSameProgram(found, container)) {
    return refused(`container ${found.name}: the sidecar has this name, and this is another program; rename it`)
  }
  const plan = planOf({ ...pod, containers: pod.containers.filter((one) => one !== found) }, rules)
  const label = pod.labels[INJECTED_LABEL]
  if (typeof plan !== 'string' && isOwn(pod, found, plan.added) && label === String(plan.ports.proxy)) {
    return { outcome: 'present', patch: [], warnings: [] }
  }
  if (!rules.mayOptOut) {
    return refused(
      `container ${found.name}: no Pod may bring a sidecar of its own here; leave it out, one is given to it`,
    )
  }
  const warning = `container ${found.name}: its image is ${found.image.slice(0, 100)}, not the one that is injected`
  const warnings = found.image === container.image ? [] : [warning]
  // A chart with a sidecar of its own has a NetworkPolicy of its own.
  if (SIDECAR_LABEL in pod.labels) return { outcome: 'present', patch: [], warnings }
  const port = literal(objects(member(found.fields, 'env')) ?? [], 'SIDECAR_PORT') ?? String(rules.ports.proxy)
  return { outcome: 'present', patch: markedPod(pod, port), warnings }
}

interface Plan {
  added: Added
  ports: SidecarPorts
  upstream: number | undefined
}

/** @returns what this Pod is given, or a text that says why it can't be */
function planOf(pod: Pod, { template, ports: usual }: InjectionRules): Plan | string {
  const settings = readPodSettings(pod.annotations)
  if (Array.isArray(settings)) return settings.join('; ')
  const ports = { proxy: settings.port ?? usual.proxy, admin: settings['admin-port'] ?? usual.admin }
  const upstream = upstreamOf(pod, settings, template)
  if (typeof upstream === 'string') return upstream
  const conflict = portConflict(pod.containers, ports, usual, upstream.port)
  if (conflict !== undefined) return conflict
  const wishes = { upstream: upstream.address, ports, routes: settings.routes, audience: settings.audience }
  return { added: containerFor(template, usual, wishes), ports, upstream: upstream.port }
}

function injected(pod: Pod, rules: InjectionRules, namespace: string): Verdict {
  const plan = planOf(pod, rules)
  if (typeof plan === 'string') return refused(plan)
  const { added, ports } = plan
  const isAdded = (name: unknown) => added.volumes.some((volume) => volume.name === name)
  const taken = pod.volumes.find(({ name }) => isAdded(name))
  if (taken !== undefined) return refused(`volume ${taken.name}: the sidecar has a volume of this name; rename it`)
  // No NetworkPolicy holds in another network than the cluster's.
  const isGuarded = rules.guarded.has(namespace) && !(MORE_NETWORKS in pod.annotations)
  const exposure = isGuarded ? undefined : exposed(pod.containers, plan.upstream)
  if (exposure !== undefined && rules.whenExposed === 'refuse') return refused(exposure)
  return {
    outcome: 'injected',
    patch: podPatch(pod, rules.template, added, ports.proxy),
    warnings: [...warningsOf(pod), ...(exposure === undefined ? [] : [exposure])],
    isExposed: exposure !== undefined,
  }
}

function warningsOf({ shareProcessNamespace }: Pod): string[] {
  if (!shareProcessNamespace) return []
  return ["shareProcessNamespace: the Pod's other containers can read the sidecar's environment and end it"]
}

function refused(message: string): Verdict {
  return { outcome: 'refused', message }
}
