import { test } from 'tap'
import { DEFAULT_ROUTE } from '../../../sidecar/domain/route.ts'
import { parseRoutes } from '../../../sidecar/domain/route-document.ts'
import { asksText, servedText } from '../../../sidecar/domain/route-text.ts'

test('what a route asks for and how it is served, as the file spells it', async (t) => {
  t.same([asksText(DEFAULT_ROUTE), servedText(DEFAULT_ROUTE)], ['', ''])
  const more = {
    roles: ['admin', 'root'],
    scopes: ['a', 'b'],
    claims: { tier: 'pro', level: 3 },
    verifiedEmail: true,
    staleness: 'open',
    upstream: 'h2c://127.0.0.1:50051',
    timeout: '90s',
    bodyLimit: '2GiB',
  }
  const parsed = parseRoutes({ routes: [{ path: '/a', ...more }] })
  const route = parsed.ok ? parsed.routes[0]! : DEFAULT_ROUTE
  t.equal(asksText(route), 'role admin or root, scope a and b, tier = "pro", level = 3, verified e-mail address')
  t.equal(servedText(route), 'staleness: open, upstream: h2c://127.0.0.1:50051, timeout: 90s, bodyLimit: 2GiB')
})
