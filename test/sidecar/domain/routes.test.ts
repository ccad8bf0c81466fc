import fc from 'fast-check'
import { test } from 'tap'
import { DEFAULT_ROUTE, type Route } from '../../../sidecar/domain/route.ts'
import { createRouteTable, shadowedRoutes } from '../../../sidecar/domain/routes.ts'
import { METHODS, readTarget } from '../../../sidecar/domain/target.ts'
import { targets } from '../../helpers/targets.ts'

function route(path: string, instead: Partial<Route> = {}): Route {
  return { ...DEFAULT_ROUTE, path, name: path, ...instead }
}

test('the first rule that matches decides', async (t) => {
  const routes = [route('/a/b'), route('/a/*'), route('/a/**'), route('/b', { methods: ['POST'] }), route('/b')]
  const table = createRouteTable(routes)
  t.equal(table.routes, routes)
  t.equal(table.match('GET', '/a/b'), routes[0])
  t.equal(table.match('GET', '/a/c'), routes[1])
  t.equal(table.match('GET', '/a/c/d'), routes[2])
  t.equal(table.match('POST', '/b'), routes[3])
  t.equal(table.match('GET', '/b'), routes[4])
})

test('where no rule matches a token is required', async (t) => {
  t.equal(createRouteTable([]).match('GET', '/'), DEFAULT_ROUTE)
  t.equal(createRouteTable([route('/a', { access: 'public' })]).match('GET', '/b'), DEFAULT_ROUTE)
  t.equal(DEFAULT_ROUTE.access, 'required')
  t.equal(DEFAULT_ROUTE.staleness, 'closed')
})

test('a rule for GET is one for HEAD, and for no other', async (t) => {
  const table = createRouteTable([route('/a', { methods: ['GET'] }), route('/b', { methods: ['HEAD'] })])
  for (const method of METHODS) {
    t.equal(table.match(method, '/a').path === '/a', method === 'GET' || method === 'HEAD', `/a ${method}`)
    t.equal(table.match(method, '/b').path === '/b', method === 'HEAD', `/b ${method}`)
  }
})

test('a malformed pattern is no table', async (t) => {
  t.throws(() => createRouteTable([route('a')]), /begins with/)
})

test('rules that can never decide are found', async (t) => {
  const shadowed = (...routes: Route[]) => shadowedRoutes(routes)
  t.same(shadowed(route('/a'), route('/b'), route('/a/')), [[2, [0]]])
  t.same(shadowed(route('/**'), route('/a'), route('/b')), [
    [1, [0]],
    [2, [0]],
  ])
  t.same(shadowed(route('/a'), route('/**')), [])
  t.same(shadowed(route('/*/b'), route('/a/*')), [])
  t.same(shadowed(route('/a', { methods: ['GET'] }), route('/a')), [])
  t.same(shadowed(route('/a', { methods: ['GET'] }), route('/a', { methods: ['HEAD'] })), [[1, [0]]])
  t.same(shadowed(route('/a', { methods: ['GET', 'PUT'] }), route('/a', { methods: ['PUT', 'POST'] })), [])
  t.same(shadowed(route('/a'), route('/a', { methods: ['PUT'] })), [[1, [0]]])
  const [read, write] = [{ methods: ['GET'] }, { methods: ['POST', 'PUT'] }]
  t.same(shadowed(route('/a', write), route('/**', read), route('/a', { methods: ['HEAD', 'PUT'] })), [[2, [0, 1]]])
  t.same(shadowed(route('/a', write), route('/**', read), route('/a', { methods: ['GET', 'PATCH'] })), [])
})

