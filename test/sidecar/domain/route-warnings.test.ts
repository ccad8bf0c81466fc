import { test } from 'tap'
import { DEFAULT_ROUTE, type Route } from '../../../sidecar/domain/route.ts'
import { findWarnings } from '../../../sidecar/domain/route-warnings.ts'
import { problemText } from '../../helpers/problem-text.ts'

function route(path: string, instead: Partial<Route> = {}): Route {
  return { ...DEFAULT_ROUTE, path, name: path, ...instead }
}

const PUBLIC: Partial<Route> = { access: 'public' }
const ADMIN: Partial<Route> = { roles: ['admin'] }
const GET: Partial<Route> = { methods: ['GET'] }

const ROWS: [name: string, routes: Route[], warnings: RegExp[]][] = [
  ['nothing', [], []],
  [
    'an ordinary table',
    [route('/health', PUBLIC), route('/catalog/**', { ...PUBLIC, ...GET }), route('/admin/**', ADMIN)],
    [],
  ],
  ['everything public', [route('/**', PUBLIC)], [/^routes\[0\]\.access: lets everybody in, whatever/]],
  ['a public wildcard at the start', [route('/*/x', PUBLIC)], [/whatever the first part/]],
  ['the root public', [route('/', PUBLIC)], []],
  ['all below public, to write too', [route('/a/**', PUBLIC)], [/^routes\[0\]\.access: .*name the methods/]],
  [
    'a wider, laxer rule before, for some methods',
    [route('/a/**', { ...PUBLIC, ...GET }), route('/a/b', ADMIN)],
    [/^routes\[1\]\.path: for GET, HEAD routes\[0\] \(\/a\/\*\*\) decides/],
  ],
  [
    'the same for a token that says less',
    [route('/a/**', GET), route('/a/b', { verifiedEmail: true })],
    [/^routes\[1\]\.path: for GET, HEAD /],
  ],
  ['reading for all and writing for some, on one path', [route('/a', { ...PUBLIC, ...GET }), route('/a', ADMIN)], []],
  ['a wider rule before, for other methods', [route('/a/**', GET), route('/a/b', { ...ADMIN, methods: ['PUT'] })], []],
  ['a wider, stricter rule before', [route('/a/**', { ...ADMIN, ...GET }), route('/a/b', PUBLIC)], []],
  ['a narrower, laxer rule before', [route('/a/health', { ...PUBLIC, ...GET }), route('/a/**', ADMIN)], []],
  [
    'two paths that differ in case',
    [route('/Admin/**'), route('/admin/**')],
    [/^routes\[1\]\.path: differs from routes\[0\] \(\/Admin\/\*\*\) only in case/],
  ],
  ['the same path twice', [route('/a', GET), route('/a')], []],
  [
    'a rule that another case of the path slips past',
    [route('/admin/**', ADMIN), route('/**', { access: 'optional' })],
    [/^routes\[0\]\.path: \/ADMIN is another path and falls to routes\[1\] \(\/\*\*\), which needs no token/],
  ],
  ['the same before a rule that needs a token', [route('/admin/**', ADMIN), route('/**')], []],
  ['a path without letters', [route('/1/*', ADMIN), route('/**', { access: 'optional' })], []],
  [
    'parameters as other programs write them',
    [route('/users/{id}'), route('/users/:id', PUBLIC), route('/a:b/c{d}'), route('/orders/<id>/lines')],
    [
      /^routes\[0\]\.path: \{id\} is taken as it stands; \* is any one segment$/,
      /^routes\[1\]\.path: :id is taken as it stands/,
      /^routes\[3\]\.path: <id> is taken as it stands/,
    ],
  ],
  ['a slash at the end', [route('/a/')], [/^routes\[0\]\.path: the slash at the end makes no difference: \/a matches/]],
]

test('what surprises is found, and what is ordinary is not', async (t) => {
  for (const [name, routes, expected] of ROWS) {
    const warnings = findWarnings(routes).map(problemText)
    t.equal(warnings.length, expected.length, `${name}: ${warnings.join(' | ')}`)
    for (const [i, warning] of expected.entries()) t.match(warnings[i], warning, name)
  }
})
