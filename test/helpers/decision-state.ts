import type { Clock } from '../../shared/clock.ts'
import { ALGORITHM_NAMES, type SigningKeyPair } from '../../shared/jws.ts'
import { createFreshness } from '../../sidecar/domain/freshness.ts'
import { createKeyRing } from '../../sidecar/domain/key-ring.ts'
import { createRevocationList } from '../../sidecar/domain/revocation-list.ts'
import { DEFAULT_ROUTE, type Route } from '../../sidecar/domain/route.ts'
import { createRouteTable } from '../../sidecar/domain/routes.ts'
import { createVerifier } from '../../sidecar/domain/verify.ts'

export const ISSUER = 'http://issuer.example'

/** All that a decision rests on, real and without feeds: one trusted key, nothing revoked, fresh as of now. */
export function createDecisionState(key: SigningKeyPair, routes: Partial<Route>[], clock: Clock) {
  const ring = createKeyRing({ maxStaleMs: 86_400_000 })
  ring.replace([key], clock.now())
  const revocations = createRevocationList()
  const freshness = createFreshness({ maxStalenessMs: 60_000, clock })
  freshness.advance('test', clock.now())
  const verifier = createVerifier({
    rules: { keyFor: ring.keyFor, algorithms: ALGORITHM_NAMES, issuer: ISSUER, audience: ['sallyport'] },
    cacheSize: 1000,
  })
  const table = createRouteTable(routes.map((route) => ({ ...DEFAULT_ROUTE, ...route })))
  return { ring, state: { routes: table, verifier, revocations, freshness } }
}
