import fc from 'fast-check'
import { test } from 'tap'
import type { Revocation } from '../../../shared/revocation.ts'
import { type Decision, type DecisionState, decide } from '../../../sidecar/domain/decide.ts'
import { createFreshness } from '../../../sidecar/domain/freshness.ts'
import { createKeyRing } from '../../../sidecar/domain/key-ring.ts'
import { createRevocationList } from '../../../sidecar/domain/revocation-list.ts'
import { DEFAULT_ROUTE, type Route } from '../../../sidecar/domain/route.ts'
import { createRouteTable } from '../../../sidecar/domain/routes.ts'
import { createVerifier } from '../../../sidecar/domain/verify.ts'
import { accessClaims, accessToken, NOW_MS, NOW_S, tokenRules } from '../../helpers/access-tokens.ts'
import { signingKey } from '../../helpers/revocations.ts'
import { targets } from '../../helpers/targets.ts'

const key = signingKey('ES256', 'key-1')
const stranger = signingKey('ES256', 'key-9')

const ROUTES: Route[] = [
  { ...DEFAULT_ROUTE, name: 'public', path: '/public/**', access: 'public' },
  { ...DEFAULT_ROUTE, name: 'optional', path: '/optional', access: 'optional' },
  { ...DEFAULT_ROUTE, name: 'open', path: '/open', staleness: 'open' },
  { ...DEFAULT_ROUTE, name: 'admin', path: '/admin', roles: ['admin'] },
  { ...DEFAULT_ROUTE, name: 'read', path: '/items', methods: ['GET'], access: 'public' },
]

interface Situation {
  revoked?: Revocation[]
  /** How old the proof of completeness is: milliseconds; none at all when undefined. */
  ageMs?: number | undefined
}

function setUp({ revoked = [], ageMs = 0 }: Situation = {}): DecisionState {
  const ring = createKeyRing({ maxStaleMs: 60_000 })
  ring.replace([key], NOW_MS)
  const revocations = createRevocationList()
  for (const revocation of revoked) {
    revocations.add(revocation)
    if (revocation.kind === 'key') ring.revoke(revocation.kid)
  }
  const freshness = createFreshness({ maxStalenessMs: 60_000, clock: { now: () => NOW_MS } })
  freshness.advance('stream', NOW_MS - ageMs)
  return {
    routes: createRouteTable(ROUTES),
    verifier: createVerifier({ rules: tokenRules([], { keyFor: ring.keyFor }), cacheSize: 10 }),
    revocations,
    freshness,
  }
}

const bearer = (token: string) => ['Host', 'a', 'Authorization', `Bearer ${token}`]

/** A decision in one line: `allow <route> <who>` or `<code> <reason> <route>`. */
function inShort(decision: Decision): string {
  if (!decision.allow) return `${decision.code} ${decision.reason} ${decision.route?.name ?? '-'}`
  return `allow ${decision.route.name} ${decision.identity?.claims.roles ?? '-'}${decision.stale ? ' stale' : ''}`
}

const GOOD = accessToken(key)
const EXPIRED = accessToken(key, { iat: NOW_S - 600, exp: NOW_S - 300 })
const ADMIN = accessToken(key, { roles: ['admin'] })
const { sid, sub } = accessClaims()
const EXP = NOW_S + 310
const SESSION: Revocation = { kind: 'session', sid, sub, exp: EXP }
const USER: Revocation = { kind: 'user', sub, epoch: 1, exp: EXP }
const KEY: Revocation = { kind: 'key', kid: 'key-1', exp: 2 ** 40 }
const STALE = 60_001

