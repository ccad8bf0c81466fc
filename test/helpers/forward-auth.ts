import { type AddressInfo, isIPv6 } from 'node:net'
import type { Test } from 'tap'
import type { AccessClaims } from '../../shared/access-token.ts'
import { systemClock } from '../../shared/clock.ts'
import { DEFAULT_IDENTITY_HEADERS, type IdentityHeaderNames } from '../../shared/identity-headers.ts'
import { createLog } from '../../shared/log.ts'
import { createMetrics } from '../../shared/metrics.ts'
import { buildAdmin } from '../../sidecar/admin.ts'
import type { Route } from '../../sidecar/domain/route.ts'
import { createForwardAuth } from '../../sidecar/proxy/forward-auth.ts'
import { trustedPeers } from '../../sidecar/proxy/peer.ts'
import { createRequestMetrics } from '../../sidecar/proxy/request-metrics.ts'
import type { KeyLookUp } from '../../sidecar/proxy/verdict.ts'
import { createDecisionState } from './decision-state.ts'
import { newKey, tokenOf } from './sidecar-proxy.ts'

export interface ForwardAuthOptions {
  routes?: Partial<Route>[]
  identityHeaders?: IdentityHeaderNames
  trusted?: string[]
  keys?: KeyLookUp
  host?: string
}

/** The second door alone, on a free port, with the real decision and without feeds; it ends with the test. */
export async function startForwardAuth(t: Test, options: ForwardAuthOptions = {}) {
  const { host = '127.0.0.1' } = options
  const clock = systemClock
  const lines: string[] = []
  const log = createLog('sidecar', 'info', { write: (line: string) => void lines.push(line) })
  const metrics = createMetrics()
  const key = newKey('key-1')
  const { ring, state } = createDecisionState(key, options.routes ?? [], clock)
  const { verifier, revocations } = state
  const forwardAuth = createForwardAuth({
    state,
    keys: options.keys ?? { lookUp: async () => 'absent' },
    identityHeaders: options.identityHeaders ?? DEFAULT_IDENTITY_HEADERS,
    isTrusted: trustedPeers(options.trusted ?? ['127.0.0.0/8', '::1']),
    metrics: createRequestMetrics(metrics, { size: 0 }, () => verifier.counts),
    clock,
    log,
  })
  const app = buildAdmin({ metrics, ready: () => [], revocations, forwardAuth, log })
  const connections = { taken: 0, open: 0 }
  app.server.on('connection', (socket) => {
    connections.taken++
    connections.open++
    socket.on('close', () => {
      connections.open--
    })
  })
  await app.listen({ host, port: 0 })
  t.teardown(() => app.close())
  const { port } = app.server.address() as AddressInfo
  return {
    url: `http://${isIPv6(host) ? `[${host}]` : host}:${port}`,
    port,
    key,
    ring,
    state,
    revocations,
    metrics,
    connections,
    /** What was logged, a structure a line. */
    entries: () => lines.map((line) => JSON.parse(line) as Record<string, unknown>),
    token: (claims?: Partial<AccessClaims>) => tokenOf(key, claims),
  }
}
