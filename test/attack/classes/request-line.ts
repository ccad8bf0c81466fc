import { bare, get, message, ordinaryFields } from '../requests.ts'
import { type AttackClass, atMostOne, refused, single } from '../row.ts'

export const REQUEST_LINE: AttackClass = {
  id: 'request-line',
  title: 'request line and Host',
  known: ['CVE-2022-35256'],
  holds: 'one Host, origin-form, HTTP/1.1 or 1.0; the host that was asked for is the one that is forwarded',
  alsoTestedIn: ['test/sidecar/domain/target.test.ts', 'test/sidecar/proxy/request-headers.test.ts'],
  rows: [
    refused('no Host', (a) => bare(`GET ${a.path} HTTP/1.1`, ordinaryFields(a))),
    refused('two Hosts that differ', (a) => get(a, ['Host: evil.example'])),
    refused('two Hosts that agree', (a) => get(a, [`Host: ${a.host}`])),
    refused('an empty Host', (a) => bare(`GET ${a.path} HTTP/1.1`, ['Host: ', ...ordinaryFields(a)])),
    ...['a/b@c', 'a b', 'a,b', 'a:b', 'a@b', 'a#b', '[::1', 'a:1:2', 'a\\b', '<a>'].map((host) =>
      refused(`the Host ${host}`, (a) => bare(`GET ${a.path} HTTP/1.1`, [`Host: ${host}`, ...ordinaryFields(a)])),
    ),
    refused('a Host with a space before the colon', (a) =>
      bare(`GET ${a.path} HTTP/1.1`, [`Host: ${a.host}`, 'Host : evil.example', ...ordinaryFields(a)]),
    ),
    refused('absolute form with another host', (a) => message(a, `GET http://evil.example${a.path} HTTP/1.1`)),
    refused('absolute form with the same host', (a) => message(a, `GET http://${a.host}${a.path} HTTP/1.1`)),
    refused('absolute form with another scheme', (a) => message(a, `GET file://${a.path} HTTP/1.1`)),
    refused('authority form', (a) => message(a, 'GET evil.example:80 HTTP/1.1')),
    refused('asterisk form', (a) => message(a, 'OPTIONS * HTTP/1.1')),
    refused('a target without a slash', (a) => message(a, `GET ${a.path.slice(1)}x HTTP/1.1`)),
    refused('an empty target', (a) => message(a, 'GET  HTTP/1.1')),
    refused('HTTP/0.9', (a) => `GET ${a.path}\r\n\r\n`),
    refused('HTTP/0.9 with fields', (a) => get(a).replace(' HTTP/1.1', '')),
    ...['HTTP/1.10', 'HTTP/1.2', 'HTTP/2.0', 'HTTP/0.9', 'HTTP/11', 'http/1.1', 'HTTP/1,1', 'ICE/1.1'].map((version) =>
      refused(`the version ${version}`, (a) => message(a, `GET ${a.path} ${version}`)),
    ),
    refused('the preface of HTTP/2', () => 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'),
    refused('a method in small letters', (a) => message(a, `get ${a.path} HTTP/1.1`)),
    refused('a method with a space', (a) => message(a, `GE T ${a.path} HTTP/1.1`)),
    refused('a method that nobody knows', (a) => message(a, `EVIL ${a.path} HTTP/1.1`)),
    refused('a tab for the space', (a) => message(a, `GET\t${a.path} HTTP/1.1`)),
    refused('NUL in the target', (a) => message(a, `GET ${a.path}\0 HTTP/1.1`)),
    refused('a bare CR in the target', (a) => message(a, `GET ${a.path}\rX-User-Id: evil HTTP/1.1`)),
    refused('a space in the target, a version behind it', (a) => message(a, `GET ${a.path} HTTP/1.1 HTTP/1.1`)),
    refused('something behind the version', (a) => message(a, `GET ${a.path} HTTP/1.1x`)),
    refused('a TLS hello', () => '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n'),
    refused('the PROXY protocol', (a) => `PROXY TCP4 6.6.6.6 6.6.6.6 1 2\r\n${get(a)}`),
    single(
      'two spaces before the target',
      (a) => message(a, `GET  ${a.path} HTTP/1.1`),
      () => ({ method: 'GET' }),
    ),
    single(
      'empty lines before the request',
      (a) => `\r\n\r\n${get(a)}`,
      () => ({ method: 'GET' }),
    ),
    atMostOne('HTTP/1.0 without a Host', (a) => bare(`GET ${a.path} HTTP/1.0`, ordinaryFields(a))),
    single(
      'Host overridden in other fields',
      (a) =>
        get(a, [
          'X-Host: evil.example',
          `X-Forwarded-Host: evil-${a.marker}.example`,
          `Forwarded: host=evil-${a.marker}`,
        ]),
      () => ({ method: 'GET' }),
      { needs: ['echo'], never: (a) => [`evil-${a.marker}`] },
    ),
  ],
}
