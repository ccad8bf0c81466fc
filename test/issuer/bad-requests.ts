import { LONG, SEGMENTS } from './odd-values.ts'
import type { RecordedRoute, Schema } from './recorded-routes.ts'

/** A request before it is written out: what mutations change. */
export interface Draft {
  method: string
  /** The path of the route, with its parameters by name. */
  url: string
  params: Record<string, string>
  query: string
  headers: Record<string, string>
  body: unknown
  /** Makes the bytes of the body from its JSON. */
  encode(json: string): Buffer | string
}

/** One thing that is wrong with a request, whatever else it carries. */
export interface Mutation {
  name: string
  /** Where it is: two in one place could undo each other. */
  place: 'method' | 'path' | 'query' | 'field' | 'text' | 'type'
  apply(draft: Draft): Partial<Draft>
}

type Part = Pick<Mutation, 'name' | 'apply'>

/** What inject is given for a draft. */
export function written({ method, url, params, query, headers, body, encode }: Draft) {
  const path = url.replace(/:(\w+)|\*/g, (_part, name: string | undefined) => params[name ?? '*']!)
  const hasBody = body !== undefined && method !== 'GET' && method !== 'HEAD'
  return {
    method: method as 'GET',
    url: query === '' ? path : `${path}?${query}`,
    headers: { ...(hasBody && { 'content-type': 'application/json' }), ...headers },
    ...(hasBody && { payload: encode(JSON.stringify(body)) }),
  }
}

/** Everything that makes a request to this route a bad one. @param ignoresQuery whether it takes no notice of a query */
export function mutationsOf({ method, url, schema }: RecordedRoute, ignoresQuery: boolean): Mutation[] {
  const takesBody = !['GET', 'HEAD', 'OPTIONS'].includes(method)
  const at = (place: Mutation['place'], parts: Part[]) => parts.map((part) => ({ place, ...part }))
  return [
    ...at(
      'method',
      ODD_METHODS.map((odd) => ({ name: odd, apply: () => ({ method: odd }) })),
    ),
    ...(url === '*' ? [] : at('path', paths(url))),
    ...(ignoresQuery ? [] : at('query', queries(schema.querystring))),
    ...(takesBody && !schema.body ? at('field', UNASKED.map(unasked)) : []),
    ...(takesBody && schema.body
      ? [...at('field', fields(schema.body)), ...at('text', TEXTS), ...at('type', TYPES)]
      : []),
  ]
}

const ODD_METHODS = ['PATCH', 'TRACE', 'PROPFIND', 'SEARCH', 'QUERY']

function paths(url: string): Part[] {
  const names = [...url.matchAll(/:(\w+)|(\*)/g)].map(([, name, star]) => name ?? star!)
  return names.flatMap((name) =>
    // What is below a folder includes the folder itself.
    SEGMENTS.filter((text) => name !== '*' || text !== '').map((text) => ({
      name: `${name} = ${text.slice(0, 40)}`,
      apply: ({ params }) => ({ params: { ...params, [name]: text } }),
    })),
  )
}

const QUERIES = [
  'x',
  'x=1',
  '$where=1',
  '__proto__=x',
  '__proto__[a]=x',
  'constructor=x',
  'id[$ne]=',
  '=',
  '%zz',
  '%ff=1',
  LONG,
]

function queries(schema: Schema = { properties: {} }): Part[] {
  const known = Object.entries(schema.properties!).flatMap(([key, { maxLength, pattern, format }]) => [
    `${key}=1&${key}=1`,
    `${key}[]=1`,
    `${key}[$gt]=`,
    ...(maxLength === undefined ? [] : [`${key}=${'x'.repeat(maxLength + 1)}`]),
    ...(pattern || format ? [`${key}=%00`, `${key}=$ne`, `${key}=`, `${key}=${'9'.repeat(400)}`, `${key}=%ff`] : []),
  ])
  return [...QUERIES, ...known].map((query) => ({ name: `?${query.slice(0, 40)}`, apply: () => ({ query }) }))
}

