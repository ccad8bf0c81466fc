import fc from 'fast-check'
import { test } from 'tap'
import { DEFAULT_ROUTE } from '../../../sidecar/domain/route.ts'
import { parseRoutes } from '../../../sidecar/domain/route-document.ts'
import { problemText } from '../../helpers/problem-text.ts'

function problemsOf(document: unknown): string[] {
  const parsed = parseRoutes(document)
  return parsed.ok ? [] : parsed.problems.map(problemText)
}

test('reads a rule with everything, and one with nothing but its path', async (t) => {
  const parsed = parseRoutes({
    routes: [
      {
        name: 'reports',
        path: '/reports/**',
        methods: ['GET', 'POST'],
        access: 'required',
        roles: ['admin', 'auditor'],
        scopes: ['reports:read'],
        claims: { tier: 'pro', level: 3, beta: true },
        verifiedEmail: true,
        staleness: 'open',
        upstream: 'h2c://reports:50051/',
        timeout: '90s',
        bodyLimit: '1MiB',
      },
      { path: '/open', methods: ['GET'], access: 'public' },
      { path: '/maybe', access: 'optional' },
    ],
  })
  t.same(parsed, {
    ok: true,
    routes: [
      {
        name: 'reports',
        path: '/reports/**',
        methods: ['GET', 'POST'],
        access: 'required',
        roles: ['admin', 'auditor'],
        scopes: ['reports:read'],
        claims: [
          { claim: 'tier', equals: 'pro' },
          { claim: 'level', equals: 3 },
          { claim: 'beta', equals: true },
        ],
        verifiedEmail: true,
        staleness: 'open',
        upstream: {
          address: 'h2c://reports:50051',
          origin: 'http://reports:50051',
          socketPath: undefined,
          protocol: 'http2',
        },
        timeoutMs: 90_000,
        bodyLimit: 1024 ** 2,
      },
      { ...DEFAULT_ROUTE, name: 'GET /open', path: '/open', methods: ['GET'], access: 'public' },
      { ...DEFAULT_ROUTE, name: '/maybe', path: '/maybe', access: 'optional' },
    ],
  })
  t.same(parseRoutes({ routes: [] }), { ok: true, routes: [] })
  t.same(parseRoutes({ $schema: './routes.schema.json', routes: [] }), { ok: true, routes: [] })
})

const rule = (fields: object) => ({ routes: [{ path: '/a', ...fields }] })

