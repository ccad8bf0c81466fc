import { test } from 'tap'
import { sendRaw, startRawUpstream } from '../helpers/raw-http.ts'
import { startProxy } from '../helpers/sidecar-proxy.ts'

// CVE-2024-27982, CVE-2022-35256, CVE-2025-23167, CVE-2026-58044: one request in, at most one out, whatever is made of
// it; and never the one that is hidden in another.

const HIDDEN = 'GET /hidden HTTP/1.1\r\nHost: a\r\n\r\n'

function post(fields: string[], body: string, line = 'POST /open HTTP/1.1'): string {
  return `${[line, 'Host: a', ...fields].join('\r\n')}\r\n\r\n${body}`
}

const chunked = (size: string, data: string) => `${size}\r\n${data}\r\n0\r\n\r\n`

/** What is sent, and how many requests may come out of it at the other side. */
const ROWS: [name: string, bytes: string, out: 0 | 1][] = [
  [
    'Content-Length and Transfer-Encoding',
    post(['Content-Length: 4', 'Transfer-Encoding: chunked'], `0\r\n\r\n${HIDDEN}`),
    0,
  ],
  [
    'Transfer-Encoding and Content-Length',
    post(['Transfer-Encoding: chunked', 'Content-Length: 4'], `0\r\n\r\n${HIDDEN}`),
    0,
  ],
  ['two lengths that differ', post(['Content-Length: 0', `Content-Length: ${HIDDEN.length}`], HIDDEN), 0],
  ['two lengths that agree', post(['Content-Length: 2', 'Content-Length: 2'], 'ab'), 0],
  ['a list of lengths', post(['Content-Length: 2, 2'], 'ab'), 0],
  ['a length with a sign', post(['Content-Length: +2'], 'ab'), 0],
  ['a negative length', post(['Content-Length: -2'], 'ab'), 0],
  ['a hexadecimal length', post(['Content-Length: 0x2'], 'ab'), 0],
  ['a length with a space inside', post(['Content-Length: 2 2'], 'ab'), 0],
  ['a length that is empty', post(['Content-Length: '], HIDDEN), 0],
  ['a length beyond all numbers', post(['Content-Length: 18446744073709551617'], 'a'), 0],
  ['a space before the colon', post(['Transfer-Encoding : chunked', 'Content-Length: 4'], chunked('2', 'ab')), 0],
  ['a tab before the colon', post(['Content-Length\t: 2'], 'ab'), 0],
  ['a space in a name', post(['X User: a', 'Content-Length: 2'], 'ab'), 0],
  ['a name that is empty', post([': a'], ''), 0],
  ['a field without a colon', post(['Nonsense'], ''), 0],
  ['NUL in a value', post(['X-A: a\0b'], ''), 0],
  ['NUL in a name', post(['X\0A: a'], ''), 0],
  ['a control character in a name', post(['X\x01A: a'], ''), 0],
  ['a bare CR in a value', post(['X-A: a\rTransfer-Encoding: chunked', 'Content-Length: 0'], ''), 0],
  ['a bare LF after a field', `POST /open HTTP/1.1\r\nHost: a\nContent-Length: 0\r\n\r\n${HIDDEN}`, 0],
  ['bare LF throughout', 'POST /open HTTP/1.1\nHost: a\nContent-Length: 0\n\n', 0],
  ['a space before the first field', `POST /open HTTP/1.1\r\n Host: a\r\nContent-Length: 0\r\n\r\n${HIDDEN}`, 0],
  ['another coding', post(['Transfer-Encoding: xchunked'], chunked('2', 'ab')), 0],
  ['identity', post(['Transfer-Encoding: identity'], chunked('2', 'ab')), 0],
  ['chunked, then another', post(['Transfer-Encoding: chunked, identity'], chunked('2', 'ab')), 0],
  ['chunked twice', post(['Transfer-Encoding: chunked', 'Transfer-Encoding: identity'], chunked('2', 'ab')), 0],
  ['a coding in quotes', post(['Transfer-Encoding: "chunked"'], chunked('2', 'ab')), 0],
  ['a vertical tab in the coding', post(['Transfer-Encoding: \x0bchunked'], chunked('2', 'ab')), 0],
  ['a chunk size that is none', post(['Transfer-Encoding: chunked'], chunked('2x', 'ab')), 0],
  ['a chunk size with 0x', post(['Transfer-Encoding: chunked'], chunked('0x2', 'ab')), 0],
  ['a negative chunk size', post(['Transfer-Encoding: chunked'], chunked('-2', 'ab')), 0],
  ['a chunk size beyond all numbers', post(['Transfer-Encoding: chunked'], chunked('fffffffffffffffff2', 'ab')), 0],
  ['a chunk longer than it says', post(['Transfer-Encoding: chunked'], chunked('1', 'ab')), 0],
  ['bare LF after a chunk size', post(['Transfer-Encoding: chunked'], '2\nab\r\n0\r\n\r\n'), 0],
  ['bare LF after a chunk', post(['Transfer-Encoding: chunked'], '2\r\nab\n0\r\n\r\n'), 0],
  ['no Host', 'GET /open HTTP/1.1\r\n\r\n', 0],
  ['two Hosts', post(['Host: b'], ''), 0],
  ['a Host that is none', 'GET /open HTTP/1.1\r\nHost: a/b@c\r\n\r\n', 0],
  ['absolute form', 'GET http://b/open HTTP/1.1\r\nHost: a\r\n\r\n', 0],
  ['authority form', 'GET b:80 HTTP/1.1\r\nHost: a\r\n\r\n', 0],
  ['a version that is none', 'GET /open HTTP/1.10\r\nHost: a\r\n\r\n', 0],
  ['HTTP/2 in words', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 0],
  ['HTTP/0.9', 'GET /open\r\n\r\n', 0],
  ['a method that is none', 'GE T /open HTTP/1.1\r\nHost: a\r\n\r\n', 0],
  ['two spaces before the target', 'GET  /open HTTP/1.1\r\nHost: a\r\n\r\n', 1],
  ['a request as the body of GET', post([`Content-Length: ${HIDDEN.length}`], HIDDEN, 'GET /open HTTP/1.1'), 1],
  ['a request as the body of POST', post([`Content-Length: ${HIDDEN.length}`], HIDDEN), 1],
  ['a request as the body of DELETE', post([`Content-Length: ${HIDDEN.length}`], HIDDEN, 'DELETE /open HTTP/1.1'), 1],
  ['a request as a chunk', post(['Transfer-Encoding: chunked'], chunked(HIDDEN.length.toString(16), HIDDEN)), 1],
  [
    'a request as a chunk of GET',
    post(['Transfer-Encoding: chunked'], chunked(HIDDEN.length.toString(16), HIDDEN), 'GET /open HTTP/1.1'),
    1,
  ],
  ['an alias of Transfer-Encoding', post(['Transfer_Encoding: chunked', 'Content-Length: 5'], '0\r\n\r\n'), 1],
  ['an alias of Content-Length', post(['Content_Length: 0', `Content-Length: ${HIDDEN.length}`], HIDDEN), 1],
  ['a chunk extension', post(['Transfer-Encoding: chunked'], chunked('2;a=b', 'ab')), 1],
  ['Connection names the length', post(['Connection: content-length', `Content-Length: ${HIDDEN.length}`], HIDDEN), 1],
]

