import type { Shot } from '../deployment.ts'
import { bare, CHUNKED, chunked, lengthOf, ordinaryFields } from '../requests.ts'
import { type AttackClass, type Row, refused } from '../row.ts'

const BODIES: [name: string, fields: (a: Shot) => string[], body: (a: Shot) => string][] = [
  ['with a length', (a) => [lengthOf(a.hidden)], (a) => a.hidden],
  ['of which only a part has come', () => ['Content-Length: 5000'], (a) => a.hidden],
  ['in chunks', () => [CHUNKED], (a) => chunked(a.hidden)],
  ['in chunks that go on', () => [CHUNKED], (a) => `${a.hidden.length.toString(16)}\r\n${a.hidden}\r\n`],
  ['that waits for 100 Continue', (a) => ['Expect: 100-continue', lengthOf(a.hidden)], (a) => a.hidden],
]

const noToken = (a: Shot, fields: string[], body: string) =>
  bare(`POST ${a.path} HTTP/1.1`, [`Host: ${a.host}`, `X-Attack: ${a.marker}`, ...fields], body)

export const UNREAD_BODY: AttackClass = {
  id: 'unread-body',
  title: 'an unread body becomes the next request',
  known: ['CVE-2025-55702'],
  holds: 'after a refusal the body is read away or the connection is ended',
  alsoTestedIn: ['test/attack/connections.test.ts'],
  rows: BODIES.flatMap(([name, fields, body]): Row[] => [
    refused(`refused for want of a token, a body ${name}`, (a) => noToken(a, fields(a), body(a)), {
      statuses: [401],
      needs: ['guard'],
    }),
    refused(`refused for its target, a body ${name}`, (a) =>
      bare(`POST ${a.path}/../x HTTP/1.1`, [`Host: ${a.host}`, ...ordinaryFields(a), ...fields(a)], body(a)),
    ),
    refused(
      `refused for its method, a body ${name}`,
      (a) => bare(`TRACE ${a.path} HTTP/1.1`, [`Host: ${a.host}`, ...ordinaryFields(a), ...fields(a)], body(a)),
      { statuses: [400, 405, 501] },
    ),
  ]),
}
