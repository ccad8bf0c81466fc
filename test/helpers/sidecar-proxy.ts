import { generateKeyPairSync, randomUUID } from 'node:crypto'
import type { ServerOptions } from 'node:https'
import type { Test } from 'tap'
import { ACCESS_TOKEN_TYPE, type AccessClaims } from '../../shared/access-token.ts'
import { type Clock, systemClock } from '../../shared/clock.ts'
import { DEFAULT_IDENTITY_HEADERS, type IdentityHeaderNames } from '../../shared/identity-headers.ts'
import { type SigningKeyPair, signJws } from '../../shared/jws.ts'
import { createLog } from '../../shared/log.ts'
import { createMetrics } from '../../shared/metrics.ts'
import type { Route } from '../../sidecar/domain/route.ts'
import { upstreamAddress } from '../../sidecar/domain/upstream.ts'
import { createOpenStreams } from '../../sidecar/proxy/open-streams.ts'
import { trustedPeers } from '../../sidecar/proxy/peer.ts'
import { createRequestMetrics } from '../../sidecar/proxy/request-metrics.ts'
import { createUpstreams } from '../../sidecar/proxy/upstreams.ts'
import type { KeyLookUp } from '../../sidecar/proxy/verdict.ts'
import { buildProxy, type ClientTimeouts } from '../../sidecar/server.ts'
import { createDecisionState, ISSUER } from './decision-state.ts'

export interface ProxyOptions {
  routes?: Partial<Route>[]
  identityHeaders?: IdentityHeaderNames
  forwardToken?: boolean
  trustProxy?: string[]
  keys?: KeyLookUp
  clock?: Clock
  host?: string
  tls?: ServerOptions
  upstreamCa?: string
  maxConnections?: number
  timeouts?: Partial<ClientTimeouts>
}

/** A new key pair that signs ES256. */
export function newKey(kid: string = randomUUID()): SigningKeyPair {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  return { kid, alg: 'ES256', key: publicKey, privateKey }
}

/** A token as the issuer signs it. */
export function tokenOf(key: SigningKeyPair, claims: Partial<AccessClaims> = {}): string {
  const iat = Math.floor(Date.now() / 1000)
  return signJws(key, ACCESS_TOKEN_TYPE, {
    iss: ISSUER,
    aud: 'sallyport',
    client_id: 'test',
    sub: randomUUID(),
    sid: randomUUID(),
    jti: randomUUID(),
    epoch: 0,
    roles: ['reader'],
    email: 'ada@example.com',
    tier: 'gold',
    iat,
    exp: iat + 300,
    ...claims,
  })
}

/** The proxy alone, on a free port, with the real decision and without feeds; it ends with the test. */
export async function startProxy(t: Test, upstreamUrl: string, options: ProxyOptions = {}) {
  const clock = options.clock ?? systemClock
  const lines: string[] = []
  const log = createLog('sidecar', 'info', { write: (line: string) => void lines.push(line) })
  const metrics = createMetrics()
  const key = newKey('key-1')
  const { ring, state } = createDecisionState(key, options.routes ?? [], clock)
  const { verifier, revocations, freshness } = state
  const openStreams = createOpenStreams()
  const upstreams = createUpstreams(upstreamAddress.read(upstreamUrl)!, {
    ca: options.upstreamCa,
    maxConnections: options.maxConnections ?? 10_000,
    metrics,
  })
  let draining = false
  const app = buildProxy({
    state,
    keys: options.keys ?? { lookUp: async () => 'absent' },
    upstreams,
    tls: options.tls,
    headerRules: {
      identityHeaders: options.identityHeaders ?? DEFAULT_IDENTITY_HEADERS,
      forwardToken: options.forwardToken ?? false,
      isTrusted: trustedPeers(options.trustProxy ?? []),
    },
    openStreams,
    metrics: createRequestMetrics(metrics, openStreams, () => verifier.counts),
    timeouts: { headersMs: 15_000, requestMs: 300_000, stallMs: 60_000, checkMs: 5000, ...options.timeouts },
    isDraining: () => draining,
    clock,
    log,
  })
  await app.listen({ host: options.host ?? '127.0.0.1', port: 0 })
  t.teardown(async () => {
    app.server.closeAllConnections()
    openStreams.endAll('draining')
    upstreams.destroy()
    await app.close()
  })
  const { port } = app.server.address() as { port: number }
  return {
    url: `http://${options.host?.includes(':') ? `[${options.host}]` : '127.0.0.1'}:${port}`,
    port,
    key,
    ring,
    state,
    freshness,
    openStreams,
    upstreams,
    app,
    lines,
    metrics,
    token: (claims?: Partial<AccessClaims>) => tokenOf(key, claims),
    /** What the feed does with a new revocation. */
    revoke(revocation: Parameters<typeof openStreams.cut>[0]) {
      revocations.add(revocation)
      openStreams.cut(revocation)
    },
    drain() {
      draining = true
    },
  }
}
