import type { Pod, PodContainer } from './pod.ts'
import type { SidecarPorts } from './pod-container.ts'
import { type PodSettings, PREFIX } from './pod-settings.ts'
import { literal, type SidecarTemplate } from './template.ts'

export interface PodUpstream {
  /** As in the setting `UPSTREAM`. */
  address: string
  port: number | undefined
}

/** Names of ports that are beside a service: were one taken for it, the service itself would have no sidecar. */
const BESIDE = /metric|prom|admin|manage|health|prob|debug|status/i

/**
 * Where the service is. What a Pod says is always a port of its own: what others can reach without the sidecar is not
 * behind it.
 * @returns a text that says what is missing, for a Pod that leaves it open
 */
export function upstreamOf({ containers }: Pod, settings: PodSettings, { env }: SidecarTemplate): PodUpstream | string {
  const protocol = settings['upstream-protocol'] ?? 'http'
  const at = (port: number) => ({ address: `${protocol}://127.0.0.1:${port}`, port })
  if (settings['upstream-port'] !== undefined) return at(settings['upstream-port'])
  const usual = literal(env, 'UPSTREAM')
  if (usual !== undefined && settings['upstream-protocol'] === undefined) {
    const port = /:(\d{1,5})\/?$/.exec(usual)?.[1]
    return { address: usual, port: port === undefined ? undefined : Number(port) }
  }
  const services = containers.filter(({ isInit }) => !isInit).flatMap(({ ports }) => ports)
  const declared = [...new Set(services.map(({ port }) => port))]
  const [only] = services
  if (declared.length === 1 && !services.some(({ name }) => BESIDE.test(name))) return at(only!.port)
  const named = services.map(({ port, name }) => (name === '' ? port : `${port} (${name})`))
  const found =
    declared.length === 0 ? 'no container declares one' : `its containers declare ${[...new Set(named)].join(', ')}`
  return `annotation ${PREFIX}upstream-port: is needed: the port on which the service listens (${found})`
}

/**
 * @param usual where the template has the sidecar listen: Services and NetworkPolicies of a namespace lead there
 * @returns what keeps service and sidecar from listening in one Pod, or opens a way around the sidecar
 */
export function portConflict(
  containers: readonly PodContainer[],
  { proxy, admin }: SidecarPorts,
  usual: SidecarPorts,
  upstream: number | undefined,
): string | undefined {
  if (proxy === admin) return `port ${proxy}: the sidecar needs two ports: ${PREFIX}port and ${PREFIX}admin-port`
  const owners = new Map([
    [proxy, `port`],
    [admin, `admin-port`],
  ])
  const advice = (port: number) => `let the service listen elsewhere, or set annotation ${PREFIX}${owners.get(port)}`
  if (upstream !== undefined && owners.has(upstream)) {
    return `port ${upstream}: the sidecar listens on the port of the service itself; ${advice(upstream)}`
  }
  if (upstream === usual.proxy || upstream === usual.admin) {
    return `port ${upstream}: other Pods' sidecars have it, so what is meant for them would reach the service; let the service listen elsewhere`
  }
  for (const { name, ports, stays } of containers) {
    if (!stays) continue
    const taken = ports.find(({ port }) => owners.has(port))
    if (taken) return `container ${name}: port ${taken.port} is the sidecar's; ${advice(taken.port)}`
  }
  return undefined
}