const ROWS: [name: string, request: string, headers: string[], situation: Situation, decision: string][] = [
  ['an ambiguous target', 'GET /a/../b', bearer(GOOD), {}, 'invalid_target path_segments -'],
  ['an ambiguous target below a public route', 'GET /public//a', [], {}, 'invalid_target path_segments -'],
  ['a method that is not forwarded', 'TRACE /public/a', [], {}, 'method_not_allowed method -'],
  ['public, no token', 'GET /public/a', [], {}, 'allow public -'],
  ['public, a bad token is not even looked at', 'GET /public/a', bearer('x'), {}, 'allow public -'],
  ['public, nothing known of revocations', 'GET /public/a', [], { ageMs: STALE }, 'allow public -'],
  ['public for GET, HEAD too', 'HEAD /items', [], {}, 'allow read -'],
  ['public for GET, not for POST', 'POST /items', [], {}, 'token_missing token_missing default'],
  ['no rule, no token', 'GET /other', [], {}, 'token_missing token_missing default'],
  ['no rule, a good token', 'GET /other', bearer(GOOD), {}, 'allow default user'],
  ['required, no token', 'GET /open', [], {}, 'token_missing token_missing open'],
  [
    'required, another scheme',
    'GET /other',
    ['Authorization', 'Basic YQ=='],
    {},
    'token_invalid authorization_scheme default',
  ],
  [
    'required, two headers',
    'GET /other',
    [...bearer(GOOD), ...bearer(GOOD)],
    {},
    'token_invalid authorization_repeated default',
  ],
  [
    'required, two credentials in one',
    'GET /other',
    bearer(`${GOOD}, Bearer ${GOOD}`),
    {},
    'token_invalid authorization_malformed default',
  ],
  ['required, garbage', 'GET /other', bearer('garbage'), {}, 'token_invalid token_malformed default'],
  ['required, a token with a tab', 'GET /other', bearer(`${GOOD}\t`), {}, 'token_invalid token_malformed default'],
  ['required, expired', 'GET /other', bearer(EXPIRED), {}, 'token_invalid token_expired default'],
  ['required, an unknown key', 'GET /other', bearer(accessToken(stranger)), {}, 'keys_unavailable key_unknown default'],
  [
    'required, the session revoked',
    'GET /other',
    bearer(GOOD),
    { revoked: [SESSION] },
    'token_invalid token_revoked default',
  ],
  [
    'required, the user revoked',
    'GET /other',
    bearer(GOOD),
    { revoked: [USER] },
    'token_invalid token_revoked default',
  ],
  [
    'required, the user logged in again',
    'GET /other',
    bearer(accessToken(key, { epoch: 1 })),
    { revoked: [USER] },
    'allow default user',
  ],
  ['required, the key revoked', 'GET /other', bearer(GOOD), { revoked: [KEY] }, 'token_invalid token_revoked default'],
  [
    'required, revocations stale',
    'GET /other',
    bearer(GOOD),
    { ageMs: STALE },
    'revocations_stale revocations_stale default',
  ],
  ['required, at the bound', 'GET /other', bearer(GOOD), { ageMs: STALE - 1 }, 'allow default user'],
  [
    'required, nothing ever known',
    'GET /other',
    bearer(GOOD),
    { ageMs: Number.NaN },
    'revocations_stale revocations_stale default',
  ],
  [
    'stale, but revoked is revoked',
    'GET /open',
    bearer(GOOD),
    { ageMs: STALE, revoked: [SESSION] },
    'token_invalid token_revoked open',
  ],
  ['stale, and the route is open', 'GET /open', bearer(GOOD), { ageMs: STALE }, 'allow open user stale'],
  ['fresh, and the route is open', 'GET /open', bearer(GOOD), {}, 'allow open user'],
  ['optional, no token', 'GET /optional', [], {}, 'allow optional -'],
  ['optional, no token and stale', 'GET /optional', [], { ageMs: STALE }, 'allow optional -'],
  ['optional, a good token', 'GET /optional', bearer(GOOD), {}, 'allow optional user'],
  ['optional, garbage', 'GET /optional', bearer('garbage'), {}, 'token_invalid token_malformed optional'],
  ['optional, expired', 'GET /optional', bearer(EXPIRED), {}, 'token_invalid token_expired optional'],
  ['optional, revoked', 'GET /optional', bearer(GOOD), { revoked: [SESSION] }, 'token_invalid token_revoked optional'],
  [
    'optional, another scheme',
    'GET /optional',
    ['Authorization', 'Basic YQ=='],
    {},
    'token_invalid authorization_scheme optional',
  ],
  [
    'optional, an empty header',
    'GET /optional',
    ['Authorization', ''],
    {},
    'token_invalid authorization_scheme optional',
  ],
  [
    'optional, a good token but stale',
    'GET /optional',
    bearer(GOOD),
    { ageMs: STALE },
    'revocations_stale revocations_stale optional',
  ],
  ['a role that is missing', 'GET /admin', bearer(GOOD), {}, 'forbidden role_missing admin'],
  ['a role that is there', 'GET /admin', bearer(ADMIN), {}, 'allow admin admin'],
  [
    'a role that is missing, and revoked',
    'GET /admin',
    bearer(GOOD),
    { revoked: [SESSION] },
    'token_invalid token_revoked admin',
  ],
]

test('every way through the decision', async (t) => {
  for (const [name, request, rawHeaders, situation, expected] of ROWS) {
    const [method = '', target = ''] = request.split(' ')
    t.equal(inShort(decide({ method, target, rawHeaders }, setUp(situation), NOW_MS)), expected, name)
  }
})