/** Bodies for routes that take none. */
const UNASKED = [null, [], [{}], 'x', 7, true, { all: true }, { $where: '1' }, { roles: ['superuser'] }]
const unasked = (body: unknown): Part => ({ name: `unasked ${JSON.stringify(body)}`, apply: () => ({ body }) })

const UNKNOWN: [key: string, value: unknown][] = [
  ...['$where', '$gt', 'id', 'sub', 'epoch', 'passwordHash', 'password_hash', 'permission', 'is_admin', 'isVerified'],
  ...['constructor', 'prototype', 'toString', 'hasOwnProperty', 'then', '', '\u0000', 'emaíl', LONG],
].map((key): [string, unknown] => [key, { $ne: null }])
// The key is written as it is: a literal would set the prototype.
UNKNOWN.push(['[nested]', JSON.parse('{"constructor":{"prototype":{"isAdmin":true}}}')])

const WRONG: [type: string, value: unknown][] = [
  ...[null].map((value): [string, unknown] => ['null', value]),
  ...[true, false].map((value): [string, unknown] => ['boolean', value]),
  ...[0, 7, -1, 1.5, 1e308, Number.MAX_VALUE].map((value): [string, unknown] => ['number', value]),
  ...['', 'true', '1', '[object Object]'].map((value): [string, unknown] => ['string', value]),
  ...[[], ['x'], [[]], [{ $gt: '' }]].map((value): [string, unknown] => ['array', value]),
  ...[
    {},
    { $gt: '' },
    { $ne: null },
    { $where: 'sleep(1000)' },
    { $regex: '.*' },
    { length: 1, 0: 'x' },
    nested(500),
  ].map((value): [string, unknown] => ['object', value]),
]

function nested(depth: number): unknown {
  return JSON.parse(`${'{"a":'.repeat(depth)}1${'}'.repeat(depth)}`)
}

function fields(schema: Schema): Part[] {
  const { properties = {}, required = [], minProperties = 0 } = schema
  const parts: Part[] = wrongValues(schema).map((body) => ({ name: `body = ${short(body)}`, apply: () => ({ body }) }))
  for (const [key, field] of Object.entries(properties)) {
    for (const value of wrongValues(field)) {
      parts.push({
        name: `${key} = ${short(value)}`,
        apply: ({ body }) => ({ body: { ...(body as object), [key]: value } }),
      })
    }
  }
  for (const key of required) {
    parts.push({
      name: `without ${key}`,
      apply: ({ body }) => ({
        body: Object.fromEntries(Object.entries(body as object).filter(([name]) => name !== key)),
      }),
    })
  }
  if (minProperties > 0) parts.push({ name: 'no field at all', apply: () => ({ body: {} }) })
  for (const [key, value] of UNKNOWN.filter(([name]) => !Object.hasOwn(properties, name))) {
    parts.push({
      name: `+ ${key.slice(0, 40)}`,
      apply: ({ body }) => ({ body: { ...(body as object), [key]: value } }),
    })
  }
  return parts
}

const short = (value: unknown) => (JSON.stringify(value) ?? 'undefined').slice(0, 40)

/** Values that this schema never takes. */
function wrongValues(schema: Schema): unknown[] {
  const types = typesOf(schema)
  const values = WRONG.filter(
    ([type, value]) => !types.has(type === 'number' && Number.isInteger(value) ? 'integer' : type),
  )
  return [...values.map(([, value]) => value), ...outOfBounds(schema)]
}

function typesOf({ type, anyOf, const: only }: Schema): Set<string> {
  if (anyOf) return new Set(anyOf.flatMap((schema) => [...typesOf(schema)]))
  return new Set([type ?? typeof only])
}

