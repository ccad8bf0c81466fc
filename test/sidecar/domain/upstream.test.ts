import fc from 'fast-check'
import { test } from 'tap'
import { UPSTREAM_PATTERN, upstreamAddress } from '../../../sidecar/domain/upstream.ts'

test('each notation says how the service is spoken to', async (t) => {
  const rows: [text: string, address: string, origin: string, socketPath: string | undefined, protocol: string][] = [
    ['http://a:3000', 'http://a:3000', 'http://a:3000', undefined, 'http1'],
    ['http://a/', 'http://a', 'http://a', undefined, 'http1'],
    ['https://A.example:443/', 'https://a.example', 'https://a.example', undefined, 'http1'],
    ['http://[::1]:3000', 'http://[::1]:3000', 'http://[::1]:3000', undefined, 'http1'],
    ['h2c://a:50051', 'h2c://a:50051', 'http://a:50051', undefined, 'http2'],
    ['h2c://a', 'h2c://a', 'http://a', undefined, 'http2'],
    ['h2://a:8443', 'h2://a:8443', 'https://a:8443', undefined, 'http2'],
    ['unix:/run/app.sock', 'unix:/run/app.sock', 'http://localhost', '/run/app.sock', 'http1'],
    ['unix:///run/app.sock', 'unix:/run/app.sock', 'http://localhost', '/run/app.sock', 'http1'],
    ['unix:/run/my app', 'unix:/run/my app', 'http://localhost', '/run/my app', 'http1'],
  ]
  for (const [text, address, origin, socketPath, protocol] of rows) {
    t.same(upstreamAddress.read(text), { address, origin, socketPath, protocol }, text)
  }
})

test('what is not an address, or has a path of the service, is refused', async (t) => {
  for (const text of [
    '',
    'a:80',
    'http://',
    'http:a',
    'http://a/base',
    'http://a?x',
    'http://a#x',
    'http://u@a',
    'http://a b',
    'HTTP://a',
    'ftp://a',
    'h3://a',
    'h2c://a/service',
    'h2c:a',
    'toString://a',
    'unix:',
    'unix:app.sock',
    'unix:./app.sock',
    'unix://app.sock',
    'unix://run/app.sock',
    'unix:////run/app.sock',
    'unix:/',
    'unix:/run/',
    'unix:/run/a\0b',
    'unix:/run/a\nb',
    `unix:/${'x'.repeat(103)}`,
  ]) {
    t.equal(upstreamAddress.read(text), undefined, JSON.stringify(text))
  }
  t.ok(upstreamAddress.read(`unix:/${'x'.repeat(102)}`))
})

test('an address is its own normal form, and what the schema for editors lets through', async (t) => {
  const texts = fc.oneof(
    fc
      .tuple(fc.constantFrom('http', 'https', 'h2', 'h2c'), fc.domain(), fc.integer({ min: 0, max: 65_535 }))
      .map(([scheme, host, port]) => `${scheme}://${host}:${port}`),
    fc.string().map((path) => `unix:/${path}`),
    fc.string(),
  )
  fc.assert(
    fc.property(texts, (text) => {
      const read = upstreamAddress.read(text)
      if (!read) return
      t.same(upstreamAddress.read(read.address), read)
      t.equal(upstreamAddress.show?.(read), read.address)
      t.match(text, new RegExp(UPSTREAM_PATTERN))
    }),
  )
})
