import { get } from '../requests.ts'
import { type AttackClass, refused, single } from '../row.ts'

/** Behind the path that is asked for; each has a reader who sees another path in it. */
const AMBIGUOUS = [
  '/../admin',
  '/..%2fadmin',
  '/%2e%2e/admin',
  '/%2E./admin',
  '/.%2e/admin',
  '/..;/admin',
  '/;/../admin',
  ';x=y/../admin',
  '//admin',
  '/./a',
  '/a/.',
  '/a/..',
  '/.../a',
  '/%2fadmin',
  '/%2Fadmin',
  '/%5c..%5cadmin',
  '\\..\\admin',
  '/%252e%252e/admin',
  '/%252fadmin',
  '/%25%32%66admin',
  '/a%00b',
  '/a%00.html',
  '/a#b',
  '/a%23/../../admin%3f',
  '/a%3bb',
  '/%61dmin',
  '/%',
  '/%zz',
  '/%c0%ae%c0%ae/admin',
  '/%u002e%u002e/admin',
  '/\xc3\xa9',
  '/%0d%0aX-User-Id:%20evil',
  '/%20/a',
  '/%09a',
  '/a\tb',
  '/<a>',
  '/{a}',
]

export const PATH_CONFUSION: AttackClass = {
  id: 'path-confusion',
  title: 'path confusion against route rules',
  known: ['CVE-2026-33494', 'CVE-2021-31920', 'CVE-2021-39156', 'CVE-2025-54576', 'CVE-2026-40575'],
  holds: 'what was matched is what is forwarded; a target that two parsers could read differently is 400',
  alsoTestedIn: [
    'test/attack/path-confusion.test.ts',
    'test/sidecar/domain/target.test.ts',
    'test/sidecar/domain/route-pattern.test.ts',
  ],
  rows: [
    ...AMBIGUOUS.map((tail) =>
      refused(`the path with ${JSON.stringify(tail)} behind it`, (a) => get(a, [], a.path.replace(/\/$/, '') + tail), {
        statuses: [400],
      }),
    ),
    refused('a path of two slashes and a host', (a) => get(a, [], `//evil.example${a.path}`), { statuses: [400] }),
    refused('a target of 9,000 bytes', (a) => get(a, [], `${a.path}?${'a'.repeat(9000)}`), { statuses: [400, 414] }),
    refused('a target of 60,000 bytes', (a) => get(a, [], `${a.path}?${'a'.repeat(60_000)}`), {
      statuses: [400, 414, 431],
    }),
    ...['?', '?a=%zz&b="<>{}`&c=/../..//;d', '?a=1?b=2', '?url=http://evil.example//x', '?%0d%0aX-User-Id:%20evil'].map(
      (query) =>
        single(
          `the query ${query}, which goes on as it is`,
          (a) => get(a, [], a.path + query),
          (a) => ({ method: 'GET', target: a.path + query }),
        ),
    ),
    single(
      'fields that name another path or method',
      (a) =>
        get(
          a,
          [
            'X-Original-URL',
            'X-Rewrite-URL',
            'X_Original_Url',
            'X-Original-URI',
            'X-HTTP-Method-Override',
            'X-Forwarded-Uri',
          ].map((name) => `${name}: /evil-${a.marker}`),
        ),
      () => ({ method: 'GET' }),
      { needs: ['echo'], never: (a) => [`evil-${a.marker}`] },
    ),
  ],
}
