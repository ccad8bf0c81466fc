import {
  canonicalHeaderName,
  DEFAULT_IDENTITY_HEADERS,
  IDENTITY_HEADERS,
  type IdentityHeader,
  type IdentityHeaderNames,
} from '../shared/identity-headers.ts'
import { ALGORITHM_NAMES } from '../shared/jws.ts'
import { KAFKA_SETTINGS, kafkaConflicts } from '../shared/kafka-settings.ts'
import { LOG_LEVELS } from '../shared/log.ts'
import { type Listener, portConflicts } from '../shared/port-conflicts.ts'
import {
  certificates,
  duration,
  feedToken,
  flag,
  integer,
  type Kind,
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
  section,
  text,
  url,
} from '../shared/settings.ts'
import { type Upstream, upstreamAddress } from './domain/upstream.ts'

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

/** Every setting of the sidecar. Each default carries its reason. */
export const SIDECAR_SETTINGS = {
  ...section('Addresses', {
    // Loopback: nothing is reachable from outside until someone says so.
    SIDECAR_HOST: row(text, '127.0.0.1', 'the address the proxy listens on'),
    SIDECAR_PORT: row(port, 8080, 'the port the proxy listens on; 0 takes a free one'),
    SIDECAR_ADMIN_HOST: row(text, '127.0.0.1', 'the address that health, metrics and forward-auth listen on'),
    SIDECAR_ADMIN_PORT: row(port, 8081, 'the port that health, metrics and forward-auth listen on; 0 takes a free one'),
    // With these the proxy speaks HTTPS.
    SIDECAR_TLS_CERT_FILE: row(
      optional(text),
      undefined,
      'the certificate of the proxy, and those between it and its authority, in PEM format',
      { live: true },
    ),
    SIDECAR_TLS_KEY_FILE: row(optional(text), undefined, 'the private key of SIDECAR_TLS_CERT_FILE in PEM format', {
      live: true,
    }),
    SIDECAR_TLS_CLIENT_CA: row(
      optional(certificates),
      undefined,
      'certificate authorities of which every client has to have a certificate',
    ),
    TRUST_PROXY: row(list(network), [], 'proxies whose X-Forwarded-For counts'),
  }),
  ...section('Service and routes', {
    UPSTREAM: row(
      optional(upstreamAddress),
      undefined,
      'the service behind the sidecar: http://, https://, h2c:// (HTTP/2), h2:// (HTTP/2 over TLS) or unix:/path; a route can name another',
    ),
    UPSTREAM_CA: row(
      optional(certificates),
      undefined,
      'certificate authorities to trust for services instead of the usual ones',
    ),
    // More than a service bears; fewer than a machine has ports for one address.
    UPSTREAM_CONNECTIONS: row(
      integer(1, 1_000_000),
      16_384,
      'how many connections there may be to one service, WebSockets left out; a request that would need another is 503',
    ),
    ROUTES_FILE: row(
      optional(text),
      undefined,
      'the rules for paths, YAML or JSON; without it every path needs a valid token',
      { live: true },
    ),
    // Node's own bound, within which 16 MiB arrive at 56 kB/s.
    REQUEST_TIMEOUT: row(
      duration('1s', '24h'),
      300_000,
      'how long a client may take to send a request, its body included',
    ),
    // Without it a stream has no more rights than a request: both end with the token.
    STREAM_GRACE: row(
      duration('0ms', '24h'),
      0,
      'how much longer than its token a WebSocket or another open request may last, as long as a revocation would be heard of; that ends it at once',
    ),
  }),
  ...section('What services and proxies get', {
    IDENTITY_HEADERS: row(
      identityHeaders,
      DEFAULT_IDENTITY_HEADERS,
      'the identity headers that are sent, and their names',
    ),
    // A service that needs no token should not be able to leak one.
    FORWARD_TOKEN: row(flag, false, 'whether the service gets the token too'),
    // Whoever may ask can try out tokens, and say what was asked for.
    FORWARD_AUTH_TRUSTED: row(
      list(network),
      ['127.0.0.0/8', '::1'],
      'proxies that may ask `/verify` on the admin port about requests',
    ),
  }),
  ...section('Issuer and tokens', {
    ISSUER_URL: row(url(['http', 'https']), 'http://127.0.0.1:4000', 'the `iss` claim of accepted tokens', {
      same: 'everywhere',
    }),
    ISSUER_INTERNAL_URL: row(
      optional(url(['http', 'https'])),
      undefined,
      'where sidecars fetch keys and the feed, when that is another address than ISSUER_URL',
      { shownDefault: '`ISSUER_URL`' },
    ),
    ISSUER_CA: row(
      optional(certificates),
      undefined,
      'certificate authorities to trust for the issuer instead of the usual ones',
    ),
    AUDIENCE: row(list(text), ['sallyport'], 'accepted audiences, of which a token has to have one'),
    TOKEN_ALGORITHMS: row(list(oneOf(...ALGORITHM_NAMES)), ALGORITHM_NAMES, 'accepted signature algorithms'),
    JWKS_REFRESH: row(duration('1s', '24h'), 300_000, 'how often the keys are fetched'),
    JWKS_COOLDOWN: row(duration('100ms', '10m'), 5000, 'the shortest time between two attempts to fetch keys'),
    JWKS_MAX_STALE: row(duration('1s', '30d'), 86_400_000, 'how long keys are used while the issuer is away'),
    TOKEN_CACHE_SIZE: row(integer(0, 10_000_000), 10_000, 'how many verified tokens are remembered'),
    DATA_DIR: row(text, './data', 'where the last good keys are kept for a cold start'),
  }),
  ...section('Feed', {
    ...KAFKA_SETTINGS,
    FEED_TOKEN: row(
      optional(list(feedToken)),
      undefined,
      "the bearer credential of the issuer's feed, of several the first; none: Kafka is the only feed",
      { secret: true, same: 'everywhere' },
    ),
    // Longer than an ordinary failover of a broker, far shorter than a token lives. Below 10 s, clocks that differ as far as
    // they may would look like an outage.
    MAX_STALENESS: row(duration('3s', '1h'), 60_000, 'how old the knowledge of revocations may become'),
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
  }),
  ...section('Logs and shutdown', {
    LOG_LEVEL: row(oneOf(...LOG_LEVELS), 'info', 'what is logged'),
    DRAIN_DELAY: row(duration('0ms', '10m'), 0, 'how long requests are still accepted after SIGTERM'),
    DRAIN_DEADLINE: row(duration('0ms', '1h'), 30_000, 'how long open requests have then to finish'),
  }),
} satisfies SettingsTable

