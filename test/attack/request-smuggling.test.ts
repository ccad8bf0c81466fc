import { test } from 'tap'
import { sendRaw, startRawUpstream } from '../helpers/raw-http.ts'
import { startProxy } from '../helpers/sidecar-proxy.ts'

// What can be sent to anybody's service is in classes/; these methods would change something there.

const HIDDEN = 'GET /hidden HTTP/1.1\r\nHost: a\r\n\r\n'

test('a request as the body of a method that changes something stays a body', async (t) => {
  const upstream = await startRawUpstream(t)
  const proxy = await startProxy(t, upstream.url, { routes: [{ name: 'open', path: '/open', access: 'public' }] })
  for (const method of ['PUT', 'PATCH', 'DELETE']) {
    for (const [fields, body] of [
      [`Content-Length: ${HIDDEN.length}`, HIDDEN],
      ['Transfer-Encoding: chunked', `${HIDDEN.length.toString(16)}\r\n${HIDDEN}\r\n0\r\n\r\n`],
    ]) {
      upstream.requests.length = 0
      const answer = await sendRaw(proxy.port, `${method} /open HTTP/1.1\r\nHost: a\r\n${fields}\r\n\r\n${body}`)
      t.same(answer.statuses, [200], method)
      t.match(upstream.requests, [{ method, target: '/open', body: HIDDEN, complete: true }])
    }
  }
})
