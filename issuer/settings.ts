import { isIP } from 'node:net'
import { availableParallelism } from 'node:os'
import { ALGORITHM_NAMES } from '../shared/jws.ts'
import { LOG_LEVELS } from '../shared/log.ts'
import {
  duration,
  flag,
  integer,
  type Kind,
  list,
  oneOf,
  optional,
  port,
  readSettings,
  type Setting,
  SettingsError,
  type SettingsTable,
  type SettingValues,
  text,
  url,
} from '../shared/settings.ts'
import { meetsHashFloor } from './domain/password-hash.ts'

const MIN_SECRET_CHARACTERS = 32
const MIN_FEED_TOKEN_CHARACTERS = 16

function secretOf(characters: number): Kind<string> {
  return {
    read: (value) => (value.length >= characters ? value : undefined),
    expects: `a text of at least ${characters} characters`,
  }
}

// `new URL` refuses the several hosts that a MongoDB address may name.
const mongoUrl: Kind<string> = {
  read: (value) => (/^mongodb(\+srv)?:\/\/[^\s/]+/.test(value) ? value : undefined),
  expects: 'an address that begins with mongodb:// or mongodb+srv://',
}

const origin: Kind<string> = {
  read: (value) =>
    /^https?:/.test(value) && URL.canParse(value) && new URL(value).origin === value ? value : undefined,
  expects: 'an origin such as https://app.example.com (no path, no final slash)',
}

const network: Kind<string> = {
  read: (value) => {
    const [address = '', bits, ...rest] = value.split('/')
    const family = isIP(address)
    if (family === 0 || rest.length > 0) return undefined
    if (bits === undefined) return value
    return /^\d{1,3}$/.test(bits) && Number(bits) <= (family === 4 ? 32 : 128) ? value : undefined
  },
  expects: 'an IP address or a network such as 10.0.0.0/8',
}

/** A row of the table. */
function row<T>(kind: Kind<T>, fallback: NoInfer<T>, meaning: string, secret = false): Setting<T> {
  return { kind, default: fallback, meaning, secret }
}

