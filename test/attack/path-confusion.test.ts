import fc from 'fast-check'
import { test } from 'tap'
import { sendRaw, startRawUpstream } from '../helpers/raw-http.ts'
import { startProxy } from '../helpers/sidecar-proxy.ts'
import { targets } from '../helpers/targets.ts'

const ROUTES = [{ name: 'public', path: '/public/**', access: 'public' as const }]

test('what is served publicly was sent to the upstream byte for byte, and lies below the public path for every reader', async (t) => {
  const upstream = await startRawUpstream(t)
  const proxy = await startProxy(t, upstream.url, { routes: ROUTES })
  await fc.assert(
    fc.asyncProperty(targets, async (tail) => {
      upstream.requests.length = 0
      const target = Buffer.from(`/public${tail}`).toString('latin1')
      if (/[ \t]/.test(target)) return true
      const answer = await sendRaw(proxy.port, `GET ${target} HTTP/1.1\r\nHost: a\r\n\r\n`, { quietMs: 1 })
      const [request] = upstream.requests
      if (!request) return answer.statuses[0] === 400 || answer.statuses[0] === 401
      const read = new URL(target, 'http://a').pathname
      return request.target === target && /^\/public(\/|$)/.test(read)
    }),
    { numRuns: 300 },
  )
})

test('a target is forwarded as it was sent', async (t) => {
  const upstream = await startRawUpstream(t)
  const proxy = await startProxy(t, upstream.url, { routes: ROUTES })
  for (const target of [
    '/public/a^b|c[d]',
    '/public/caf%C3%A9',
    '/public/a%20b',
    "/public/(a)!*'~",
    `/public/?${'q'.repeat(7000)}`,
  ]) {
    upstream.requests.length = 0
    t.same((await sendRaw(proxy.port, `GET ${target} HTTP/1.1\r\nHost: a\r\n\r\n`)).statuses, [200])
    t.equal(upstream.requests[0]?.target, target)
    t.ok(upstream.bytes().includes(`GET ${target} HTTP/1.1\r\n`), 'in the very bytes')
  }
})
