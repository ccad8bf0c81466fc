import { bare, CHUNKED, chunked, lengthOf, ordinaryFields, post } from '../requests.ts'
import { type AttackClass, refused, single } from '../row.ts'

const OBFUSCATED: [name: string, fields: string[]][] = [
  ['an unknown coding', ['Transfer-Encoding: xchunked']],
  ['identity', ['Transfer-Encoding: identity']],
  ['gzip', ['Transfer-Encoding: gzip']],
  ['chunked, then another', ['Transfer-Encoding: chunked, identity']],
  ['another, then chunked', ['Transfer-Encoding: gzip, chunked']],
  ['identity, then chunked', ['Transfer-Encoding: identity, chunked']],
  ['chunked twice', ['Transfer-Encoding: chunked, chunked']],
  ['chunked twice, in two fields', [CHUNKED, CHUNKED]],
  ['an empty member before chunked', ['Transfer-Encoding: , chunked']],
  ['a comma behind chunked', ['Transfer-Encoding: chunked,']],
  ['an empty field, then chunked', ['Transfer-Encoding: ', CHUNKED]],
  ['another, and chunked in a second field', ['Transfer-Encoding: identity', CHUNKED]],
  ['chunked, and another in a second field', [CHUNKED, 'Transfer-Encoding: identity']],
  ['chunked, and cow in a second field', [CHUNKED, 'Transfer-Encoding: cow']],
  ['a coding in quotes', ['Transfer-Encoding: "chunked"']],
  ['a vertical tab before the coding', ['Transfer-Encoding: \x0bchunked']],
  ['a form feed behind the coding', ['Transfer-Encoding: chunked\x0c']],
  ['NUL behind the coding', ['Transfer-Encoding: chunked\0']],
  ['a byte beyond ASCII behind the coding', ['Transfer-Encoding: chunked\xa0']],
  ['a parameter', ['Transfer-Encoding: chunked;q=1']],
  ['a space before the colon', ['Transfer-Encoding : chunked']],
  ['a tab before the colon', ['Transfer-Encoding\t: chunked']],
  ['a fold before the coding', ['Transfer-Encoding:\r\n chunked']],
  ['a bare LF before the field', ['X-A: b\nTransfer-Encoding: chunked']],
  ['a bare CR before the field', ['X-A: b\rTransfer-Encoding: chunked']],
  ['a space before the name', ['X-A: b', ' Transfer-Encoding: chunked']],
]

export const TRANSFER_ENCODING: AttackClass = {
  id: 'transfer-encoding',
  title: 'request smuggling: Transfer-Encoding',
  known: ['CVE-2022-35256', 'CVE-2025-23167'],
  holds: 'chunked and nothing else; what one reader sees and another does not is refused',
  alsoTestedIn: ['test/attack/differential.test.ts'],
  rows: [
    ...OBFUSCATED.flatMap(([name, fields]) => [
      refused(`TE.TE: ${name}`, (a) => post(a, fields, chunked('ab'))),
      refused(`TE.TE beside a length: ${name}`, (a) =>
        post(a, ['Content-Length: 4', ...fields], `0\r\n\r\n${a.hidden}`),
      ),
    ]),
    refused('chunked from a client of HTTP/1.0, with a length', (a) =>
      bare(
        `POST ${a.path} HTTP/1.0`,
        [`Host: ${a.host}`, ...ordinaryFields(a), CHUNKED, 'Content-Length: 4'],
        `0\r\n\r\n${a.hidden}`,
      ),
    ),
    single(
      'an alias (Transfer_Encoding: chunked) beside a length',
      (a) => post(a, ['Transfer_Encoding: chunked', 'Content-Length: 5'], '0\r\n\r\n'),
      () => ({ body: '0\r\n\r\n' }),
      { never: () => ['Transfer_Encoding'] },
    ),
    single(
      'chunked in capitals',
      (a) => post(a, ['Transfer-Encoding: CHUNKED'], chunked('ab')),
      () => ({ body: 'ab' }),
    ),
    single(
      'Connection: transfer-encoding',
      (a) => post(a, ['Connection: transfer-encoding', CHUNKED], chunked(a.hidden)),
      (a) => ({ body: a.hidden }),
    ),
    single(
      'a request as a chunk',
      (a) => post(a, [CHUNKED], chunked(a.hidden)),
      (a) => ({ body: a.hidden }),
    ),
    single(
      'a request as a chunk of GET',
      (a) => post(a, [CHUNKED], chunked(a.hidden), 'GET'),
      (a) => ({ method: 'GET', body: a.hidden }),
    ),
    single(
      'a request as the body, where a field looks like a coding',
      (a) => post(a, ['X-Transfer-Encoding: chunked', lengthOf(a.hidden)], a.hidden),
      (a) => ({ body: a.hidden }),
    ),
  ],
}
