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
  t.same(shadowed(route('/a'), route('/b'), route('/a/')), [[2, 0]])
  t.same(shadowed(route('/**'), route('/a'), route('/b')), [
    [1, 0],
    [2, 0],
  ])
  t.same(shadowed(route('/a'), route('/**')), [])
  t.same(shadowed(route('/*/b'), route('/a/*')), [])
  t.same(shadowed(route('/a', { methods: ['GET'] }), route('/a')), [])
  t.same(shadowed(route('/a', { methods: ['GET'] }), route('/a', { methods: ['HEAD'] })), [[1, 0]])
  t.same(shadowed(route('/a', { methods: ['GET', 'PUT'] }), route('/a', { methods: ['PUT', 'POST'] })), [])
  t.same(shadowed(route('/a'), route('/a', { methods: ['PUT'] })), [[1, 0]])
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
