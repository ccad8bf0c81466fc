import { availableParallelism } from 'node:os'
import { ALGORITHM_NAMES, type SigningKeyPair } from '../shared/jws.ts'
import { KAFKA_SETTINGS, kafkaConflicts } from '../shared/kafka-settings.ts'
import { LOG_LEVELS } from '../shared/log.ts'
import { isLoopback } from '../shared/loopback.ts'
import {
  certificates,
  duration,
  feedToken,
  flag,
  integer,
  list,
  network,
  oneOf,
  optional,
  port,
  readSettings,
  row,
  SettingsError,
  type SettingsTable,
  type SettingValues,
  secretOf,
  section,
  text,
  url,
} from '../shared/settings.ts'
import { costProblem, meetsHashFloor } from './domain/password-hash.ts'
import { readPemKey } from './domain/pem-key.ts'
import { DEFAULT_RATE_LIMITS } from './domain/rate-limits.ts'
import { keyRotation, mailFrom, mongoUrl, origin, rateLimits, smtpUrl } from './setting-kinds.ts'

const MIN_SECRET_CHARACTERS = 32

const GENERATED_KEY_ROTATION_MS = 30 * 86_400_000

/** Every setting of the issuer. Each default carries its reason. */
export const ISSUER_SETTINGS = {
  ...section('Addresses', {
    // Loopback: nothing is reachable from outside until someone says so.
    ISSUER_HOST: row(text, '127.0.0.1', 'the address it listens on'),
    ISSUER_PORT: row(port, 4000, 'the port it listens on; 0 takes a free one'),
    // With these the issuer speaks HTTPS.
    ISSUER_TLS_CERT_FILE: row(
      optional(text),
      undefined,
      'the certificate, and those between it and its authority, in PEM format',
      { live: true },
    ),
    ISSUER_TLS_KEY_FILE: row(optional(text), undefined, 'the private key of ISSUER_TLS_CERT_FILE in PEM format', {
      live: true,
    }),
    ISSUER_URL: row(optional(url(['http', 'https'])), undefined, 'the `iss` claim and the public address', {
      same: 'everywhere',
      shownDefault: '`http://127.0.0.1:4000`, or what ISSUER_PORT and its certificate make of it',
    }),
    TRUST_PROXY: row(list(network), [], 'proxies whose X-Forwarded-For counts'),
    CORS_ORIGINS: row(list(origin), [], 'browser origins that may call with cookies'),
    COOKIE_SECURE: row(optional(flag), undefined, 'whether the refresh cookie is for HTTPS only', {
      shownDefault: '`on`, unless ISSUER_URL is plain http on a loopback host',
    }),
  }),
  ...section('Stores', {
    DATA_DIR: row(text, './data', 'the embedded store and its keys'),
    MONGO_URL: row(optional(mongoUrl), undefined, 'users, roles, keys and the ledger in MongoDB', {
      secret: true,
      same: 'issuers',
    }),
    MONGO_CA: row(
      optional(certificates),
      undefined,
      'certificate authorities to trust for MONGO_URL instead of the usual ones, and TLS',
    ),
    REDIS_URL: row(optional(url(['redis', 'rediss'], true)), undefined, 'sessions in Redis', {
      secret: true,
      same: 'issuers',
    }),
    REDIS_CA: row(
      optional(certificates),
      undefined,
      'certificate authorities to trust for a rediss:// address instead of the usual ones',
    ),
    REDIS_PREFIX: row(text, 'sallyport:', 'what every key in Redis begins with', { same: 'issuers' }),
    MASTER_KEY: row(
      optional(list(secretOf(MIN_SECRET_CHARACTERS))),
      undefined,
      'encrypts the signing keys and authenticates refresh tokens; "new,old" while it is being changed; without MONGO_URL and REDIS_URL it is generated into DATA_DIR',
      { secret: true, same: 'issuers' },
    ),
  }),
  ...section('Feed', {
    ...KAFKA_SETTINGS,
    FEED_TOKEN: row(
      optional(list(feedToken)),
      undefined,
      'the bearer credential of GET /revocations, or "new,old" while it is being changed; none: it is off',
      {
        secret: true,
        same: 'everywhere',
      },
    ),
    // Longer than an ordinary broker takes (4 ms), shorter than a person notices.
    PUBLISH_TIMEOUT: row(duration('10ms', '30s'), 1000, "how long a logout waits for the feed's acknowledgement"),
    HEARTBEAT_INTERVAL: row(duration('100ms', '30s'), 1000, 'how often the feed proves that it is complete'),
  }),
  ...section('Signing keys', {
    SIGNING_ALGORITHM: row(
      oneOf(...ALGORITHM_NAMES),
      'ES256',
      'of new signing keys; a change counts from the next rotation on',
    ),
    SIGNING_KEY: row(
      optional(text),
      undefined,
      'a private key of your own in PEM (P-256, RSA or Ed25519); a new one takes over once it has been published long enough; none: keys are generated',
      { secret: true, same: 'issuers' },
    ),
    SIGNING_KEY_PASSPHRASE: row(optional(text), undefined, 'opens SIGNING_KEY if that is encrypted', { secret: true }),
    // Long enough for nobody to notice, short enough for everybody to know that it works.
    KEY_ROTATION: row(
      optional(keyRotation),
      undefined,
      'how long a key signs before the next one takes over; `off`: until someone says so',
      { shownDefault: '`30d`; with SIGNING_KEY `off`' },
    ),
    // As long as a sidecar keeps them.
    JWKS_MAX_AGE: row(
      duration('1s', '24h'),
      300_000,
      'how long anyone may cache the key set; a key is published for more than twice that long before it signs',
    ),
  }),
  ...section('Tokens and sessions', {
    AUDIENCE: row(list(text), ['sallyport'], 'the `aud` claim, one or many', { same: 'issuers' }),
    // Short: it is how long a service that does not hear of a logout could go on serving.
    ACCESS_TOKEN_TTL: row(duration('10s', '1h'), 300_000, 'how long an access token lives'),
    ACCESS_TOKEN_CLAIMS: row(
      list(oneOf('tier', 'email', 'email_verified', 'none')),
      ['tier', 'email', 'email_verified'],
      'the profile claims in access tokens; `none` for none',
    ),
    REFRESH_TOKEN_TTL: row(duration('1m', '365d'), 28 * 86_400_000, 'how long a session lives at most'),
    REFRESH_TOKEN_IDLE: row(duration('1m', '365d'), 14 * 86_400_000, 'how long a session lives without being used'),
    // More devices than anyone has, so that what a script forgets to end does not pile up for weeks.
    SESSION_LIMIT: row(
      integer(0, 10_000),
      100,
      'how many sessions a user may have at once: the oldest ends; 0 for any number',
    ),
    // Swagger UI and the scripts of an operator log in by it; it shows a password to nobody but this issuer's own clients.
    PASSWORD_GRANT: row(flag, true, 'whether POST /auth/token takes a user name and password'),
  }),
  ...section('Passwords', {
    // OWASP's first choice for Argon2id with one lane.
    HASH_MEMORY_KIB: row(integer(1, 4 * 1024 * 1024), 19_456, 'Argon2id memory in KiB'),
    HASH_TIME: row(integer(1, 100), 2, 'Argon2id passes'),
    HASH_PARALLELISM: row(integer(1, 16), 1, 'Argon2id lanes'),
    // The one that stays is what everything else needs during a storm of logins: with it, refreshes hardly notice.
    HASH_CONCURRENCY: row(
      integer(1, 1024),
      Math.max(1, availableParallelism() - 1),
      'passwords hashed at once; at most UV_THREADPOOL_SIZE less one',
      { shownDefault: 'the cores but one' },
    ),
    // At 11 ms each and one at once the last of 64 waits two thirds of a second.
    HASH_QUEUE: row(integer(0, 100_000), 64, 'passwords that may wait for their turn'),
    HASH_DEADLINE: row(duration('100ms', '60s'), 5000, 'how long one may wait'),
    UV_THREADPOOL_SIZE: row(
      integer(1, 1024),
      4,
      "Node's own: threads for hashing, files and DNS; hashing leaves one free",
      { shownDefault: 'the cores and two more, at least 4' },
    ),
  }),
  ...section('Mail', {
    SMTP_URL: row(optional(smtpUrl), undefined, 'the server that mail goes out by; none: the log says so instead', {
      secret: true,
    }),
    SMTP_STARTTLS: row(optional(flag), undefined, 'whether an smtp:// server has to speak TLS', {
      shownDefault: '`on`, unless it is on a loopback host',
    }),
    SMTP_CA: row(optional(certificates), undefined, 'certificate authorities to trust for SMTP_URL'),
    MAIL_FROM: row(optional(mailFrom), undefined, 'who mails come from; needed with SMTP_URL'),
    MAIL_LINK_URL: row(
      optional(url(['http', 'https'])),
      undefined,
      'the page that mailed links lead to, with #action=…&token=…; none: mails have the token alone',
    ),
    // Off: a first try on a laptop has no mail server.
    REQUIRE_VERIFIED_EMAIL: row(
      flag,
      false,
      'whether an e-mail address has to be verified before the first login; registration then tells nobody what is taken',
    ),
  }),
  ...section('Limits', {
    RATE_LIMITS: row(
      rateLimits,
      DEFAULT_RATE_LIMITS,
      'requests in a time, for each user, session or network; what is not named keeps its default; `off` for none',
    ),
    LOGIN_THROTTLE: row(flag, true, 'whether wrong passwords make the next guess wait, up to 5 minutes'),
  }),
  ...section('Logs and shutdown', {
    LOG_LEVEL: row(oneOf(...LOG_LEVELS), 'info', 'what is logged'),
    AUDIT_TOPIC: row(optional(text), undefined, 'a Kafka topic that gets the audit log too'),
    SHUTDOWN_DEADLINE: row(duration('0ms', '10m'), 30_000, 'how long the end may take'),
  }),
} satisfies SettingsTable

