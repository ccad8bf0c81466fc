import { CHUNKED, chunked, lengthOf, post } from '../requests.ts'
import { type AttackClass, refused, single } from '../row.ts'

export const CONTENT_LENGTH: AttackClass = {
  id: 'content-length',
  title: 'request smuggling: Content-Length',
  known: ['CVE-2022-35256', 'CVE-2024-27982', 'CVE-2025-23167'],
  holds: 'one request in, at most one out; a length that has two readings is refused',
  alsoTestedIn: ['test/attack/differential.test.ts'],
  rows: [
    refused('CL.TE: Content-Length, then chunked', (a) =>
      post(a, ['Content-Length: 4', CHUNKED], `0\r\n\r\n${a.hidden}`),
    ),
    refused('TE.CL: chunked, then Content-Length', (a) => post(a, [CHUNKED, 'Content-Length: 4'], chunked(a.hidden))),
    refused('CL.TE with a body that both readings end alike', (a) =>
      post(a, ['Content-Length: 5', CHUNKED], '0\r\n\r\n'),
    ),
    refused('CL.0: no length and chunked', (a) => post(a, ['Content-Length: 0', CHUNKED], `0\r\n\r\n${a.hidden}`)),
    refused('two lengths that differ', (a) => post(a, ['Content-Length: 0', lengthOf(a.hidden)], a.hidden)),
    refused('two lengths that differ, the other way about', (a) =>
      post(a, [lengthOf(a.hidden), 'Content-Length: 0'], a.hidden),
    ),
    refused('two lengths that agree', (a) => post(a, ['Content-Length: 2', 'Content-Length: 2'], 'ab')),
    refused('a list of lengths that agree', (a) => post(a, ['Content-Length: 2, 2'], 'ab')),
    refused('a list of lengths that differ', (a) => post(a, [`Content-Length: 0, ${a.hidden.length}`], a.hidden)),
    refused('a length with a plus sign', (a) => post(a, ['Content-Length: +2'], 'ab')),
    refused('a negative length', (a) => post(a, ['Content-Length: -2'], 'ab')),
    refused('a hexadecimal length', (a) => post(a, ['Content-Length: 0x2'], 'ab')),
    refused('a length with an exponent', (a) => post(a, ['Content-Length: 2e0'], 'ab')),
    refused('a length with a fraction', (a) => post(a, ['Content-Length: 2.0'], 'ab')),
    refused('a length with an underscore', (a) => post(a, ['Content-Length: 0_2'], 'ab')),
    refused('a length in quotes', (a) => post(a, ['Content-Length: "2"'], 'ab')),
    refused('a length with a space inside', (a) => post(a, ['Content-Length: 2 2'], 'ab')),
    refused('a length with a comma behind', (a) => post(a, ['Content-Length: 2,'], 'ab')),
    refused('a length with a parameter', (a) => post(a, ['Content-Length: 2;a=b'], 'ab')),
    refused('a length that is empty', (a) => post(a, ['Content-Length: '], a.hidden)),
    refused('a length in digits that are not ASCII', (a) => post(a, ['Content-Length: \xb2'], 'ab')),
    refused('a length with a vertical tab', (a) => post(a, ['Content-Length: \x0b2'], 'ab')),
    refused('a length beyond 64 bits', (a) => post(a, ['Content-Length: 18446744073709551617'], 'a')),
    single(
      'a length with zeros before it',
      (a) => post(a, ['Content-Length: 0002'], 'ab'),
      () => ({ body: 'ab' }),
    ),
    single(
      'a length with blanks around it',
      (a) => post(a, ['Content-Length: \t 2 \t'], 'ab'),
      () => ({ body: 'ab' }),
    ),
    single(
      'an alias of Content-Length (Content_Length: 0) before the true one',
      (a) => post(a, ['Content_Length: 0', lengthOf(a.hidden)], a.hidden),
      (a) => ({ body: a.hidden }),
      { never: () => ['Content_Length'] },
    ),
    single(
      'Connection: content-length',
      (a) => post(a, ['Connection: content-length', lengthOf(a.hidden)], a.hidden),
      (a) => ({ body: a.hidden }),
    ),
    ...['GET', 'OPTIONS'].map((method) =>
      single(
        `a request as the body of ${method}`,
        (a) => post(a, [lengthOf(a.hidden)], a.hidden, method),
        (a) => ({ method, body: a.hidden }),
      ),
    ),
    single(
      'a request as the body of POST, its head and body in packets of their own',
      (a) => [post(a, [lengthOf(a.hidden)]), a.hidden.slice(0, 7), a.hidden.slice(7)],
      (a) => ({ body: a.hidden }),
    ),
  ],
}