/** All the ways in which servers read a path, one after the other in any order. */
function readings(target: string): string[] {
  const steps: ((path: string) => string)[] = [
    (path) => path.replaceAll('\\', '/'),
    (path) => path.replace(/;[^/]*/g, ''),
    (path) => path.replace(/%[0-9a-f]{2}/gi, (code) => String.fromCharCode(Number.parseInt(code.slice(1), 16))),
    (path) => path.replace(/\/{2,}/g, '/'),
    (path) => path.replace(/[\0\t ]+(?=\/|$)/g, '').replace(/(?<=\/)[\0\t ]+/g, ''),
    (path) => new URL(`http://host${path.replace(/[?#]/g, encodeURIComponent).replace(/^\/+/, '/')}`).pathname,
  ]
  const found = new Set([target.split(/[?#]/, 1)[0]!])
  for (let round = 0; round < 3; round++) {
    for (const path of [...found]) for (const step of steps) found.add(step(path))
  }
  return [...found]
}

test('path confusion (CVE-2026-33494, CVE-2021-31920, CVE-2025-54576, CVE-2026-40575): no reading slips past a rule', async (t) => {
  const admin = route('/admin/**', { roles: ['admin'] })
  const table = createRouteTable([admin, route('/public/**', { access: 'public' })])
  const guarded = (path: string) => /^\/admin(?:\/|$)/.test(path)
  let reached = 0
  fc.assert(
    fc.property(targets, (text) => {
      if (!readings(text).some(guarded)) return
      const target = readTarget('GET', text)
      if (!target.ok) return
      reached++
      if (table.match('GET', target.path) !== admin) throw new Error('some server reads this as /admin')
    }),
    { numRuns: 20_000 },
  )
  t.ok(reached > 20, `${reached} were let through, to the guarded rule`)
  for (const text of [
    '/admin?/public',
    '/admin?x=/public/',
    '/admin/?#/public',
    '/public/../admin',
    '/public/%2e%2e/admin',
  ]) {
    const target = readTarget('GET', text)
    t.ok(!target.ok || table.match('GET', target.path) === admin, text)
  }
})

// Literals that are something else to a regular expression, to a decoder, or to who ignores case.
const LITERALS = ['a', 'A', 'b', 'ab', 'a+', '(b)', '[c]', '$', '^', 'a.b', 'axb', 'é', '*', 'a b', '{2}', '100%']
const anyRule = fc
  .record({
    segments: fc.array(fc.oneof({ weight: 3, arbitrary: fc.constantFrom(...LITERALS) }, fc.constant(undefined)), {
      maxLength: 3,
    }),
    rest: fc.boolean(),
    slash: fc.boolean(),
    methods: fc.subarray([...METHODS], { maxLength: 3 }),
  })
  .map(({ segments, rest, slash, methods }) => {
    const parts = segments.map((literal) =>
      literal === undefined ? '*' : encodeURIComponent(literal).replace('*', '%2A'),
    )
    const path = `/${[...parts, ...(rest ? ['**'] : [])].join('/')}${slash && segments.length > 0 ? '/' : ''}`
    return { segments, rest, route: route(path, { methods }) }
  })
const anyPath = fc
  .tuple(fc.array(fc.constantFrom(...LITERALS), { maxLength: 4 }), fc.boolean())
  .map(([segments, slash]) => ({ segments, path: `/${segments.join('/')}${slash && segments.length > 0 ? '/' : ''}` }))

test('the table decides as somebody would who reads it rule by rule and segment by segment', async (t) => {
  let decided = 0
  fc.assert(
    fc.property(
      fc.array(anyRule, { maxLength: 6 }),
      anyPath,
      fc.constantFrom(...METHODS),
      (rules, { segments, path }, method) => {
        const expected = rules.find((rule) => {
          const { methods } = rule.route
          if (methods.length > 0 && !methods.includes(method) && !(method === 'HEAD' && methods.includes('GET')))
            return false
          if (rule.rest ? segments.length < rule.segments.length : segments.length !== rule.segments.length)
            return false
          return rule.segments.every((literal, i) => literal === undefined || literal === segments[i])
        })
        const table = createRouteTable(rules.map((rule) => rule.route))
        if (expected) decided++
        if (table.match(method, path) !== (expected?.route ?? DEFAULT_ROUTE)) throw new Error('another rule')
        const passedOver = table.passedOver(method, path)
        if (passedOver.length !== (expected ? rules.indexOf(expected) : rules.length))
          throw new Error('others passed over')
        if (passedOver.some((one) => one.methodMatches && one.pathMatches))
          throw new Error('one passed over that matches')
      },
    ),
    { numRuns: 5000 },
  )
  t.ok(decided > 500, `${decided} were decided by a rule`)
})

test('a rule that is said never to be reached never is', async (t) => {
  let shadowed = 0
  fc.assert(
    fc.property(
      fc.array(anyRule, { maxLength: 6 }),
      fc.array(anyPath, { minLength: 20, maxLength: 20 }),
      (rules, paths) => {
        const routes = rules.map((rule) => rule.route)
        const table = createRouteTable(routes)
        for (const [index] of shadowedRoutes(routes)) {
          shadowed++
          const reached = METHODS.some((method) =>
            paths.some(({ path }) => table.match(method, path) === routes[index]),
          )
          if (reached) throw new Error('it was reached')
        }
      },
    ),
    { numRuns: 500 },
  )
  t.ok(shadowed > 50, `${shadowed} were shadowed`)
})

test('what is forwarded is what was sent, and who decodes it on the way finds the same rule', async (t) => {
  const routes = ['/admin/**', '/a/*', '/x', '/*/a', '/public/**', '/café', '/a@b', '/*'].map((path) => route(path))
  const table = createRouteTable(routes)
  let accepted = 0
  fc.assert(
    fc.property(targets, (text) => {
      const target = readTarget('GET', text)
      if (!target.ok) return
      accepted++
      if (target.value !== text) throw new Error('something else is forwarded')
      const url = new URL(`http://host${text}`)
      const own = table.match('GET', target.path)
      if (table.match('GET', decodeURIComponent(url.pathname)) !== own) throw new Error('another rule')
      const again = readTarget('GET', target.value)
      if (!again.ok || table.match('GET', again.path) !== own) throw new Error('another rule the second time')
    }),
    { numRuns: 5000 },
  )
  t.ok(accepted > 200, `${accepted} were accepted`)
})