/** The settings as read, with what follows from others filled in. */
export type IssuerSettings = Omit<
  SettingValues<typeof ISSUER_SETTINGS>,
  'ISSUER_URL' | 'COOKIE_SECURE' | 'SMTP_STARTTLS' | 'KEY_ROTATION' | 'SIGNING_KEY' | 'SIGNING_KEY_PASSPHRASE'
> & {
  SIGNING_KEY: SigningKeyPair | undefined
  /** How long a key signs: milliseconds; 0: until someone says so. */
  KEY_ROTATION: number
  ISSUER_URL: string
  COOKIE_SECURE: boolean
  SMTP_STARTTLS: boolean
}

/**
 * Reads the issuer's settings.
 * @throws SettingsError that lists every problem at once
 */
export function readIssuerSettings(env: NodeJS.ProcessEnv): IssuerSettings {
  const values = readSettings(ISSUER_SETTINGS, env)
  const problems = conflicts(values)
  const { SIGNING_KEY: pem, SIGNING_KEY_PASSPHRASE: passphrase, ...others } = values
  const ownKey = pem === undefined ? undefined : readPemKey(pem, passphrase)
  if (ownKey?.ok === false) problems.push(`SIGNING_KEY: the given value ${ownKey.problem}`)
  if (problems.length > 0) throw new SettingsError(problems)
  const scheme = values.ISSUER_TLS_CERT_FILE ? 'https' : 'http'
  const issuerUrl = values.ISSUER_URL ?? `${scheme}://127.0.0.1:${values.ISSUER_PORT}`
  return {
    ...others,
    ISSUER_URL: issuerUrl,
    SIGNING_KEY: ownKey?.ok ? ownKey.pair : undefined,
    KEY_ROTATION: values.KEY_ROTATION ?? (ownKey ? 0 : GENERATED_KEY_ROTATION_MS),
    COOKIE_SECURE: values.COOKIE_SECURE ?? !isPlainLoopback(issuerUrl),
    SMTP_STARTTLS: values.SMTP_STARTTLS ?? !isLoopback(values.SMTP_URL),
  }
}

