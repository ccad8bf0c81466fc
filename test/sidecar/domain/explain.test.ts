import { globSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import fc from 'fast-check'
import { test } from 'tap'
import { judgeWithoutSignature } from '../../../shared/access-token.ts'
import type { Revocation } from '../../../shared/revocation.ts'
import { type DecisionState, decide } from '../../../sidecar/domain/decide.ts'
import { type Explanation, explain, type Known, STEPS } from '../../../sidecar/domain/explain.ts'
import { createFreshness } from '../../../sidecar/domain/freshness.ts'
import { createKeyRing } from '../../../sidecar/domain/key-ring.ts'
import { createRevocationList } from '../../../sidecar/domain/revocation-list.ts'
import { DEFAULT_ROUTE, type Route } from '../../../sidecar/domain/route.ts'
import { createRouteTable } from '../../../sidecar/domain/routes.ts'
import { METHODS } from '../../../sidecar/domain/target.ts'
import { createVerifier } from '../../../sidecar/domain/verify.ts'
import { accessClaims, accessToken, NOW_MS, NOW_S, tokenRules } from '../../helpers/access-tokens.ts'
import { signingKey } from '../../helpers/revocations.ts'
import { targets } from '../../helpers/targets.ts'

const key = signingKey('ES256', 'key-1')
const stranger = signingKey('ES256', 'key-9')
const forged = { ...stranger, kid: 'key-1' }

const ROUTES: Route[] = [
  { ...DEFAULT_ROUTE, name: 'public', path: '/public/**', access: 'public' },
  { ...DEFAULT_ROUTE, name: 'optional', path: '/optional', access: 'optional' },
  { ...DEFAULT_ROUTE, name: 'open', path: '/open', staleness: 'open' },
  { ...DEFAULT_ROUTE, name: 'admin', path: '/admin', roles: ['admin', 'root'] },
  { ...DEFAULT_ROUTE, name: 'scoped', path: '/scoped', scopes: ['a:read'] },
  { ...DEFAULT_ROUTE, name: 'tier', path: '/tier', claims: [{ claim: 'tier', equals: 'pro' }] },
  { ...DEFAULT_ROUTE, name: 'mail', path: '/mail', verifiedEmail: true },
  { ...DEFAULT_ROUTE, name: 'write', path: '/items', methods: ['POST'], access: 'public' },
]

const ALL: Known = { keys: 'file', revocations: true }

function setUp(revoked: Revocation[] = [], ageMs = 0, keys: Known['keys'] = 'file'): DecisionState {
  const ring = createKeyRing({ maxStaleMs: 60_000 })
  ring.replace([key], NOW_MS)
  const revocations = createRevocationList()
  for (const revocation of revoked) {
    revocations.add(revocation)
    if (revocation.kind === 'key') ring.revoke(revocation.kid)
  }
  const freshness = createFreshness({ maxStalenessMs: 60_000, clock: { now: () => NOW_MS } })
  freshness.advance('stream', NOW_MS - ageMs)
  const rules = tokenRules([], { keyFor: ring.keyFor })
  const unsigned = {
    verify: (token: string, nowMs: number) => judgeWithoutSignature(token, rules, nowMs),
    counts: { hits: 0, misses: 0, size: 0 },
  }
  const verifier = keys === 'none' ? unsigned : createVerifier({ rules, cacheSize: 10 })
  return { routes: createRouteTable(ROUTES), verifier, revocations, freshness }
}

const requestOf = (method: string, target: string, token?: string) => ({
  method,
  target,
  rawHeaders: token === undefined ? [] : ['Authorization', `Bearer ${token}`],
})

/** The outcome of each step, a letter each in their order: passed, failed, unknown, skipped. */
const outcomes = ({ steps }: Explanation) => steps.map(({ outcome }) => outcome[0]).join('')
const found = ({ steps }: Explanation, name: string) => steps.find((step) => step.name === name)?.found

const { sid, sub } = accessClaims()
const SESSION: Revocation = { kind: 'session', sid, sub, exp: NOW_S + 310 }
const KEY: Revocation = { kind: 'key', kid: 'key-1', exp: 2 ** 40 }

test('each step says what it found; the one that failed names the reason', async (t) => {
  const rows: [request: [string, string, string?], steps: string, verdict: string, status: number | undefined][] = [
    [['GET', '/a/../b'], 'fssssss', 'refused', 400],
    [['get', '/a'], 'fssssss', 'refused', 405],
    [['GET', '/other'], 'ppfssss', 'refused', 401],
    [['GET', '/other', 'a b'], 'ppfssss', 'refused', 401],
    [['GET', '/other', 'x'], 'pppfsss', 'refused', 401],
    [['GET', '/other', accessToken(forged)], 'pppfsss', 'refused', 401],
    [['GET', '/other', accessToken(stranger)], 'pppfsss', 'refused', 503],
    [['GET', '/other', accessToken(key, { exp: NOW_S - 200, iat: NOW_S - 300 })], 'pppfsss', 'refused', 401],
    [['GET', '/other', accessToken(key)], 'ppppppp', 'allowed', undefined],
    [['GET', '/admin', accessToken(key)], 'ppppppf', 'refused', 403],
    [['GET', '/admin', accessToken(key, { roles: ['root'] })], 'ppppppp', 'allowed', undefined],
    [['GET', '/public/a', 'x'], 'ppsssss', 'allowed', undefined],
    [['GET', '/optional'], 'pppssss', 'allowed', undefined],
    [['GET', '/optional', 'x'], 'pppfsss', 'refused', 401],
  ]
  for (const [request, steps, verdict, status] of rows) {
    const explanation = explain(requestOf(...request), setUp(), ALL, NOW_MS)
    const name = `${request[0]} ${request[1]} ${request[2]?.length ?? ''}`
    t.equal(outcomes(explanation), steps, name)
    t.same([explanation.verdict, explanation.status], [verdict, status], name)
  }
  const token = accessToken(key)
  const revoked = explain(requestOf('GET', '/other', token), setUp([SESSION]), ALL, NOW_MS)
  t.same([outcomes(revoked), revoked.status], ['ppppfss', 401])
  const keyRevoked = explain(requestOf('GET', '/other', token), setUp([KEY]), ALL, NOW_MS)
  t.same([outcomes(keyRevoked), found(keyRevoked, 'verify')], ['pppsfss', 'its key was revoked'])
  const stale = explain(requestOf('GET', '/other', token), setUp([], 70_000), ALL, NOW_MS)
  t.same([outcomes(stale), stale.status], ['pppppfs', 503])
  const served = explain(requestOf('GET', '/open', token), setUp([], 70_000), ALL, NOW_MS)
  t.same([outcomes(served), served.verdict], ['ppppppp', 'allowed'])
  t.match(found(served, 'fresh?'), /^no, but the route says staleness: open$/)

  const role = explain(requestOf('GET', '/admin', token), setUp(), ALL, NOW_MS)
  t.equal(
    found(role, 'policy'),
    'it has none of the roles; asked for: role admin or root; the token has roles user, scope none',
  )
  t.equal(found(revoked, 'route'), 'no rule matches, so a valid token is needed')
  t.match(found(explain(requestOf('GET', '/open', token), setUp(), ALL, NOW_MS), 'verify'), /expires in 5m$/)
})

test('a key that the issuer was asked for and does not have is 401, as in the guard', async (t) => {
  const request = requestOf('GET', '/other', accessToken(stranger))
  const { decision, status, steps } = explain(request, setUp(), { ...ALL, keys: 'issuer' }, NOW_MS)
  t.match(decision, { allow: false, code: 'token_invalid', reason: 'key_absent' })
  t.match([status, steps[3]], [401, { outcome: 'failed', found: 'the issuer has no such key' }])
})

test('what is not known is told as not known', async (t) => {
  const known: Known = { keys: 'none', revocations: false }
  const unsigned = (method: string, target: string, token?: string) =>
    explain(requestOf(method, target, token), setUp([], 0, 'none'), known, NOW_MS)
  const good = unsigned('GET', '/admin', accessToken(forged, { roles: ['admin'] }))
  t.same([outcomes(good), good.verdict, good.status], ['pppuuuu', 'undecided', undefined])
  t.match(found(good, 'verify'), /^signature not checked/)
  t.match(found(good, 'fresh?'), /503 \(staleness: closed\)$/)
  t.match(found(unsigned('GET', '/open', accessToken(key)), 'fresh?'), /served, counted and logged/)
  const denied = unsigned('GET', '/admin', accessToken(key))
  t.same([outcomes(denied), denied.verdict, denied.status], ['pppuuuf', 'refused', 403])
  t.match(found(denied, 'policy'), /the signature was not checked: 401 if it is wrong$/)
  t.equal(unsigned('GET', '/other', accessToken(key, { aud: 'another' })).verdict, 'refused')
  t.equal(unsigned('GET', '/public/a', 'x').verdict, 'allowed', 'no token is needed')
  t.equal(unsigned('GET', '/optional').verdict, 'allowed')
  const signed = explain(requestOf('GET', '/other', accessToken(key)), setUp(), { ...known, keys: 'issuer' }, NOW_MS)
  t.same([outcomes(signed), signed.verdict], ['ppppuup', 'allowed'])
})

test('says which rules were passed over, and by what', async (t) => {
  const { passedOver } = explain(requestOf('GET', '/items'), setUp(), ALL, NOW_MS)
  t.equal(passedOver.length, ROUTES.length)
  t.match(passedOver.at(-1), { route: { name: 'write' }, methodMatches: false, pathMatches: true })
  t.match(passedOver[0], { route: { name: 'public' }, methodMatches: true, pathMatches: false })
  t.same(explain(requestOf('GET', '/public/a'), setUp(), ALL, NOW_MS).passedOver, [])
})

const TOKENS = [
  undefined,
  '',
  'x',
  'a b',
  'y'.repeat(9000),
  accessToken(key),
  accessToken(key, { roles: ['admin'], scope: 'a:read', tier: 'pro', email_verified: true }),
  accessToken(key, { exp: NOW_S - 300, iat: NOW_S - 600 }),
  accessToken(key, { iat: NOW_S + 100 }),
  accessToken(key, { iss: 'https://another.example' }),
  accessToken(key, { aud: 'another' }),
  accessToken(key, { sid: undefined }),
  accessToken(key, {}, 'secevent+jwt'),
  accessToken(stranger),
  accessToken(forged),
]

test('the verdict is that of decide, the step that failed is named, and no token is told', async (t) => {
  const reasons = new Set<string>()
  const request = fc.record({
    method: fc.constantFrom(...METHODS, 'TRACE', 'get'),
    target: fc.oneof(
      targets,
      fc.constantFrom(...ROUTES.map(({ path }) => path.replace('**', 'a')), '/other', `/${'a'.repeat(8192)}`, '*'),
    ),
    token: fc.constantFrom(...TOKENS),
  })
  const situation = fc.record({
    revoked: fc.subarray([SESSION, KEY]),
    ageMs: fc.constantFrom(0, 70_000, Number.NaN),
    keys: fc.constantFrom('file' as const, 'none' as const),
  })
  fc.assert(
    fc.property(request, situation, ({ method, target, token }, { revoked, ageMs, keys }) => {
      const facts = requestOf(method, target, token)
      const explanation = explain(facts, setUp(revoked, ageMs, keys), { keys, revocations: true }, NOW_MS)
      const { decision, steps, verdict } = explanation
      const own = decide(facts, setUp(revoked, ageMs, keys), NOW_MS)
      if (JSON.stringify(own) !== JSON.stringify(decision)) throw new Error('another decision')
      if (steps.map(({ name }) => name).join() !== STEPS.join()) throw new Error('other steps')
      const failed = steps.filter(({ outcome }) => outcome === 'failed').length
      if (failed !== (decision.allow ? 0 : 1)) throw new Error('not the one step that failed')
      if (!steps.every((step) => step.found !== '')) throw new Error('a step that says nothing')
      if (!decision.allow) reasons.add(decision.reason)
      if (verdict === 'allowed' && !decide(facts, setUp(revoked, ageMs), NOW_MS).allow) throw new Error('not allowed')
      if (!token || token.length < 20) return
      const parts = [token, ...token.split('.')].filter((part) => part.length > 8)
      if (parts.some((part) => JSON.stringify(steps).includes(part))) throw new Error('the token is told')
    }),
    { numRuns: 3000 },
  )
  t.ok(reasons.size > 12, `${[...reasons]}`)
})

test('only the explanation judges a token without its signature', async (t) => {
  const root = fileURLToPath(new URL('../../..', import.meta.url))
  const users = globSync('{bin,issuer,sidecar,shared}/**/*.ts', { cwd: root }).filter((file) =>
    readFileSync(`${root}${file}`, 'utf8').includes('judgeWithoutSignature'),
  )
  t.same(users.sort(), ['shared/access-token.ts', 'sidecar/explain-request.ts'])
})