const WRONG: [name: string, document: unknown, problem: RegExp][] = [
  ['no document', undefined, /^a document/],
  ['an empty document', null, /^a document/],
  ['a list', [], /^a document/],
  ['a text', 'routes', /^a document/],
  ['no routes', {}, /^routes: a list/],
  ['routes that are no list', { routes: { path: '/a' } }, /^routes: a list/],
  [
    'too many routes',
    { routes: Array.from({ length: 1001 }, (_, i) => ({ path: `/${i}` })) },
    /^routes: a list of at most/,
  ],
  ['another field of the document', { routes: [], route: [] }, /^route: there is no such field/],
  ['a rule that is no mapping', { routes: ['/a'] }, /^routes\[0\]: a rule/],
  ['no path', { routes: [{ access: 'public' }] }, /^routes\[0\]\.path: a path pattern/],
  ['a path that is no text', { routes: [{ path: 1 }] }, /^routes\[0\]\.path: a path pattern/],
  ['a bad pattern', { routes: [{ path: '/a' }, { path: '/x/**/b' }] }, /^routes\[1\]\.path: \*\* can only/],
  ['an unknown field', rule({ auth: true }), /^routes\[0\]\.auth: there is no such field; there are name, path/],
  ['a misspelt field', rule({ body_limit: '1MiB' }), /^routes\[0\]\.body_limit: .*; did you mean bodyLimit\?$/],
  ['a service with a path', rule({ upstream: 'http://a/base' }), /^routes\[0\]\.upstream: an address such as http:/],
  ['a service that is no text', rule({ upstream: ['http://a'] }), /^routes\[0\]\.upstream: an address such as http:/],
  ['a field of every object', rule({ constructor: 1 }), /^routes\[0\]\.constructor: there is no such field/],
  [
    '__proto__',
    JSON.parse('{"routes":[{"path":"/a","__proto__":{"access":"public"}}]}'),
    /^routes\[0\]\.__proto__: there/,
  ],
  ['an empty name', rule({ name: '' }), /^routes\[0\]\.name: a text/],
  ['methods that are no list', rule({ methods: 'GET' }), /^routes\[0\]\.methods: a list/],
  ['no methods', rule({ methods: [] }), /^routes\[0\]\.methods: a list of at least one of GET, HEAD/],
  ['a method in lower case', rule({ methods: ['get'] }), /^routes\[0\]\.methods: /],
  ['a method that is never forwarded', rule({ methods: ['TRACE'] }), /^routes\[0\]\.methods: /],
  ['an unknown access', rule({ access: 'none' }), /^routes\[0\]\.access: public, required or optional/],
  ['access that is switched off', rule({ access: false }), /^routes\[0\]\.access: /],
  ['roles that are no list', rule({ roles: 'admin' }), /^routes\[0\]\.roles: a list of at least one role/],
  ['no roles', rule({ roles: [] }), /^routes\[0\]\.roles: /],
  ['a role that is no text', rule({ roles: [1] }), /^routes\[0\]\.roles: /],
  ['a scope with a space', rule({ scopes: ['a b'] }), /^routes\[0\]\.scopes: /],
  ['a scope that no header field can carry', rule({ scopes: ['läs→'] }), /^routes\[0\]\.scopes: /],
  ['a scope with a quote', rule({ scopes: ['a"b'] }), /^routes\[0\]\.scopes: /],
  ['claims that are a list', rule({ claims: [] }), /^routes\[0\]\.claims: /],
  ['no claims', rule({ claims: {} }), /^routes\[0\]\.claims: /],
  ['a claim with a list', rule({ claims: { a: [1] } }), /^routes\[0\]\.claims: /],
  ['a claim with nothing', rule({ claims: { a: null } }), /^routes\[0\]\.claims: /],
  ['a claim that is no number', rule({ claims: { a: Number.NaN } }), /^routes\[0\]\.claims: /],
  ['a flag that is a text', rule({ verifiedEmail: 'yes' }), /^routes\[0\]\.verifiedEmail: true or false/],
  ['an unknown staleness', rule({ staleness: 'ignore' }), /^routes\[0\]\.staleness: closed or open/],
  ['a duration without unit', rule({ timeout: 30 }), /^routes\[0\]\.timeout: a duration.* is expected, not 30$/],
  ['a duration of nothing', rule({ timeout: '0s' }), /^routes\[0\]\.timeout: a duration/],
  [
    'an upstream with a password, which is not repeated',
    rule({ upstream: 'http://user:secret@host' }),
    /^routes\[0\]\.upstream: an address .* is expected, not "http:\/\/…@host"$/,
  ],
  ['a size without unit', rule({ bodyLimit: 1024 }), /^routes\[0\]\.bodyLimit: a size/],
  ['a size in another unit', rule({ bodyLimit: '1MB' }), /^routes\[0\]\.bodyLimit: a size/],
  [
    'a public route with roles',
    rule({ access: 'public', roles: ['a'] }),
    /^routes\[0\]\.roles: only a route with access: required/,
  ],
  ['an optional route with scopes', rule({ access: 'optional', scopes: ['a'] }), /^routes\[0\]\.scopes: only/],
  ['a public route with claims', rule({ access: 'public', claims: { a: 1 } }), /^routes\[0\]\.claims: only/],
  [
    'an optional route with an address',
    rule({ access: 'optional', verifiedEmail: true }),
    /^routes\[0\]\.verifiedEmail: only/,
  ],
  [
    'a public route with staleness',
    rule({ access: 'public', staleness: 'open' }),
    /^routes\[0\]\.staleness: a public route/,
  ],
  [
    'the same path twice',
    { routes: [{ path: '/a' }, { path: '/a', name: 'again' }] },
    /^routes\[1\]: never reached: routes\[0\] \(\/a\)/,
  ],
  [
    'a path that another covers',
    { routes: [{ path: '/a/**' }, { path: '/b' }, { path: '/a/b' }] },
    /^routes\[2\]: never reached: routes\[0\]/,
  ],
  [
    'a path whose methods others cover together',
    {
      routes: [
        { path: '/a/**', methods: ['GET'] },
        { path: '/a/b', methods: ['PUT'] },
        { path: '/a/b', methods: ['PUT', 'GET'], name: 'c' },
      ],
    },
    /^routes\[2\]: never reached: routes\[0\] \(\/a\/\*\*\) and routes\[1\] \(\/a\/b\) together match first$/,
  ],
  [
    'the same name twice',
    {
      routes: [
        { path: '/a', name: 'n' },
        { path: '/b', name: 'n' },
      ],
    },
    /^routes\[1\]\.name: "n" is already the name of routes\[0\]/,
  ],
  ['the name of the default', rule({ name: 'default' }), /^routes\[0\]\.name: "default" is already/],
]

test('names what is wrong by its place', async (t) => {
  for (const [name, document, problem] of WRONG) {
    const problems = problemsOf(document)
    t.equal(problems.length, 1, `${name}: ${problems.join(' | ')}`)
    t.match(problems[0], problem, name)
  }
})

test('names all that is wrong at once', async (t) => {
  const document = {
    version: 1,
    routes: [{ path: 'a', timeout: 'soon', zone: [] }, 7, { access: 'public' }, { path: '/c' }, { path: '/c' }],
  }
  t.same(
    problemsOf(document).map((problem) => problem.split(': ', 1)[0]),
    [
      'version',
      'routes[0].timeout',
      'routes[0].zone',
      'routes[0].path',
      'routes[1]',
      'routes[2].path',
      'routes[4].name',
      'routes[4]',
    ],
  )
})

test('any document gets an answer, and no rule is laxer than it says', async () => {
  const field = fc.constantFrom('name', 'path', 'methods', 'access', 'roles', 'claims', 'timeout', '__proto__', 'x')
  const value = fc.oneof(fc.jsonValue({ maxDepth: 2 }), fc.constantFrom('/a', '/b/**', 'public', 'required', '30s'))
  const document = fc.oneof(
    fc.jsonValue(),
    fc.record({ routes: fc.array(fc.dictionary(field, value), { maxLength: 4 }) }),
  )
  fc.assert(
    fc.property(document, (any) => {
      const parsed = parseRoutes(any)
      if (!parsed.ok) return parsed.problems.length > 0
      const rules = (any as { routes: { access?: unknown }[] }).routes
      return parsed.routes.every(({ access }, i) => access === (rules[i]!.access ?? 'required'))
    }),
    { numRuns: 1000 },
  )
})
