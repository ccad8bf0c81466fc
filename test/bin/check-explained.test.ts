import { test } from 'tap'
import { explainedLines } from '../../bin/check-explained.ts'
import { printable } from '../../bin/columns.ts'
import { DEFAULT_ROUTE, type Route } from '../../sidecar/check-routes.ts'
import { explainRequest } from '../../sidecar/explain-request.ts'

const route = (path: string, instead: Partial<Route> = {}): Route => ({
  ...DEFAULT_ROUTE,
  name: path,
  path,
  ...instead,
})

test('on a terminal the steps have marks', async (t) => {
  const options = {
    routes: [route('/a')],
    method: 'GET',
    token: undefined,
    issuer: undefined,
    jwksFile: undefined,
    env: {},
  }
  const lines = explainedLines('GET', await explainRequest({ ...options, url: '/a' }), () => 1, true)
  t.same(
    lines.slice(2, 6).map((line) => line.slice(0, 12)),
    ['✓  target   ', '✓  route    ', '✗  bearer   ', '-  verify   '],
  )
})

test('of many rules that do not match, those are listed whose path does', async (t) => {
  const routes = Array.from({ length: 100 }, (_, i) => route(`/${i}`))
  routes.splice(90, 0, route('/a', { methods: ['PUT'], name: 'put' }))
  const options = { routes, method: 'GET', token: undefined, issuer: undefined, jwksFile: undefined, env: {} }
  const explained = await explainRequest({ ...options, url: '/a' })
  const lines = explainedLines('GET', explained, (found) => routes.indexOf(found), false)
  const listed = lines.filter((line) => line.startsWith('  line '))
  t.equal(listed.length, 21)
  t.match(listed.at(-1), /^ {2}line 90 +put +method: not PUT$/)
  t.ok(lines.includes('  and 80 more'))
})

test('nothing that is printed commands a terminal', async (t) => {
  t.equal(printable('a\x1b[2J\x9b\u202eé✓\n'), 'a\\u{1b}[2J\\u{9b}\\u{202e}é✓\n')
})
