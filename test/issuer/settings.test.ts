import { generateKeyPairSync } from 'node:crypto'
import { test } from 'tap'
import { readIssuerSettings } from '../../issuer/settings.ts'
import { SettingsError } from '../../shared/settings.ts'

const MASTER_KEY = 'a master key of at least 32 characters'
const PEM = '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n'

test('nothing has to be set', async (t) => {
  t.match(readIssuerSettings({}), {
    ISSUER_HOST: '127.0.0.1',
    ISSUER_PORT: 4000,
    ISSUER_URL: 'http://127.0.0.1:4000',
    AUDIENCE: ['sallyport'],
    ACCESS_TOKEN_TTL: 300_000,
    REFRESH_TOKEN_TTL: 28 * 86_400_000,
    REFRESH_TOKEN_IDLE: 14 * 86_400_000,
    HASH_MEMORY_KIB: 19_456,
    HASH_TIME: 2,
    COOKIE_SECURE: false,
  })
})

test('the cookie is secure unless the issuer is plain http on this machine', async (t) => {
  const rows: [env: Record<string, string>, secure: boolean][] = [
    [{ ISSUER_URL: 'http://localhost:4000' }, false],
    [{ ISSUER_URL: 'http://[::1]:4000' }, false],
    [{ ISSUER_URL: 'https://localhost' }, true],
    [{ ISSUER_URL: 'http://issuer.example' }, true],
    [{ ISSUER_URL: 'http://localhost.evil.example' }, true],
    [{ ISSUER_URL: 'http://127.0.0.1', COOKIE_SECURE: 'on' }, true],
    [{ ISSUER_URL: 'http://issuer.example', COOKIE_SECURE: 'off' }, false],
  ]
  for (const [env, secure] of rows) t.equal(readIssuerSettings(env).COOKIE_SECURE, secure, JSON.stringify(env))
})

test('good values', async (t) => {
  const rows: [name: string, text: string, value: unknown][] = [
    ['MONGO_URL', 'mongodb://a:27017,b:27017/db?replicaSet=rs', 'mongodb://a:27017,b:27017/db?replicaSet=rs'],
    ['REDIS_URL', 'rediss://:secret@cache:6380/1', 'rediss://:secret@cache:6380/1'],
    ['TRUST_PROXY', '10.0.0.0/8, ::1', ['10.0.0.0/8', '::1']],
    ['CORS_ORIGINS', 'https://a.example,http://localhost:3000', ['https://a.example', 'http://localhost:3000']],
    ['ACCESS_TOKEN_CLAIMS', 'none', ['none']],
    ['KAFKA_BROKERS', 'a:9092,b:9092', ['a:9092', 'b:9092']],
    ['ISSUER_PORT', '5000', 5000],
    ['MAIL_FROM', 'Example, Inc. <no-reply@example.com>', 'Example, Inc. <no-reply@example.com>'],
  ]
  for (const [name, text, value] of rows) {
    t.same((readIssuerSettings({ MASTER_KEY, [name]: text }) as Record<string, unknown>)[name], value, name)
  }
  t.equal(readIssuerSettings({ ISSUER_PORT: '5000' }).ISSUER_URL, 'http://127.0.0.1:5000')
  t.same(readIssuerSettings({ MASTER_KEY: `${MASTER_KEY},the old ${MASTER_KEY}` }).MASTER_KEY?.length, 2)
})

test("keys are rotated unless they are one's own, or someone says otherwise", async (t) => {
  const { privateKey } = generateKeyPairSync('ed25519')
  const SIGNING_KEY = privateKey.export({ type: 'pkcs8', format: 'pem' }) as string
  const encrypted = { cipher: 'aes-256-cbc', passphrase: 'secret' }
  const rows: [env: Record<string, string>, expected: object][] = [
    [{}, { KEY_ROTATION: 30 * 86_400_000, SIGNING_KEY: undefined, JWKS_MAX_AGE: 300_000 }],
    [{ KEY_ROTATION: 'off' }, { KEY_ROTATION: 0 }],
    [{ SIGNING_KEY }, { KEY_ROTATION: 0, SIGNING_KEY: { alg: 'EdDSA', kid: /^[\w-]{43}$/ } }],
    [{ SIGNING_KEY, KEY_ROTATION: '7d' }, { KEY_ROTATION: 7 * 86_400_000 }],
    [
      {
        SIGNING_KEY: privateKey.export({ type: 'pkcs8', format: 'pem', ...encrypted }) as string,
        SIGNING_KEY_PASSPHRASE: 'secret',
      },
      { SIGNING_KEY: { alg: 'EdDSA' } },
    ],
  ]
  for (const [env, expected] of rows) t.match(readIssuerSettings(env), expected, Object.keys(env).join())
  t.notOk(JSON.stringify(readIssuerSettings({ SIGNING_KEY })).includes(privateKey.export({ format: 'jwk' }).d!))
})

