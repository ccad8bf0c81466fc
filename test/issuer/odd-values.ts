import fc from 'fast-check'
import type { Schema } from './recorded-routes.ts'

export const LONG = 'x'.repeat(5000)
const RIGHT_TO_LEFT = '%E2%80%AE'

/** Segments of a path that name nothing. */
export const SEGMENTS = [
  ...[
    '%',
    '%zz',
    '%ff',
    '%ed%a0%80',
    '%c0%ae%c0%ae',
    '%00',
    '%0d%0aset-cookie:x=1',
    RIGHT_TO_LEFT,
    '',
    'x'.repeat(129),
  ],
  ...['..%2f..%2fpackage.json', '%24gt', '%7B%22%24ne%22%3Anull%7D', '[object%20Object]', '$where', '__proto__'],
  ...['constructor', 'toString', 'null', 'undefined', '1e400', "'%20OR%201=1--", LONG],
]

const NASTY = [
  ...[
    '',
    ' ',
    '\u0000',
    'a\u0000b',
    '\u202e',
    '\ufeff',
    '\u{10ffff}',
    'ß'.repeat(40),
    '\u0130@\u0130.com',
    'a@b',
    '__proto__',
  ],
  ...[
    'constructor',
    'toString',
    'valueOf',
    'hasOwnProperty',
    '$gt',
    '{"$ne":null}',
    "' OR 1=1--",
    '%00',
    '../../etc/passwd',
  ],
  ...['\r\nset-cookie: a=b', '(a+)+$', 'null', 'undefined', 'NaN', '-1', '1e999', `${'a'.repeat(64)}@example.com`],
  ...['xn--a@xn--a.xn--a', 'a@[127.0.0.1]', '"a"@b.com', 'ﬃ@example.com', '\u0345', '.', '..', '*', ':', '|', '🤨'],
]

const text: fc.Arbitrary<string> = fc.oneof(
  fc.constantFrom(...NASTY),
  fc.string({ unit: 'binary', maxLength: 60 }),
  fc.string({ unit: 'grapheme', maxLength: 60 }),
  fc.string({ maxLength: 60 }),
)

/** Any value that this schema takes, the nasty ones before the others. */
export function fitting(schema: Schema): fc.Arbitrary<unknown> {
  const {
    type,
    properties = {},
    required = [],
    items,
    anyOf,
    const: only,
    enum: known,
    pattern,
    format,
    minLength = 0,
  } = schema
  if (anyOf) return fc.oneof(...anyOf.map(fitting))
  if (only !== undefined) return fc.constant(only)
  if (known) return fc.constantFrom(...known)
  if (type === 'object') {
    const entries = Object.entries(properties).map(([key, field]) => [key, fitting(field)] as const)
    return fc.record(Object.fromEntries(entries), { requiredKeys: required })
  }
  if (type === 'array') return fc.uniqueArray(fitting(items!), { maxLength: Math.min(schema.maxItems ?? 5, 5) })
  if (type === 'boolean') return fc.boolean()
  if (type === 'null') return fc.constant(null)
  if (type === 'integer') return fc.integer({ min: schema.minimum ?? -10, max: schema.maximum ?? 10 })
  if (pattern) return fc.stringMatching(new RegExp(pattern))
  if (format === 'uuid') return fc.uuid()
  const fits = (value: string) => value.length >= minLength && value.isWellFormed()
  return text.map((value) => value.slice(0, schema.maxLength)).filter(fits)
}

/** Any header fields that a parser lets through. */
export const oddHeaders: fc.Arbitrary<object> = fc.record(
  Object.fromEntries(
    Object.entries({
      authorization: [
        '',
        'Bearer',
        'Bearer ',
        'Bearer a b',
        'Bearer .',
        'Bearer a.b.c',
        `Bearer ${LONG}${LONG}`,
        'Basic',
        'Basic Og==',
        'Basic =',
        'Basic /////w==',
        'Basic Og==, Bearer x',
        'Digest x',
      ],
      cookie: [
        '',
        '=',
        '; ;',
        '__Host-refresh_token=',
        '__Host-refresh_token=%E0%A4%A',
        '__Host-refresh_token=a; __Host-refresh_token=b',
        '__proto__=x',
        `a=${LONG}`,
      ],
      'user-agent': ['', '\u00ff\u00fe', LONG],
      'x-forwarded-for': ['', 'x', ',', '::', '1.2.3.4, x', '999.1.1.1', '[::1]:1', 'fe80::1%eth0', LONG],
      'x-forwarded-host': ['evil.example', '', ','],
      'x-forwarded-proto': ['javascript', ''],
      traceparent: ['', 'x', `00-${'0'.repeat(32)}-${'0'.repeat(16)}-00`],
      'if-none-match': ['*', ',', LONG],
      'accept-encoding': ['', '*;q=0', 'x'],
      accept: ['', '*', 'x/y;q=2'],
      range: ['bytes=9-1', 'bytes=-', 'bytes=99999999-', 'x'],
      'last-event-id': ['', '-1', '{"$gt":""}', LONG],
      'sec-fetch-site': ['', 'same-origin', 'none'],
      expect: ['100-continue'],
      host: ['', 'evil.example', '[', 'a:b:c', '%00'],
      'content-type': [
        '',
        'application/json;',
        'application/json; charset=utf-16',
        'application/json, text/html',
        ';',
        '\u00ff',
      ],
    }).map(([name, values]) => [name, fc.constantFrom(...values)]),
  ),
  { requiredKeys: [] },
)

/** Any text as one segment of a path. */
export const segment: fc.Arbitrary<string> = fc.oneof(
  fc.constantFrom(...SEGMENTS),
  text.filter((value) => value.isWellFormed()).map(encodeURIComponent),
)