test('says who asks, what is forwarded and which key is missing', async (t) => {
  const state = setUp()
  const allowed = decide({ method: 'GET', target: '/a%20b?c=%2f', rawHeaders: bearer(GOOD) }, state, NOW_MS)
  t.match(allowed, { allow: true, target: '/a%20b?c=%2f', identity: { kid: 'key-1', claims: accessClaims() } })
  const unknown = decide({ method: 'GET', target: '/a', rawHeaders: bearer(accessToken(stranger)) }, state, NOW_MS)
  t.match(unknown, { allow: false, missingKid: 'key-9' })
  const denied = decide({ method: 'GET', target: '/a', rawHeaders: [] }, state, NOW_MS)
  t.notOk('missingKid' in denied)
})

test('a revocation holds from the next request on, whatever the cache knows', async (t) => {
  const state = setUp()
  const request = { method: 'GET', target: '/a', rawHeaders: bearer(GOOD) }
  t.equal(inShort(decide(request, state, NOW_MS)), 'allow default user')
  t.equal(inShort(decide(request, state, NOW_MS)), 'allow default user')
  t.equal(state.verifier.counts.hits, 1)
  state.revocations.add(SESSION)
  t.equal(inShort(decide(request, state, NOW_MS)), 'token_invalid token_revoked default')
})

// The good and the bad, as a client could send them.
const CREDENTIALS: [what: string, rawHeaders: string[]][] = [
  ['none', []],
  ['good', bearer(GOOD)],
  ['good', bearer(ADMIN)],
  ['good', ['authorization', `bearer ${GOOD}`]],
  ['bad', bearer(EXPIRED)],
  ['bad', bearer(accessToken(stranger))],
  ['bad', bearer(accessToken({ ...stranger, kid: 'key-1' }))],
  ['bad', bearer(accessToken(key, { iss: 'https://another.example' }))],
  ['bad', bearer(accessToken(key, { aud: 'another' }))],
  ['bad', bearer(accessToken(key, { sid: undefined }))],
  ['bad', bearer(accessToken(key, { epoch: '0' }))],
  ['bad', bearer(accessToken(key, {}, 'secevent+jwt'))],
  ['bad', bearer(GOOD.slice(0, -2))],
  ['bad', bearer('')],
  ['bad', ['Authorization', GOOD]],
  ['bad', ['Authorization', 'Basic YQ==']],
  ['bad', [...bearer(GOOD), 'authorization', `Bearer ${GOOD}`]],
]

test('no request without a valid, unrevoked token is allowed where one is required', async (t) => {
  let [allowed, denied] = [0, 0]
  const request = fc.record({
    method: fc.constantFrom('GET', 'HEAD', 'POST', 'DELETE', 'TRACE', 'get'),
    target: fc.oneof(targets, fc.constantFrom('/other', '/optional', '/open', '/admin', '/items', '/public/a')),
    credential: fc.constantFrom(...CREDENTIALS),
  })
  const situation = fc.record({
    revoked: fc.subarray([SESSION, USER, KEY]),
    ageMs: fc.constantFrom(0, 1000, STALE, Number.NaN),
  })
  fc.assert(
    fc.property(fc.array(request, { minLength: 1, maxLength: 5 }), situation, (requests, given) => {
      const state = setUp(given)
      for (const { method, target, credential } of requests) {
        const [what, rawHeaders] = credential
        const decision = decide({ method, target, rawHeaders }, state, NOW_MS)
        if (!decision.allow) {
          denied++
          continue
        }
        allowed++
        const { route, identity, stale } = decision
        const needsNone = route.access === 'public' || (route.access === 'optional' && what === 'none')
        if (decision.target !== target) throw new Error('something else is forwarded')
        if (needsNone !== (identity === undefined)) throw new Error('an identity out of nothing, or none')
        if (needsNone) continue
        if (what !== 'good') throw new Error('allowed with a bad token')
        if (given.revoked.length > 0) throw new Error('allowed with a revoked token')
        if (stale && route.staleness !== 'open') throw new Error('allowed though it cannot be known')
        if (!stale && !(given.ageMs < STALE)) throw new Error('stale, and not said so')
        if (route.roles.some((role) => !identity?.claims.roles.includes(role)))
          throw new Error('allowed without the role')
      }
    }),
    { numRuns: 1000 },
  )
  t.ok(allowed > 100 && denied > 100, `${allowed} were allowed and ${denied} denied`)
})
