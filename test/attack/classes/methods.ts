import { get, lengthOf, message, post } from '../requests.ts'
import { type AttackClass, refused, single } from '../row.ts'

const H2C = ['Connection: Upgrade, HTTP2-Settings', 'HTTP2-Settings: AAMAAABkAAQAAP__', 'Upgrade: h2c']
const WEBSOCKET = ['Connection: Upgrade', 'Upgrade: websocket', 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==']

export const METHODS: AttackClass = {
  id: 'methods',
  title: 'CONNECT, TRACE, Upgrade: h2c',
  known: ['CVE-2026-71324'],
  holds: 'refused: nothing is spoken through that was not understood',
  alsoTestedIn: ['test/sidecar/proxy/websocket.test.ts'],
  rows: [
    refused('CONNECT with an authority', (a) => message(a, 'CONNECT evil.example:80 HTTP/1.1')),
    refused('CONNECT with the path', (a) => message(a, `CONNECT ${a.path} HTTP/1.1`)),
    refused('CONNECT, a request behind it', (a) => message(a, 'CONNECT evil.example:80 HTTP/1.1') + a.hidden),
    refused('CONNECT with a body', (a) => message(a, 'CONNECT evil.example:80 HTTP/1.1', ['Content-Length: 9'], 'abc')),
    ...['TRACE', 'PROPFIND', 'PURGE', 'SEARCH', 'LINK', 'QUERY'].map((method) =>
      refused(method, (a) => message(a, `${method} ${a.path} HTTP/1.1`)),
    ),
    refused('an upgrade to h2c', (a) => get(a, H2C)),
    refused('an upgrade to h2c, its preface behind it', (a) => `${get(a, H2C)}PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n`),
    refused('an upgrade to h2c, a request behind it', (a) => get(a, H2C) + a.hidden),
    refused('an upgrade to h2c with a body', (a) => post(a, [...H2C, lengthOf(a.hidden)], a.hidden)),
    refused('an upgrade to h2c in chunks', (a) => post(a, [...H2C, 'Transfer-Encoding: chunked'], '0\r\n\r\n')),
    refused('an upgrade to WebSocket or h2c', (a) => get(a, ['Connection: Upgrade', 'Upgrade: websocket, h2c'])),
    refused('an upgrade to TLS', (a) => get(a, ['Connection: Upgrade', 'Upgrade: TLS/1.0'])),
    refused('an upgrade to what nobody knows', (a) => get(a, ['Connection: Upgrade', 'Upgrade: evil']) + a.hidden),
    refused('a WebSocket by POST', (a) => post(a, WEBSOCKET)),
    refused('a WebSocket with a body', (a) => post(a, [...WEBSOCKET, 'Content-Length: 3'], 'abc', 'GET')),
    refused('a WebSocket whose body is a request', (a) => post(a, [...WEBSOCKET, lengthOf(a.hidden)], a.hidden, 'GET')),
    refused('a WebSocket from HTTP/1.0', (a) => get(a, WEBSOCKET).replace('HTTP/1.1', 'HTTP/1.0')),
    single(
      'Upgrade: h2c that Connection does not name',
      (a) => get(a, ['Upgrade: h2c', `HTTP2-Settings: settings-${a.marker}`]),
      () => ({ method: 'GET' }),
      { never: (a) => ['Upgrade: h2c', `settings-${a.marker}`] },
    ),
  ],
}
