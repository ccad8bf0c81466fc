import fc from 'fast-check'
import { test } from 'tap'
import { sendRaw, startRawUpstream } from '../helpers/raw-http.ts'
import { startProxy } from '../helpers/sidecar-proxy.ts'
import { targets } from '../helpers/targets.ts'

const ROUTES = [{ name: 'public', path: '/public/**', access: 'public' as const }]

test('no ambiguous target reaches the upstream (CVE-2026-33494, CVE-2021-31920, CVE-2025-54576)', async (t) => {
  const upstream = await startRawUpstream(t)
  const proxy = await startProxy(t, upstream.url, { routes: ROUTES })
  for (const target of [
    '/public/../admin',
    '/public/..%2fadmin',
    '/public/%2e%2e/admin',
    '/public/%2E./admin',
    '/public/.%2e/admin',
    '/public/..;/admin',
    '/public/;/../admin',
    '/public;x=y/../admin',
    '/public//admin',
    '//admin',
    '//evil.example/public/a',
    '/public/./a',
    '/public/%2fadmin',
    '/public/%5c..%5cadmin',
    '/public\\..\\admin',
    '/public/%252e%252e/admin',
    '/public/a%00b',
    '/public/a#b',
    '/public/a%23/../../admin%3f',
    '/public/%',
    '/public/%zz',
    '/public/%c0%ae%c0%ae/admin',
    '/public/\xc3\xa9',
    '/public/%0d%0aX-User-Id:%20evil',
    'http://evil.example/public/a',
    'public/a',
    '*',
    `/public/${'a'.repeat(9000)}`,
  ]) {
    const answer = await sendRaw(proxy.port, `GET ${target} HTTP/1.1\r\nHost: a\r\n\r\n`)
    t.same(answer.statuses, [400], target.slice(0, 60))
  }
  t.equal(upstream.requests.length, 0)
})

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
    '/public/?',
    '/public/?a=%zz&b="<>{}`&c=/../..//;d',
    '/public/?a=1?b=2',
    '/public/?url=http://evil.example//x',
    `/public/?${'q'.repeat(7000)}`,
  ]) {
    upstream.requests.length = 0
    t.same((await sendRaw(proxy.port, `GET ${target} HTTP/1.1\r\nHost: a\r\n\r\n`)).statuses, [200])
    t.equal(upstream.requests[0]?.target, target)
    t.ok(upstream.bytes().includes(`GET ${target} HTTP/1.1\r\n`), 'in the very bytes')
  }
})