/** The settings as read, with what follows from others filled in. */
export type SidecarSettings = Omit<SettingValues<typeof SIDECAR_SETTINGS>, 'UPSTREAM' | 'ISSUER_INTERNAL_URL'> & {
  UPSTREAM: Upstream
  ISSUER_INTERNAL_URL: string
}

/** What a sidecar listens on. */
export function sidecarListeners(
  values: Pick<SidecarSettings, 'SIDECAR_HOST' | 'SIDECAR_PORT' | 'SIDECAR_ADMIN_HOST' | 'SIDECAR_ADMIN_PORT'>,
): Listener[] {
  return [
    { setting: 'SIDECAR_PORT', host: values.SIDECAR_HOST, port: values.SIDECAR_PORT },
    { setting: 'SIDECAR_ADMIN_PORT', host: values.SIDECAR_ADMIN_HOST, port: values.SIDECAR_ADMIN_PORT },
  ]
}

/**
 * Reads the sidecar's settings.
 * @throws SettingsError that lists every problem at once
 */
export function readSidecarSettings(env: NodeJS.ProcessEnv): SidecarSettings {
  const values = readSettings(SIDECAR_SETTINGS, env)
  const { UPSTREAM } = values
  const problems = [...portConflicts(sidecarListeners(values)), ...kafkaConflicts(values), ...timeConflicts(values)]
  if (!values.SIDECAR_TLS_CERT_FILE !== !values.SIDECAR_TLS_KEY_FILE) {
    problems.push('SIDECAR_TLS_CERT_FILE, SIDECAR_TLS_KEY_FILE: belong together')
  }
  if (values.SIDECAR_TLS_CLIENT_CA && !values.SIDECAR_TLS_CERT_FILE) {
    problems.push('SIDECAR_TLS_CLIENT_CA: needs SIDECAR_TLS_CERT_FILE')
  }
  if (UPSTREAM === undefined) problems.push('UPSTREAM: is needed: the address of the service behind the sidecar')
  if (!values.KAFKA_BROKERS && !values.FEED_TOKEN) {
    problems.push(
      'FEED_TOKEN, KAFKA_BROKERS: one of them is needed, as the issuer has it, for there has to be a feed of revocations',
    )
  }
  if (UPSTREAM === undefined || problems.length > 0) throw new SettingsError(problems)
  return { ...values, UPSTREAM, ISSUER_INTERNAL_URL: values.ISSUER_INTERNAL_URL ?? values.ISSUER_URL }
}

/** By how much the time from one fetch of the keys to the next varies: a tenth. */
const REFRESH_VARIES = 1.1

/** Times that together would be an outage while everything works. */
function timeConflicts(values: SettingValues<typeof SIDECAR_SETTINGS>): string[] {
  const { JWKS_REFRESH, JWKS_MAX_STALE, MAX_STALENESS, FEED_FALLBACK_AFTER, FEED_TOKEN, KAFKA_BROKERS } = values
  const problems: string[] = []
  if (JWKS_MAX_STALE <= JWKS_REFRESH * REFRESH_VARIES) {
    problems.push('JWKS_MAX_STALE: has to be longer than JWKS_REFRESH and a tenth; else there are no keys in between')
  }
  if (KAFKA_BROKERS && FEED_TOKEN && FEED_FALLBACK_AFTER >= MAX_STALENESS) {
    problems.push('FEED_FALLBACK_AFTER: has to be shorter than MAX_STALENESS; else requests are refused before it')
  }
  return problems
}