function outOfBounds({ type, anyOf, const: only, enum: known, items, ...bounds }: Schema): unknown[] {
  const { maxLength, minLength = 0, pattern, format, minimum, maximum, maxItems } = bounds
  if (anyOf) return []
  if (known) return ['', 'COOKIE', 'cookie\u0000']
  if (only !== undefined) return ['', `${only} `]
  if (type === 'array') {
    const tooMany = Array.from({ length: (maxItems ?? 1000) + 1 }, (_, n) => `a${n}`)
    return [tooMany, ...wrongValues(items!).map((value) => [value])]
  }
  if (type === 'integer') return [minimum! - 1, maximum! + 1]
  if (type !== 'string') return []
  return [
    '\ud800',
    'half \udc00 a character',
    'x'.repeat((maxLength ?? 2000) + 1),
    ...(minLength > 0 ? [''] : []),
    ...(pattern || format === 'uuid' ? ['\u0000', '$gt', ' '] : []),
  ]
}

const MEGABYTE = 1024 * 1024
const insert = (json: string, at: number, bytes: number[]) =>
  Buffer.concat([Buffer.from(json.slice(0, at)), Buffer.from(bytes), Buffer.from(json.slice(at))])
/** With one more member in front. */
const member = (json: string, text: string) => `{${text}${json === '{}' ? '' : ','}${json.slice(1)}`

const TEXTS: Part[] = (
  [
    ['a field twice', twice],
    ['a field twice, spelled otherwise', (json) => twice(json, spelled)],
    ['__proto__', (json) => member(json, '"__proto__":{"isAdmin":true}')],
    ['__proto__, spelled otherwise', (json) => member(json, '"\\u005f_proto__":null')],
    ['cut off', (json) => json.slice(0, -1)],
    ['something after it', (json) => `${json}x`],
    ['two of them', (json) => json + json],
    ['a byte order mark', (json) => `\ufeff${json}`],
    ['UTF-16', (json) => Buffer.from(json, 'utf16le')],
    ['invalid UTF-8', (json) => insert(json, 2, [0xff])],
    ['overlong UTF-8', (json) => insert(json, 2, [0xc0, 0xaf])],
    ['a NUL', (json) => insert(json, 1, [0])],
    ['NaN', (json) => member(json, '"a":NaN')],
    ['a comment', (json) => `/* */${json}`],
    ['single quotes', (json) => json.replaceAll('"', "'").replace('{}', "{'a':1}")],
    ['a number without end', (json) => member(json, `"a":${'9'.repeat(9000)}`)],
    ['infinity', (json) => member(json, '"a":1e400')],
    ['deep nesting', (json) => member(json, `"a":${'['.repeat(7000)}${']'.repeat(7000)}`)],
    ['nothing but nesting', () => '['.repeat(16_000)],
    ['1 MB of white space', (json) => json + ' '.repeat(MEGABYTE)],
    ['1 MB in a field', (json) => member(json, `"a":"${'x'.repeat(MEGABYTE)}"`)],
    ['1000 unknown fields', (json) => member(json, Array.from({ length: 1000 }, (_, n) => `"u${n}":0`).join())],
  ] satisfies [string, Draft['encode']][]
).map(([name, encode]) => ({
  name,
  // With a body that takes no part in it, so that what is wrong is in the text alone.
  apply: ({ body }) => ({
    encode,
    body: typeof body === 'object' && body !== null && !Array.isArray(body) ? body : {},
  }),
}))

function twice(json: string, spell: (key: string) => string = (key) => key): string {
  const [first] = Object.entries(JSON.parse(json) as object)
  if (!first) return '{"a":1,"a":1}'
  return member(json, `"${spell(first[0])}":${JSON.stringify(first[1])}`)
}

function spelled(key: string): string {
  return key.replace(/./gs, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`)
}

const TYPES: Part[] = [
  'text/plain',
  'application/xml',
  'multipart/form-data; boundary=x',
  'application/jsonp',
  'json',
  '*/*',
  LONG,
].map((type) => ({
  name: `content-type: ${type.slice(0, 40)}`,
  apply: ({ headers }) => ({ headers: { ...headers, 'content-type': type } }),
}))
