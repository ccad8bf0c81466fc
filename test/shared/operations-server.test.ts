import type { AddressInfo } from 'node:net'
import { type Test, test } from 'tap'
import { createLog } from '../../shared/log.ts'
import { createMetrics } from '../../shared/metrics.ts'
import type { Check } from '../../shared/operations.ts'
import { createOperationsServer } from '../../shared/operations-server.ts'
import { call } from '../helpers/client.ts'

async function start(t: Test, ready: () => Check[] = () => []) {
  const lines: string[] = []
  const log = createLog('test', 'info', { write: (line: string) => void lines.push(line) })
  const app = createOperationsServer({ metrics: createMetrics(), ready, log })
  await app.listen({ host: '127.0.0.1', port: 0 })
  t.teardown(() => app.close())
  return { url: `http://127.0.0.1:${(app.server.address() as AddressInfo).port}`, lines }
}

test('what there is not is a problem document', async (t) => {
  const { url } = await start(t)
  const xml = { 'content-type': 'text/xml' }
  const rows: [path: string, options: Parameters<typeof call>[1], status: number, code: string, more?: object][] = [
    ['/nowhere', {}, 404, 'not_found'],
    ['/livez/', {}, 404, 'not_found'],
    ['/nowhere', { method: 'POST', json: {} }, 404, 'not_found'],
    ['/nowhere', { method: 'POST', json: {}, headers: xml }, 404, 'not_found'],
    ['/readyz', { method: 'POST' }, 405, 'method_not_allowed', { allow: 'GET, HEAD' }],
    ['/readyz?x', { method: 'POST', json: {}, headers: xml }, 405, 'method_not_allowed', { allow: 'GET, HEAD' }],
    ['/%zz', {}, 400, 'invalid_target'],
  ]
  for (const [path, options, status, code, more = {}] of rows) {
    const answer = await call(`${url}${path}`, options)
    const headers = { 'content-type': 'application/problem+json', 'cache-control': 'no-store', ...more }
    t.match(answer, { status, headers, body: { type: 'about:blank', title: String, status, code } }, path)
  }
  t.equal((await call(`${url}/readyz`)).status, 200)
  t.equal((await call(`${url}/metrics`)).status, 200)
})

test('what goes wrong inside is in the log, not in the answer', async (t) => {
  const { url, lines } = await start(t, () => {
    throw new Error('detail of the inside')
  })
  const answer = await call(`${url}/readyz`)
  t.match(answer, { status: 500, body: { code: 'internal_error' } })
  t.notMatch(JSON.stringify(answer.body), 'detail')
  t.match(JSON.parse(lines[0]!), { level: 50, err: { message: 'detail of the inside', stack: String } })
})