function conflicts(values: SettingValues<typeof ISSUER_SETTINGS>): string[] {
  const problems: string[] = []
  if ((values.MONGO_URL || values.REDIS_URL) && !values.MASTER_KEY) {
    problems.push('MASTER_KEY: is needed with MONGO_URL or REDIS_URL; every issuer has to have the same')
  }
  if (values.REFRESH_TOKEN_IDLE > values.REFRESH_TOKEN_TTL) {
    problems.push('REFRESH_TOKEN_IDLE: has to be at most REFRESH_TOKEN_TTL')
  }
  if (values.ACCESS_TOKEN_TTL > values.REFRESH_TOKEN_IDLE) {
    problems.push('ACCESS_TOKEN_TTL: has to be at most REFRESH_TOKEN_IDLE')
  }
  problems.push(...kafkaConflicts(values))
  if (values.AUDIT_TOPIC && !values.KAFKA_BROKERS) problems.push('AUDIT_TOPIC: needs KAFKA_BROKERS')
  if (values.AUDIT_TOPIC === values.KAFKA_TOPIC) problems.push('AUDIT_TOPIC: has to be another than KAFKA_TOPIC')
  if (values.MONGO_CA && !values.MONGO_URL) problems.push('MONGO_CA: has a meaning only with MONGO_URL')
  if (values.REDIS_CA && !values.REDIS_URL?.startsWith('rediss:')) {
    problems.push('REDIS_CA: has a meaning only with a REDIS_URL that begins with rediss://')
  }
  if (!values.ISSUER_TLS_CERT_FILE !== !values.ISSUER_TLS_KEY_FILE) {
    problems.push('ISSUER_TLS_CERT_FILE, ISSUER_TLS_KEY_FILE: belong together')
  }
  if (values.SMTP_URL && !values.MAIL_FROM) problems.push('MAIL_FROM: is needed with SMTP_URL')
  if (values.REQUIRE_VERIFIED_EMAIL && !values.SMTP_URL && !isDevelopersMachine(values)) {
    problems.push('SMTP_URL: is needed with REQUIRE_VERIFIED_EMAIL; without it nobody could verify an address')
  }
  const hashing = { memoryKib: values.HASH_MEMORY_KIB, time: values.HASH_TIME, parallelism: values.HASH_PARALLELISM }
  if (!meetsHashFloor(hashing)) {
    problems.push('HASH_MEMORY_KIB, HASH_TIME: too weak; use at least 19456 with 2, 12288 with 3 or 7168 with 5')
  }
  const dear = costProblem({ scheme: 'argon2id', ...hashing })
  if (dear !== undefined) problems.push(`HASH_MEMORY_KIB, HASH_TIME, HASH_PARALLELISM: ${dear}`)
  return problems
}

/** Everything in a file and reached from this machine alone: what its log shows, its owner sees. */
export function isDevelopersMachine(
  values: Pick<SettingValues<typeof ISSUER_SETTINGS>, 'MONGO_URL' | 'REDIS_URL' | 'ISSUER_URL' | 'ISSUER_HOST'>,
): boolean {
  const { MONGO_URL, REDIS_URL, ISSUER_URL, ISSUER_HOST } = values
  const isLocal = isLoopback(`http://${ISSUER_HOST}`) && (ISSUER_URL === undefined || isPlainLoopback(ISSUER_URL))
  return MONGO_URL === undefined && REDIS_URL === undefined && isLocal
}

function isPlainLoopback(address: string): boolean {
  return isLoopback(address) && new URL(address).protocol === 'http:'
}
