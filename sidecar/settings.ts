import {
  canonicalHeaderName,
  DEFAULT_IDENTITY_HEADERS,
  IDENTITY_HEADERS,
  type IdentityHeader,
  type IdentityHeaderNames,
} from '../shared/identity-headers.ts'
import { ALGORITHM_NAMES } from '../shared/jws.ts'
import { KAFKA_SECURITY_SETTINGS, kafkaConflicts } from '../shared/kafka-settings.ts'
import { LOG_LEVELS } from '../shared/log.ts'
import {
  certificates,
  duration,
  flag,
  integer,
  type Kind,
  list,
  network,
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

const MIN_FEED_TOKEN_CHARACTERS = 16

const feedToken: Kind<string> = {
  read: (value) => (value.length >= MIN_FEED_TOKEN_CHARACTERS ? value : undefined),
  expects: `a text of at least ${MIN_FEED_TOKEN_CHARACTERS} characters`,
}

// What was matched is what is forwarded: a path of its own would change it.
const upstream: Kind<string> = {
  read: (value) => {
    const address = url(['http', 'https']).read(value)
    return address !== undefined && new URL(address).pathname === '/' ? new URL(address).origin : undefined
  },
  expects: 'an address such as http://127.0.0.1:3000, without a path',
}

/** Fields that mean something to HTTP or to the sidecar itself. */
const RESERVED =
  /^(?:host|connection|keep-alive|te|trailer|upgrade|cookie|authorization|forwarded|proxy-.*|x-forwarded-.*|content-.*|transfer-.*|sec-.*)$/

const identityHeaders: Kind<IdentityHeaderNames> = {
  read: (value) => {
    const names: IdentityHeaderNames = {}
    const taken = new Set<string>()
    for (const part of value.split(',')) {
      const [, header = '', name = ''] = /^\s*(\w+)\s*=\s*([A-Za-z][A-Za-z0-9-]{0,63})\s*$/.exec(part) ?? []
      const canonical = canonicalHeaderName(name)
      if (!Object.hasOwn(IDENTITY_HEADERS, header) || taken.has(canonical) || RESERVED.test(canonical)) return undefined
      if (names[header as IdentityHeader] !== undefined) return undefined
      taken.add(canonical)
      names[header as IdentityHeader] = name
    }
    return names
  },
  expects: `a list such as userId=X-User-Id, each part one of ${Object.keys(IDENTITY_HEADERS).join(', ')} and a name of its own`,
  show: (names) =>
    Object.entries(names)
      .map(([header, name]) => `${header}=${name}`)
      .join(','),
}

/** A row of the table. */
function row<T>(kind: Kind<T>, fallback: T, meaning: string, secret = false): Setting<T> {
  return { kind, default: fallback, meaning, secret }
}

/** Every setting of the sidecar. Each default carries its reason. */
export const SIDECAR_SETTINGS = {
  LOG_LEVEL: row(oneOf(...LOG_LEVELS), 'info', 'what is logged'),
  // Loopback: nothing is reachable from outside until someone says so.
  SIDECAR_HOST: row(text, '127.0.0.1', 'the address the proxy listens on'),
  SIDECAR_PORT: row(port, 8080, 'the port the proxy listens on; 0 takes a free one'),
  SIDECAR_ADMIN_HOST: row(text, '127.0.0.1', 'the address that health and metrics listen on'),
  SIDECAR_ADMIN_PORT: row(port, 8081, 'the port that health and metrics listen on; 0 takes a free one'),
  UPSTREAM: row(optional(upstream), undefined, 'the service behind the sidecar'),
  ROUTES_FILE: row(
    optional(text),
    undefined,
    'the rules for paths, YAML or JSON; without it every path needs a valid token',
  ),
  ISSUER_URL: row(url(['http', 'https']), 'http://127.0.0.1:4000', 'the `iss` claim of accepted tokens'),
  ISSUER_INTERNAL_URL: row(
    optional(url(['http', 'https'])),
    undefined,
    'where sidecars fetch keys and the feed, when that is another address than ISSUER_URL',
  ),
  ISSUER_CA: row(
    optional(certificates),
    undefined,
    'certificate authorities to trust for the issuer instead of the usual ones; as a file: ISSUER_CA_FILE',
  ),
  AUDIENCE: row(list(text), ['sallyport'], 'accepted audiences, of which a token has to have one'),
  TOKEN_ALGORITHMS: row(list(oneOf(...ALGORITHM_NAMES)), ALGORITHM_NAMES, 'accepted signature algorithms'),
  KAFKA_BROKERS: row(optional(list(text)), undefined, 'the revocation feed on Kafka'),
  KAFKA_TOPIC: row(text, 'sallyport.revocations', 'the topic of the feed'),
  ...KAFKA_SECURITY_SETTINGS,
  FEED_TOKEN: row(
    optional(feedToken),
    undefined,
    "the bearer credential of the issuer's feed; none: Kafka is the only feed",
    true,
  ),
  DATA_DIR: row(text, './data', 'where the last good keys are kept for a cold start'),
  // Longer than an ordinary failover of a broker, far shorter than a token lives.
  MAX_STALENESS: row(duration('1s', '1h'), 60_000, 'how old the knowledge of revocations may become'),
  FEED_FALLBACK_AFTER: row(
    duration('100ms', '10m'),
    3000,
    "how far Kafka may be behind before the issuer's own feed is read as well",
  ),
  // A token lives five minutes; whoever asks in the same minute costs the issuer one reading of its ledger together.
  DIGEST_INTERVAL: row(
    duration('1s', '1h'),
    60_000,
    "how often the known revocations are compared with the issuer's, to find what Kafka has lost",
  ),
  JWKS_REFRESH: row(duration('1s', '24h'), 300_000, 'how often the keys are fetched'),
  JWKS_COOLDOWN: row(duration('100ms', '10m'), 5000, 'the shortest time between two attempts to fetch keys'),
  JWKS_MAX_STALE: row(duration('1s', '30d'), 86_400_000, 'how long keys are used while the issuer is away'),
  TOKEN_CACHE_SIZE: row(integer(0, 10_000_000), 10_000, 'how many verified tokens are remembered'),
  IDENTITY_HEADERS: row(
    identityHeaders,
    DEFAULT_IDENTITY_HEADERS,
    'the identity headers that are sent, and their names',
  ),
  // A service that needs no token should not be able to leak one.
  FORWARD_TOKEN: row(flag, false, 'whether the service gets the token too'),
  TRUST_PROXY: row(list(network), [], 'proxies whose X-Forwarded-For counts'),
  // Node's own bound, within which 16 MiB arrive at 56 kB/s.
  REQUEST_TIMEOUT: row(
    duration('1s', '24h'),
    300_000,
    'how long a client may take to send a request, its body included',
  ),
  DRAIN_DELAY: row(duration('0ms', '10m'), 0, 'how long requests are still accepted after SIGTERM'),
  DRAIN_DEADLINE: row(duration('0ms', '1h'), 30_000, 'how long open requests have then to finish'),
} satisfies SettingsTable

/** The settings as read, with what follows from others filled in. */
export type SidecarSettings = Omit<SettingValues<typeof SIDECAR_SETTINGS>, 'UPSTREAM' | 'ISSUER_INTERNAL_URL'> & {
  UPSTREAM: string
  ISSUER_INTERNAL_URL: string
}

/**
 * Reads the sidecar's settings.
 * @throws SettingsError that lists every problem at once
 */
export function readSidecarSettings(env: NodeJS.ProcessEnv): SidecarSettings {
  const values = readSettings(SIDECAR_SETTINGS, env)
  const { UPSTREAM } = values
  const problems = kafkaConflicts(values)
  if (UPSTREAM === undefined) problems.push('UPSTREAM: is needed: the address of the service behind the sidecar')
  if (UPSTREAM === undefined || problems.length > 0) throw new SettingsError(problems)
  return { ...values, UPSTREAM, ISSUER_INTERNAL_URL: values.ISSUER_INTERNAL_URL ?? values.ISSUER_URL }
}
