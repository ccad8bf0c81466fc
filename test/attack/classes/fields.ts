import { get, lengthOf, post } from '../requests.ts'
import { type AttackClass, refused, single } from '../row.ts'

export const FIELDS: AttackClass = {
  id: 'fields',
  title: 'request smuggling: what is a field',
  known: ['CVE-2022-35256', 'CVE-2024-27982', 'CVE-2026-58044', 'CVE-2026-21710'],
  holds: 'a line that one reader takes for a field and another does not is refused; none is hidden behind others',
  alsoTestedIn: ['test/attack/differential.test.ts'],
  rows: [
    refused('a space before the colon of Content-Length', (a) => post(a, ['Content-Length : 2'], 'ab')),
    refused('a tab before the colon of Content-Length', (a) => post(a, ['Content-Length\t: 2'], 'ab')),
    refused('a space in a name', (a) => post(a, ['X User: a', 'Content-Length: 2'], 'ab')),
    refused('an empty name', (a) => post(a, [': a'])),
    refused('a line without a colon', (a) => post(a, ['Nonsense'])),
    refused('NUL in a value', (a) => post(a, ['X-A: a\0b'])),
    refused('NUL in a name', (a) => post(a, ['X\0A: a'])),
    refused('a control character in a value', (a) => post(a, ['X-A: a\x01b'])),
    refused('DEL in a value', (a) => post(a, ['X-A: a\x7fb'])),
    refused('a control character in a name', (a) => post(a, ['X\x01A: a'])),
    refused('a byte beyond ASCII in a name', (a) => post(a, ['X-\xe9: a'])),
    refused('a bare CR in a value, a coding behind it', (a) => post(a, ['X-A: a\rTransfer-Encoding: chunked'])),
    refused('a bare CR at the end of a value', (a) => post(a, ['X-A: a\r', 'Content-Length: 0'])),
    refused('a bare CR before the colon', (a) => post(a, ['X-A\r: a'])),
    refused('a bare LF after a field, a length behind it', (a) =>
      post(a, [`X-A: a\nContent-Length: ${a.hidden.length}`], a.hidden),
    ),
    refused('an empty line of LF alone', (a) => `${get(a).slice(0, -4)}\n\n${a.hidden}`),
    refused('an empty line of CR and LF behind LF', (a) => `${get(a).slice(0, -4)}\n\r\n${a.hidden}`),
    refused('bare LF throughout', (a) => get(a).replaceAll('\r\n', '\n')),
    refused('bare CR throughout', (a) => `${get(a).replaceAll('\r\n', '\r')}\r\n\r\n`),
    refused('a fold', (a) => post(a, ['X-A: a\r\n b', 'Content-Length: 0'])),
    refused('a fold with a tab', (a) => post(a, ['X-A: a\r\n\tb', 'Content-Length: 0'])),
    refused('a fold that looks like an identity header', (a) => post(a, ['X-A: a\r\n X-User-Id: evil'])),
    refused('a length in a fold', (a) => post(a, ['Content-Length:\r\n 2'], 'ab')),
    refused('a fold of blanks alone', (a) => post(a, ['X-A: a\r\n ', 'Content-Length: 0'])),
    refused('a space before the first field', (a) => get(a).replace('\r\nHost', '\r\n Host')),
    refused('a space before the end of the head', (a) => `${get(a).slice(0, -2)} \r\n\r\n`),
    single(
      'two thousand fields before an identity header (hidden past maxHeadersCount)',
      (a) => get(a, [...Array(2100).fill('a:'), `X-User-Id: evil-${a.marker}`, `X-Last: last-${a.marker}`]),
      () => ({ method: 'GET' }),
      { never: (a) => [`evil-${a.marker}`], always: (a) => [['X-Last', `last-${a.marker}`]], mayRefuse: true },
    ),
    single(
      'two thousand fields before the length (hidden past maxHeadersCount)',
      (a) => post(a, [...Array(2100).fill('a:'), lengthOf(a.hidden)], a.hidden),
      (a) => ({ body: a.hidden }),
      { mayRefuse: true },
    ),
    refused('two thousand fields between two lengths', (a) =>
      post(a, ['Content-Length: 0', ...Array(2100).fill('a:'), lengthOf(a.hidden)], a.hidden),
    ),
    refused('two thousand fields between length and coding', (a) =>
      post(a, ['Content-Length: 4', ...Array(2100).fill('a:'), 'Transfer-Encoding: chunked'], `0\r\n\r\n${a.hidden}`),
    ),
    refused(
      'two thousand fields between two Authorizations',
      (a) => get(a, [...Array(2100).fill('a:'), 'Authorization: Bearer evil']),
      { statuses: [401], needs: ['token'] },
    ),
    ...['__proto__', 'constructor', 'toString', 'hasOwnProperty'].map((name) =>
      single(
        `a field named ${name}`,
        (a) => get(a, [`${name}: x`, `${name}: y`]),
        () => ({ method: 'GET' }),
      ),
    ),
  ],
}