/** Every setting of the issuer. Each default carries its reason. */
export const ISSUER_SETTINGS = {
  LOG_LEVEL: row(oneOf(...LOG_LEVELS), 'info', 'what is logged'),
  // Loopback: nothing is reachable from outside until someone says so.
  ISSUER_HOST: row(text, '127.0.0.1', 'the address it listens on'),
  ISSUER_PORT: row(port, 4000, 'the port it listens on; 0 takes a free one'),
  ISSUER_URL: row(optional(url(['http', 'https'])), undefined, 'the `iss` claim and the public address'),
  AUDIENCE: row(list(text), ['sallyport'], 'the `aud` claim, one or many'),
  DATA_DIR: row(text, './data', 'the embedded store and its keys'),
  MONGO_URL: row(optional(mongoUrl), undefined, 'users, roles, keys and the ledger in MongoDB', true),
  REDIS_URL: row(optional(url(['redis', 'rediss'], true)), undefined, 'sessions in Redis', true),
  REDIS_PREFIX: row(text, 'sallyport:', 'what every key in Redis begins with'),
  MASTER_KEY: row(
    optional(list(secretOf(MIN_SECRET_CHARACTERS))),
    undefined,
    'encrypts the signing keys and authenticates refresh tokens; "new,old" while it is being changed; without MONGO_URL and REDIS_URL it is generated into DATA_DIR',
    true,
  ),
  KAFKA_BROKERS: row(optional(list(text)), undefined, 'the revocation feed on Kafka'),
  KAFKA_TOPIC: row(text, 'sallyport.revocations', 'the topic of the feed'),
  FEED_TOKEN: row(
    optional(secretOf(MIN_FEED_TOKEN_CHARACTERS)),
    undefined,
    'the bearer credential of GET /revocations; none: it is off',
    true,
  ),
  SIGNING_ALGORITHM: row(oneOf(...ALGORITHM_NAMES), 'ES256', 'of new signing keys'),
  // Short: it is how long a service that does not hear of a logout could go on serving.
  ACCESS_TOKEN_TTL: row(duration('10s', '1h'), 300_000, 'how long an access token lives'),
  REFRESH_TOKEN_TTL: row(duration('1m', '365d'), 28 * 86_400_000, 'how long a session lives at most'),
  REFRESH_TOKEN_IDLE: row(duration('1m', '365d'), 14 * 86_400_000, 'how long a session lives without being used'),
  ACCESS_TOKEN_CLAIMS: row(
    list(oneOf('tier', 'email', 'email_verified', 'none')),
    ['tier', 'email', 'email_verified'],
    'the profile claims in access tokens; `none` for none',
  ),
  // Longer than an ordinary broker takes (4 ms), shorter than a person notices.
  PUBLISH_TIMEOUT: row(duration('10ms', '30s'), 1000, "how long a logout waits for the feed's acknowledgement"),
  HEARTBEAT_INTERVAL: row(duration('100ms', '30s'), 1000, 'how often the feed proves that it is complete'),
  // OWASP's first choice for Argon2id with one lane.
  HASH_MEMORY_KIB: row(integer(1, 4 * 1024 * 1024), 19_456, 'Argon2id memory in KiB'),
  HASH_TIME: row(integer(1, 100), 2, 'Argon2id passes'),
  HASH_PARALLELISM: row(integer(1, 16), 1, 'Argon2id lanes'),
  HASH_CONCURRENCY: {
    ...row(integer(1, 1024), availableParallelism(), 'passwords hashed at once'),
    shownDefault: 'the cores',
  },
  // At 11 ms each and two cores the last of 64 waits a third of a second.
  HASH_QUEUE: row(integer(0, 100_000), 64, 'passwords that may wait for their turn'),
  HASH_DEADLINE: row(duration('100ms', '60s'), 5000, 'how long one may wait'),
  UV_THREADPOOL_SIZE: row(
    integer(1, 1024),
    4,
    "Node's own: threads for hashing, files and DNS; hashing leaves one free",
  ),
  CORS_ORIGINS: row(list(origin), [], 'browser origins that may call with cookies'),
  TRUST_PROXY: row(list(network), [], 'proxies whose X-Forwarded-For counts'),
  COOKIE_SECURE: row(optional(flag), undefined, 'by default on, unless ISSUER_URL is plain http on a loopback host'),
  SHUTDOWN_DEADLINE: row(duration('0ms', '10m'), 30_000, 'how long the end may take'),
} satisfies SettingsTable

/** The settings as read, with what follows from others filled in. */
export type IssuerSettings = Omit<SettingValues<typeof ISSUER_SETTINGS>, 'ISSUER_URL' | 'COOKIE_SECURE'> & {
  ISSUER_URL: string
  COOKIE_SECURE: boolean
}

/**
 * Reads the issuer's settings.
 * @throws SettingsError that lists every problem at once
 */
export function readIssuerSettings(env: NodeJS.ProcessEnv): IssuerSettings {
  const values = readSettings(ISSUER_SETTINGS, env)
  const problems = conflicts(values)
  if (problems.length > 0) throw new SettingsError(problems)
  const issuerUrl = values.ISSUER_URL ?? `http://127.0.0.1:${values.ISSUER_PORT}`
  return {
    ...values,
    ISSUER_URL: issuerUrl,
    COOKIE_SECURE: values.COOKIE_SECURE ?? !isPlainLoopback(issuerUrl),
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
  const hashing = { memoryKib: values.HASH_MEMORY_KIB, time: values.HASH_TIME, parallelism: values.HASH_PARALLELISM }
  if (!meetsHashFloor(hashing)) {
    problems.push('HASH_MEMORY_KIB, HASH_TIME: too weak; use at least 19456 with 2, 12288 with 3 or 7168 with 5')
  }
  return problems
}

function isPlainLoopback(address: string): boolean {
  const { protocol, hostname } = new URL(address)
  return protocol === 'http:' && /^(localhost|127(\.\d+){3}|\[::1\])$/.test(hostname)
}
