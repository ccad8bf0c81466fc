import { generateKeyPairSync } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { test } from 'tap'
import {
  certificates,
  duration,
  feedToken,
  flag,
  integer,
  type Kind,
  list,
  oneOf,
  optional,
  port,
  readSettings,
  row,
  SettingsError,
  type SettingsTable,
  size,
  text,
  unknownSettings,
  url,
} from '../../shared/settings.ts'

const KINDS: [name: string, kind: Kind<unknown>, right: [string, unknown][], wrong: string[]][] = [
  ['a text', text, [['a', 'a']], ['']],
  [
    'a number',
    integer(-1, 100),
    [
      ['0', 0],
      ['100', 100],
      ['-1', -1],
    ],
    ['101', '-2', '1.5', '1e1', '0x1', ' 1', '1 ', '', 'NaN', '9'.repeat(16)],
  ],
  [
    'a token of the feed',
    feedToken,
    [['0123456789 #=~+/x', '0123456789 #=~+/x']],
    ['short', '0123456789abcde\n0123456789abcdef', '0123456789abcdef\r', '0123456789abcdef\0', '0123456789abcdefé'],
  ],
  [
    'a port',
    port,
    [
      ['0', 0],
      ['65535', 65535],
    ],
    ['65536', '-1', 'http'],
  ],
  [
    'a duration',
    duration('1ms', '1d'),
    [
      ['1ms', 1],
      ['60s', 60_000],
      ['5m', 300_000],
      ['1h', 3_600_000],
      ['1d', 86_400_000],
    ],
    ['0s', '2d', '60', '1.5s', '-1s', '1 s', '1S', 's', '', '9999999999s'],
  ],
  [
    'a size',
    size('1B', '1GiB'),
    [
      ['1B', 1],
      ['64KiB', 65_536],
      ['16MiB', 16_777_216],
      ['1GiB', 1_073_741_824],
    ],
    ['0B', '2GiB', '1024', '1MB', '1kib', '1.5MiB', '-1B', ''],
  ],
  [
    'a switch',
    flag,
    [
      ['on', true],
      ['true', true],
      ['off', false],
      ['false', false],
    ],
    ['yes', 'ON', '1', '0', '', 'constructor', '__proto__', 'toString'],
  ],
  ['one of', oneOf('a', 'b'), [['a', 'a']], ['c', 'A', '', 'constructor']],
  [
    'a list',
    list(integer(1, 3)),
    [
      ['1', [1]],
      ['1, 2,3', [1, 2, 3]],
    ],
    ['', '1,,2', ',', '1,4', '1;2'],
  ],
  ['an optional one', optional(integer(1, 3)), [['1', 1]], ['4']],
  [
    'an address',
    url(['http', 'https']),
    [
      ['http://h', 'http://h'],
      ['https://h:8443/', 'https://h:8443'],
      ['http://[::1]:80/base/', 'http://[::1]:80/base'],
    ],
    [
      ...[
        'h',
        'ftp://h',
        'http://',
        'http:h',
        'http:/h',
        'http:\\\\h',
        'http://h\\a',
        ' http://h',
        'http://h ',
        'http://h\n',
      ],
      ...[
        'http://u@h',
        'http://u:p@h',
        'http://@h',
        'http://h?',
        'http://h/?a',
        'http://h#',
        'http://h/#a',
        'http://h:99999',
        'http://é',
      ],
    ],
  ],
  [
    'a whole address',
    url(['redis', 'rediss'], true),
    [['redis://:p@h:6379/1?a=b', 'redis://:p@h:6379/1?a=b']],
    ['http://h', 'redis:h', 'redis://h h', 'redis://h:99999'],
  ],
]

test('each kind reads what is of it, and nothing else', async (t) => {
  for (const [name, kind, right, wrong] of KINDS) {
    for (const [value, expected] of right) t.same(kind.read(value), expected, `${name}: ${value}`)
    for (const value of wrong) t.equal(kind.read(value), undefined, `${name}: ${JSON.stringify(value)}`)
  }
})

test('a value is shown as one would write it', async (t) => {
  for (const kind of [duration('1ms', '365d'), list(duration('1ms', '365d')), flag] as Kind<unknown>[]) {
    fc.assert(
      fc.property(fc.nat(1e7), fc.constantFrom('ms', 's', 'm', 'h'), (count, unit) => {
        const value = kind.read(`${count}${unit}`)
        if (value === undefined) return true
        return JSON.stringify(kind.read(kind.show?.(value) ?? String(value))) === JSON.stringify(value)
      }),
    )
  }
  t.equal(flag.show?.(true), 'on')
  t.equal(duration('0s', '1d').show?.(0), '0ms')
  t.equal(duration('0s', '1d').show?.(90_000), '90s')
})

const TABLE = {
  NAME: { kind: text, default: 'nobody', meaning: '' },
  COUNT: { kind: integer(1, 10), default: 5, meaning: '' },
  SECRET: { kind: text, default: undefined, meaning: '', secret: true },
  PIN: { kind: integer(1000, 9999), default: 1000, meaning: '', secret: true },
} satisfies SettingsTable

