import { test } from 'tap'
import { responseHeaders } from '../../../sidecar/proxy/response-headers.ts'

test('what concerned the connection to the upstream stays there', async (t) => {
  const headers = responseHeaders({
    connection: 'close, X-Once',
    'keep-alive': 'timeout=5',
    'proxy-connection': 'close',
    te: 'trailers',
    upgrade: 'h2c',
    'x-once': '1',
    server: 'x',
    'content-length': '5',
  })
  t.same(headers, ['server', 'x', 'content-length', '5'])
})

test('fields that came several times go on several times', async (t) => {
  t.same(responseHeaders({ 'set-cookie': ['a=1', 'b=2'], vary: 'a' }), [
    'set-cookie',
    'a=1',
    'set-cookie',
    'b=2',
    'vary',
    'a',
  ])
})

test('a length beside a transfer coding is not believed', async (t) => {
  t.same(responseHeaders({ 'transfer-encoding': 'chunked', 'content-length': '5', etag: '"a"' }), ['etag', '"a"'])
})

test('an upstream can not have a length taken out by naming it', async (t) => {
  t.same(responseHeaders({ connection: 'content-length', 'content-length': '5' }), ['content-length', '5'])
})
