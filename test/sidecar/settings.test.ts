import { test } from 'tap'
import { SettingsError } from '../../shared/settings.ts'
import { readSidecarSettings, SIDECAR_SETTINGS } from '../../sidecar/settings.ts'

const FEED_TOKEN = 'a token of the feed'
const NEEDED = { UPSTREAM: 'http://127.0.0.1:3000', FEED_TOKEN }

function problems(env: Record<string, string>): string[] {
  try {
    readSidecarSettings({ ...NEEDED, ...env })
    return []
  } catch (error) {
    return (error as SettingsError).problems
  }
}

test('the defaults are those of the design', async (t) => {
  t.match(readSidecarSettings(NEEDED), {
    SIDECAR_HOST: '127.0.0.1',
    SIDECAR_PORT: 8080,
    SIDECAR_ADMIN_HOST: '127.0.0.1',
    SIDECAR_ADMIN_PORT: 8081,
    ISSUER_URL: 'http://127.0.0.1:4000',
    ISSUER_INTERNAL_URL: 'http://127.0.0.1:4000',
    AUDIENCE: ['sallyport'],
    MAX_STALENESS: 60_000,
    FEED_FALLBACK_AFTER: 3000,
    DIGEST_INTERVAL: 60_000,
    FORWARD_TOKEN: false,
  })
  const elsewhere = readSidecarSettings({ ...NEEDED, ISSUER_URL: 'https://a', ISSUER_INTERNAL_URL: 'http://b:1' })
  t.equal(elsewhere.ISSUER_INTERNAL_URL, 'http://b:1')
})

test('there has to be a service to guard and a feed of revocations', async (t) => {
  t.throws(
    () => readSidecarSettings({}),
    new SettingsError([
      'UPSTREAM: is needed: the address of the service behind the sidecar',
      'FEED_TOKEN, KAFKA_BROKERS: one of them is needed, as the issuer has it, for there has to be a feed of revocations',
    ]),
  )
  for (const feed of [{ FEED_TOKEN }, { KAFKA_BROKERS: 'kafka:9092' }, { FEED_TOKEN, KAFKA_BROKERS: 'kafka:9092' }]) {
    t.ok(readSidecarSettings({ UPSTREAM: NEEDED.UPSTREAM, ...feed }), Object.keys(feed).join())
  }
})

test('the proxy and the admin port are two', async (t) => {
  const same = [/^SIDECAR_ADMIN_PORT: 9000 is the port of SIDECAR_PORT as well/]
  const ports = { SIDECAR_PORT: '9000', SIDECAR_ADMIN_PORT: '9000' }
  t.match(problems(ports), same)
  t.match(problems({ SIDECAR_PORT: '8081' }), [/^SIDECAR_ADMIN_PORT: 8081/], 'a default counts')
  t.match(problems({ ...ports, SIDECAR_HOST: '0.0.0.0' }), same)
  t.same(problems({ ...ports, SIDECAR_HOST: '127.0.0.2' }), [])
  t.same(problems({ SIDECAR_PORT: '0', SIDECAR_ADMIN_PORT: '0' }), [])
})

test('the address of the service has no path', async (t) => {
  for (const UPSTREAM of ['http://a/base', 'http://a?x', 'http://u@a', 'ftp://a', 'a:80', 'http://']) {
    t.match(problems({ UPSTREAM }), [/^UPSTREAM: /], UPSTREAM)
  }
  t.equal(readSidecarSettings({ ...NEEDED, UPSTREAM: 'https://A.example:443/' }).UPSTREAM.address, 'https://a.example')
})

test('a certificate has a key, and clients need one only where there is one', async (t) => {
  t.match(problems({ SIDECAR_TLS_CERT_FILE: '/a' }), [/belong together/])
  t.match(problems({ SIDECAR_TLS_KEY_FILE: '/a' }), [/belong together/])
  const ca = '-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----'
  t.match(problems({ SIDECAR_TLS_CLIENT_CA: ca }), [/needs SIDECAR_TLS_CERT_FILE/])
})

test('times that would be an outage by themselves are refused', async (t) => {
  t.match(problems({ JWKS_REFRESH: '1h', JWKS_MAX_STALE: '66m' }), [/^JWKS_MAX_STALE: .*JWKS_REFRESH/])
  t.same(problems({ JWKS_REFRESH: '1h', JWKS_MAX_STALE: '67m' }), [])
  const both = { KAFKA_BROKERS: 'kafka:9092', FEED_TOKEN: 'a'.repeat(32) }
  t.match(problems({ ...both, FEED_FALLBACK_AFTER: '5s', MAX_STALENESS: '5s' }), [
    /^FEED_FALLBACK_AFTER: .*MAX_STALENESS/,
  ])
  t.same(problems({ ...both, FEED_FALLBACK_AFTER: '4s', MAX_STALENESS: '5s' }), [])
  t.same(problems({ MAX_STALENESS: '3s' }), [], 'no second feed')
})

test('identity headers have names of their own', async (t) => {
  t.same(readSidecarSettings({ ...NEEDED, IDENTITY_HEADERS: 'userId=X-Uid, claims = X-Claims' }).IDENTITY_HEADERS, {
    userId: 'X-Uid',
    claims: 'X-Claims',
  })
  for (const IDENTITY_HEADERS of [
    'userId',
    'userId=',
    'nobody=X-A',
    'userId=X-A,userId=X-B',
    'userId=X-A,email=x-a',
    'userId=Authorization',
    'userId=Host',
    'userId=Content-Length',
    'userId=Connection',
    'userId=X-Forwarded-For',
    'userId=X_User_Id',
    'userId=X A',
    '__proto__=X-A',
  ]) {
    t.match(problems({ IDENTITY_HEADERS }), [/^IDENTITY_HEADERS: /], IDENTITY_HEADERS)
  }
})

test('every problem is said at once', async (t) => {
  const found = problems({
    SIDECAR_PORT: '70000',
    TRUST_PROXY: '10.0.0.0/33',
    TOKEN_ALGORITHMS: 'none',
    FEED_TOKEN: 'long enough by itself,short',
  })
  t.same(
    found.map((problem) => problem.split(':')[0]),
    ['SIDECAR_PORT', 'TRUST_PROXY', 'TOKEN_ALGORITHMS', 'FEED_TOKEN'],
  )
  t.notMatch(found.join(), /short/, 'never a secret')
})

test('every default is of its own kind, as the table shows it', async (t) => {
  for (const [name, setting] of Object.entries(SIDECAR_SETTINGS)) {
    const { kind, default: value } = setting as {
      kind: { read(text: string): unknown; show?(v: unknown): string }
      default: unknown
    }
    if (value === undefined || (Array.isArray(value) && value.length === 0)) continue
    t.same(kind.read(kind.show?.(value) ?? String(value)), value, name)
  }
})