function problemsOf(env: NodeJS.ProcessEnv): string[] {
  try {
    readSettings(TABLE, env)
    return []
  } catch (error) {
    if (error instanceof SettingsError) return error.problems
    throw error
  }
}

test('defaults hold where nothing is set, an empty variable being nothing', async (t) => {
  const defaults = { NAME: 'nobody', COUNT: 5, SECRET: undefined, PIN: 1000 }
  t.same(readSettings(TABLE, {}), defaults)
  t.same(readSettings(TABLE, { NAME: '', COUNT: '', SECRET_FILE: '' }), defaults)
  t.same(readSettings(TABLE, { NAME: 'a', COUNT: '7', OTHER: 'x' }), { ...defaults, NAME: 'a', COUNT: 7 })
})

test('every problem is reported at once, by name, with what would be right', async (t) => {
  const problems = problemsOf({ COUNT: '11', PIN: '12', NAME: 'a' })
  t.same(problems, [
    'COUNT: "11" is not a whole number from 1 to 10',
    'PIN: the given value is not a whole number from 1000 to 9999',
  ])
  t.notMatch(problems.join(), /"12"/, 'a secret is not shown')
  t.match(problemsOf({ COUNT: `${'9'.repeat(500)}` })[0], /^.{0,200}$/, 'and a long value not whole')
})

test('secrets in a setting that is none are not shown either', async (t) => {
  const table = {
    CA: row(optional(certificates), undefined, ''),
    UPSTREAM: row(optional(url(['http', 'https'])), undefined, ''),
    BROKERS: row(optional(list(port)), undefined, ''),
  }
  const read = (env: Record<string, string>) => () => readSettings(table, env)
  const key = generateKeyPairSync('ed25519').privateKey.export({ format: 'pem', type: 'pkcs8' }) as string
  t.throws(read({ CA: key }), { message: 'CA: the given value is not one or more certificates in PEM format' })
  t.throws(read({ UPSTREAM: 'http://ada:s3cret@app' }), { message: /^UPSTREAM: the given value is not an address/ })
  t.throws(read({ BROKERS: 'kafka://ada:s3cret@a,b' }), { message: /^BROKERS: the given value is not/ })
  t.throws(read({ UPSTREAM: 'app@home' }), { message: /^UPSTREAM: "app@home" is not/ })
})

test('a value may come from a file', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'settings-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const file = (name: string, content: string) => {
    writeFileSync(join(folder, name), content)
    return join(folder, name)
  }
  const read = (content: string) => readSettings(TABLE, { SECRET_FILE: file('secret', content) }).SECRET
  t.equal(read('s3cret'), 's3cret')
  t.equal(read('s3cret\n'), 's3cret', 'without the newline at its end')
  t.equal(read('s3cret\r\n'), 's3cret')
  t.equal(read(' a\nb \n'), ' a\nb ', 'and with everything else')
  t.match(
    problemsOf({ SECRET_FILE: file('empty', '\n') }),
    [/^SECRET: the given value is not/],
    'an empty file sets nothing right',
  )
  t.match(problemsOf({ SECRET_FILE: file('a', 'a'), SECRET: 'b' }), [/^SECRET: set either/])
  t.match(problemsOf({ SECRET_FILE: join(folder, 'absent') }), [/^SECRET_FILE: .*absent cannot be read \(ENOENT\)$/])
  t.match(problemsOf({ COUNT_FILE: file('count', '11') }), [/^COUNT: "11" is not/])
})

test('a setting that does not exist is not ignored', async (t) => {
  const names = ['UPSTREAM', 'ISSUER_URL', 'SIDECAR_PORT', 'DATA_DIR']
  const found = (...variables: string[]) =>
    unknownSettings(names, ['ISSUER_', 'SIDECAR_'], Object.fromEntries(variables.map((name) => [name, 'x'])))
  t.same(found('UPSTREAM', 'ISSUER_URL', 'ISSUER_URL_FILE', 'PATH', 'HOME', 'DATA'), [])
  t.same(found('ISSUER_NAME'), ['ISSUER_NAME: there is no such setting'])
  for (const near of [
    'UPSTERAM',
    'UPSTREM',
    'UPSTREAMS',
    'UPSTREAN',
    'PUSTREAM',
    'UPSTREAMM',
    'XUPSTREAM',
    'PSTREAM',
  ]) {
    t.same(found(near), [`${near}: there is no such setting; did you mean UPSTREAM?`])
  }
  t.same(found('UPSTERMA', 'UP', 'STREAM', 'MAERTSPU'), [], 'what is not near is not ours')
  t.same(
    found('ISSUER_SERVICE_HOST', 'ISSUER_SERVICE_PORT_HTTP', 'ISSUER_PORT_4000_TCP_ADDR'),
    [],
    'links of Kubernetes',
  )
  const link = { ISSUER_FEED_PORT: 'tcp://10.0.0.7:4000' }
  t.same(unknownSettings(names, ['ISSUER_'], link), [], 'a link of Kubernetes, told by its value')
  t.equal(unknownSettings(names, ['ISSUER_'], { ISSUER_FEED_PORT: '4000' }).length, 1)
})