test('everything that is wrong is said at once, by name and without secrets', async (t) => {
  const rows: [env: Record<string, string>, problems: RegExp[]][] = [
    [{ MONGO_URL: 'mongodb://a/db' }, [/^MASTER_KEY: is needed/]],
    [{ REDIS_URL: 'redis://a' }, [/^MASTER_KEY: is needed/]],
    [{ MASTER_KEY: 'too short secret' }, [/^MASTER_KEY: .*32 characters/]],
    [{ FEED_TOKEN: 'short secret' }, [/^FEED_TOKEN: .*16 characters/]],
    [{ HASH_MEMORY_KIB: '7168', HASH_TIME: '1' }, [/^HASH_MEMORY_KIB, HASH_TIME: too weak/]],
    // Nobody could log in: hashes of that cost are not checked.
    [{ HASH_MEMORY_KIB: '262145' }, [/^HASH_MEMORY_KIB, HASH_TIME, HASH_PARALLELISM: .*262144 KiB of memory/]],
    [{ HASH_MEMORY_KIB: '262144', HASH_TIME: '17' }, [/^HASH_MEMORY_KIB, HASH_TIME, HASH_PARALLELISM: .*passes/]],
    [{ REFRESH_TOKEN_IDLE: '30d' }, [/^REFRESH_TOKEN_IDLE: .*REFRESH_TOKEN_TTL/]],
    [{ ACCESS_TOKEN_TTL: '1h', REFRESH_TOKEN_IDLE: '1m' }, [/^ACCESS_TOKEN_TTL: .*REFRESH_TOKEN_IDLE/]],
    [
      { ISSUER_PORT: 'x', CORS_ORIGINS: 'https://a.example/', TRUST_PROXY: '10.0.0.0/33', ISSUER_URL: 'ftp://x' },
      [/^ISSUER_PORT:/, /^ISSUER_URL:/, /^TRUST_PROXY:/, /^CORS_ORIGINS:/],
    ],
    [{ CORS_ORIGINS: '*' }, [/^CORS_ORIGINS:/]],
    [{ SIGNING_ALGORITHM: 'HS256' }, [/^SIGNING_ALGORITHM:/]],
    [{ ACCESS_TOKEN_CLAIMS: 'password' }, [/^ACCESS_TOKEN_CLAIMS:/]],
    [{ KAFKA_CA: PEM }, [/^KAFKA_CA: .*KAFKA_TLS/]],
    [{ KAFKA_TLS: 'on', KAFKA_SASL_MECHANISM: 'plain' }, [/^KAFKA_SASL_MECHANISM, .*belong together/]],
    [
      { KAFKA_SASL_MECHANISM: 'plain', KAFKA_SASL_USERNAME: 'x', KAFKA_SASL_PASSWORD: 'secret' },
      [/^KAFKA_SASL_MECHANISM: plain needs KAFKA_TLS/],
    ],
    [{ KAFKA_SASL_MECHANISM: 'md5' }, [/^KAFKA_SASL_MECHANISM: .*scram-sha-512/]],
    [{ SIGNING_KEY: 'secret', KEY_ROTATION: '0s', JWKS_MAX_AGE: '0s' }, [/^KEY_ROTATION: .*off, or/, /^JWKS_MAX_AGE:/]],
    [{ SIGNING_KEY: 'secret' }, [/^SIGNING_KEY: the given value is not a private key in PEM/]],
    [{ AUDIT_TOPIC: 'audit' }, [/^AUDIT_TOPIC: needs KAFKA_BROKERS/]],
    [{ KAFKA_BROKERS: 'a:1', KAFKA_TOPIC: 'x', AUDIT_TOPIC: 'x' }, [/^AUDIT_TOPIC: has to be another/]],
    [{ MONGO_CA: PEM }, [/^MONGO_CA: .*MONGO_URL/]],
    [{ MASTER_KEY, REDIS_URL: 'redis://a', REDIS_CA: PEM }, [/^REDIS_CA: .*rediss:/]],
    [{ ISSUER_TLS_KEY_FILE: '/x' }, [/^ISSUER_TLS_CERT_FILE, ISSUER_TLS_KEY_FILE: belong/]],
    [{ SMTP_URL: 'smtp://user:secret@mail.example' }, [/^MAIL_FROM: is needed/]],
    [
      { SMTP_URL: 'http://secret@mail', MAIL_FROM: 'x <a@b>\r\nBcc: c@d', MAIL_LINK_URL: 'https://a/#x', SMTP_CA: 'x' },
      [/^SMTP_URL:/, /^SMTP_CA:/, /^MAIL_FROM:/, /^MAIL_LINK_URL:/],
    ],
    [{ REQUIRE_VERIFIED_EMAIL: 'on', ISSUER_URL: 'https://issuer.example' }, [/^SMTP_URL: is needed/]],
    [{ REQUIRE_VERIFIED_EMAIL: 'on', ISSUER_HOST: '0.0.0.0' }, [/^SMTP_URL: is needed/]],
  ]
  for (const [env, problems] of rows) {
    try {
      readIssuerSettings(env)
      t.fail(`accepted ${JSON.stringify(env)}`)
    } catch (error) {
      t.ok(error instanceof SettingsError)
      t.match((error as SettingsError).problems, problems, JSON.stringify(env))
      t.equal((error as SettingsError).problems.length, problems.length)
      t.notMatch((error as SettingsError).message, 'secret')
    }
  }
})