test('one request in, at most one out', async (t) => {
  const upstream = await startRawUpstream(t)
  const proxy = await startProxy(t, upstream.url, { routes: [{ name: 'open', path: '/open', access: 'public' }] })
  for (const [name, bytes, out] of ROWS) {
    upstream.requests.length = 0
    const answer = await sendRaw(proxy.port, bytes)
    t.equal(upstream.requests.length, out, `${name}: ${out} out (answered ${answer.statuses})`)
    t.ok(
      upstream.requests.every(({ target }) => target === '/open'),
      `${name}: nothing hidden comes out`,
    )
    t.equal(answer.statuses.length, 1, `${name}: one answer`)
    if (out === 1) {
      t.equal(answer.statuses[0], 200, name)
      t.ok(upstream.requests[0]?.complete, `${name}: whole`)
      t.notMatch(upstream.requests[0]?.rawHeaders.join(), /_/, `${name}: no alias`)
    } else {
      t.ok(answer.statuses[0]! >= 400 && answer.statuses[0]! < 500, `${name}: refused with ${answer.statuses[0]}`)
    }
  }
})

test('a folded field never becomes two, nor changes what delimits the body', async (t) => {
  const upstream = await startRawUpstream(t)
  const proxy = await startProxy(t, upstream.url, { routes: [{ name: 'open', path: '/open', access: 'public' }] })
  for (const fields of [
    ['X-A: a\r\n b', 'Content-Length: 0'],
    ['X-A: a\r\n X-User-Id: admin', 'Content-Length: 0'],
    ['Transfer-Encoding:\r\n chunked', 'Content-Length: 4'],
    ['Content-Length:\r\n 4'],
  ]) {
    upstream.requests.length = 0
    const answer = await sendRaw(proxy.port, post(fields, '', 'POST /open HTTP/1.1') + HIDDEN, { patienceMs: 500 })
    t.ok(upstream.requests.length <= 1, `${fields}: at most one (answered ${answer.statuses})`)
    t.notMatch(
      upstream.requests.map(({ target }) => target),
      ['/hidden'],
    )
    for (const { rawHeaders } of upstream.requests) {
      t.notOk(
        rawHeaders.some((name, i) => i % 2 === 0 && /user-id/i.test(name)),
        'no field out of a fold',
      )
    }
  }
})

test('pipelined requests are decided one by one', async (t) => {
  const upstream = await startRawUpstream(t)
  const proxy = await startProxy(t, upstream.url, { routes: [{ name: 'open', path: '/open', access: 'public' }] })
  const get = (target: string) => `GET ${target} HTTP/1.1\r\nHost: a\r\n\r\n`
  const answer = await sendRaw(proxy.port, get('/open') + get('/closed') + get('/open'))
  t.same(answer.statuses, [200, 401, 200], 'in their order')
  t.same(
    upstream.requests.map(({ target }) => target),
    ['/open', '/open'],
  )
  const broken = await sendRaw(proxy.port, `${get('/open')}NONSENSE\r\n\r\n`)
  t.ok(broken.closed, 'what is no request ends the connection')
  t.ok(broken.statuses.length <= 2)
})
