import { type Fields, isObject, member, objects } from './document.ts'
import { type EnvironmentVariable, literal, type SidecarTemplate } from './template.ts'

/** Where the sidecar listens inside the Pod. */
export interface SidecarPorts {
  proxy: number
  admin: number
}

/** What one Pod's sidecar has of its own. */
export interface Wishes {
  upstream: string
  ports: SidecarPorts
  /** The ConfigMap that holds its rules for paths. */
  routes: string | undefined
  audience: string | undefined
}

/** What a Pod gets. */
export interface Added {
  container: Fields
  volumes: readonly Fields[]
}

/** Where the rules for paths are, as the charts have it. */
export const ROUTES_VOLUME = 'sallyport-routes'
const ROUTES_FOLDER = '/run/sallyport/routes'
const ROUTES_FILE = 'routes.yaml'

/** The ports that the template has the sidecar listen on. @param usual the settings' defaults */
export function templatePorts({ env }: SidecarTemplate, usual: SidecarPorts): SidecarPorts {
  const portOf = (name: string, fallback: number) => Number(literal(env, name) ?? fallback)
  return { proxy: portOf('SIDECAR_PORT', usual.proxy), admin: portOf('SIDECAR_ADMIN_PORT', usual.admin) }
}

/** The template's container and volumes as one Pod gets them. @param usual where the template has the sidecar listen */
export function containerFor(
  template: SidecarTemplate,
  usual: SidecarPorts,
  { upstream, ports, routes, audience }: Wishes,
): Added {
  const env = new Map([['UPSTREAM', upstream]])
  if (ports.proxy !== usual.proxy) env.set('SIDECAR_PORT', String(ports.proxy))
  if (ports.admin !== usual.admin) env.set('SIDECAR_ADMIN_PORT', String(ports.admin))
  if (audience !== undefined) env.set('AUDIENCE', audience)
  if (routes !== undefined) env.set('ROUTES_FILE', `${ROUTES_FOLDER}/${ROUTES_FILE}`)
  const moved = new Map([
    [usual.proxy, ports.proxy],
    [usual.admin, ports.admin],
  ])
  const container = { ...withPorts(template.container, moved), env: withVariables(template.env, env) }
  if (routes === undefined) return { container, volumes: template.volumes }
  const mount = { name: ROUTES_VOLUME, mountPath: ROUTES_FOLDER, readOnly: true }
  const volume = { name: ROUTES_VOLUME, configMap: { name: routes } }
  const mounts = objects(member(container, 'volumeMounts')) ?? []
  return {
    container: { ...container, volumeMounts: [...mounts.filter(({ name }) => name !== ROUTES_VOLUME), mount] },
    volumes: [...template.volumes.filter(({ name }) => name !== ROUTES_VOLUME), volume],
  }
}

/** Each variable in the place it has in the template; what that does not have comes after. */
function withVariables(
  env: readonly EnvironmentVariable[],
  values: ReadonlyMap<string, string>,
): EnvironmentVariable[] {
  const known = env.map((variable) => {
    const value = values.get(variable.name)
    return value === undefined ? variable : { name: variable.name, value }
  })
  const added = [...values].filter(([name]) => env.every((variable) => variable.name !== name))
  return [...known, ...added.map(([name, value]) => ({ name, value }))]
}

/** The container with other ports, wherever they are: in its list of ports, and in probes and hooks, by number or URL. */
function withPorts(container: SidecarTemplate['container'], moved: ReadonlyMap<number, number>): Fields {
  const replaced = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(replaced)
    if (typeof value === 'string') {
      return value.replace(/^(https?:\/\/[^/]*:)(\d+)(?=\/)/, (_all, host, port) => {
        return `${host}${moved.get(Number(port)) ?? port}`
      })
    }
    if (!isObject(value)) return value
    return Object.fromEntries(
      Object.entries(value).map(([name, inner]) => {
        const isPort = (name === 'port' || name === 'containerPort') && typeof inner === 'number'
        return [name, isPort ? (moved.get(inner) ?? inner) : replaced(inner)]
      }),
    )
  }
  const places = ['ports', 'startupProbe', 'livenessProbe', 'readinessProbe', 'lifecycle']
  return Object.fromEntries(
    Object.entries(container).map(([name, value]) => [name, places.includes(name) ? replaced(value) : value]),
  )
}
