import { type AddOperation, appended, completed, pointer } from './json-patch.ts'
import type { Pod } from './pod.ts'
import type { Added } from './pod-container.ts'
import { INJECTED_LABEL } from './pod-settings.ts'
import type { SidecarTemplate } from './template.ts'

/** Which container `kubectl logs` and `kubectl exec` mean when none is named. */
const DEFAULT_CONTAINER = 'kubectl.kubernetes.io/default-container'

/** Everything that a Pod is given, as a JSON Patch. @param port where its sidecar listens */
export function podPatch(pod: Pod, template: SidecarTemplate, added: Added, port: number): AddOperation[] {
  const pullSecrets = template.imagePullSecrets.filter(({ name }) => !pod.pullSecretNames.includes(String(name)))
  return [
    ...addedContainer(pod, template, added),
    ...appended('/spec/volumes', pod.has.volumes, added.volumes),
    ...appended('/spec/imagePullSecrets', pod.has.imagePullSecrets, pullSecrets),
    ...laterEnds(pod, template),
    ...addedLabels(pod, template, port),
    ...addedAnnotations(pod, template),
  ]
}

/** Where NetworkPolicies find a Pod that has brought its sidecar itself. @param port where that listens */
export function markedPod({ labels, has }: Pod, port: string): AddOperation[] {
  if (labels[INJECTED_LABEL] === port) return []
  const { [INJECTED_LABEL]: _given, ...others } = labels
  return completed('/metadata/labels', has.labels ? others : undefined, { [INJECTED_LABEL]: port })
}

function addedContainer({ has }: Pod, { isNative }: SidecarTemplate, { container }: Added): AddOperation[] {
  // Last: it does not keep the Pod's own steps waiting, and what other webhooks put first comes before it.
  return isNative
    ? appended('/spec/initContainers', has.initContainers, [container])
    : appended('/spec/containers', true, [container])
}

/** A service that ended with the first signal would be missed by requests that are still sent to its Pod. */
function laterEnds(
  { services, terminationGracePeriodSeconds }: Pod,
  { preStop, terminationGracePeriodSeconds: needed }: SidecarTemplate,
): AddOperation[] {
  const waits = services.flatMap(({ hasLifecycle, hasPreStop }, i): AddOperation[] => {
    if (!preStop || hasPreStop) return []
    const path = pointer('spec', 'containers', String(i), 'lifecycle')
    return hasLifecycle
      ? [{ op: 'add', path: `${path}/preStop`, value: preStop }]
      : [{ op: 'add', path, value: { preStop } }]
  })
  if (terminationGracePeriodSeconds >= needed) return waits
  return [...waits, { op: 'add', path: '/spec/terminationGracePeriodSeconds', value: needed }]
}

function addedLabels({ labels, has }: Pod, template: SidecarTemplate, port: number): AddOperation[] {
  const value = String(port)
  // Whoever has set this label by hand has not thereby got the sidecar, or its port.
  const { [INJECTED_LABEL]: given, ...others } = labels
  const present = given === value ? labels : others
  const members = { ...template.labels, [INJECTED_LABEL]: value }
  return completed('/metadata/labels', has.labels ? present : undefined, members)
}

function addedAnnotations({ annotations, has, services }: Pod, template: SidecarTemplate): AddOperation[] {
  const members = template.isNative
    ? template.annotations
    : { [DEFAULT_CONTAINER]: services[0]?.name ?? '', ...template.annotations }
  return completed('/metadata/annotations', has.annotations ? annotations : undefined, members)
}
