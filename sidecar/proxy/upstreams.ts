import { gauge, type Metrics } from '../../shared/metrics.ts'
import type { Route } from '../domain/route.ts'
import type { Upstream } from '../domain/upstream.ts'
import type { ConnectionOptions, UpstreamConnections } from './upstream-connections.ts'
import { openHttp1 } from './upstream-http1.ts'
import { openHttp2 } from './upstream-http2.ts'

/** The services behind the sidecar. */
export interface Upstreams {
  /** The connections for a route's requests; those to another upstream than the default are made when first needed. */
  of(route: Route): UpstreamConnections
  /** Lets go of the upstreams that none of these routes has: what is under way there finishes. */
  retain(routes: readonly Route[]): void
  destroy(): void
}

/** @param main the upstream of routes that name none */
export function createUpstreams(main: Upstream, options: ConnectionOptions & { metrics: Metrics }): Upstreams {
  const open = (upstream: Upstream) =>
    upstream.protocol === 'http2' ? openHttp2(upstream, options) : openHttp1(upstream, options)
  const mainConnections = open(main)
  const others = new Map<string, UpstreamConnections>()
  const leaving = new Set<UpstreamConnections>()
  /** The addresses of the routes there are; none before they are known. */
  let used: ReadonlySet<string | undefined> | undefined

  const connectionsTo = (upstream: Upstream) => {
    if (upstream.address === main.address) return mainConnections
    let connections = others.get(upstream.address)
    if (!connections) {
      connections = open(upstream)
      if (!used || used.has(upstream.address)) others.set(upstream.address, connections)
      else leave(connections)
    }
    return connections
  }
  // Takes the requests all the same that were decided before a reload; each connection ends with its request.
  const leave = (connections: UpstreamConnections) => {
    forgetTheGone()
    leaving.add(connections)
    connections.close()
  }
  const forgetTheGone = () => {
    for (const connections of leaving) if (connections.size === 0) leaving.delete(connections)
  }
  gauge(
    options.metrics,
    'sidecar_upstream_connections',
    'Connections to the services behind, tunnels left out.',
    () => {
      forgetTheGone()
      return [mainConnections, ...others.values(), ...leaving].reduce((sum, { size }) => sum + size, 0)
    },
  )

  return {
    of: ({ upstream }) => (upstream === undefined ? mainConnections : connectionsTo(upstream)),
    retain(routes) {
      used = new Set(routes.map(({ upstream }) => upstream?.address))
      forgetTheGone()
      for (const [address, connections] of others) {
        if (used.has(address)) continue
        others.delete(address)
        leave(connections)
      }
    },
    destroy() {
      for (const connections of [mainConnections, ...others.values(), ...leaving]) connections.destroy()
    },
  }
}
