import { type Kind, url } from '../../shared/settings.ts'

/** A service behind the sidecar, and how it is spoken to. */
export interface Upstream {
  /** In its normal form: two with the same address are one, and share their connections. */
  readonly address: string
  /** Scheme (http or https), host and port. */
  readonly origin: string
  /** The Unix socket it listens on, instead of the origin's host and port. */
  readonly socketPath: string | undefined
  readonly protocol: 'http1' | 'http2'
}

/** What each scheme stands for; `h2` and `h2c` are HTTP/2's own names for itself (RFC 7540 section 3.1). */
const SCHEMES: Record<string, { scheme: 'http' | 'https'; protocol: Upstream['protocol'] }> = {
  http: { scheme: 'http', protocol: 'http1' },
  https: { scheme: 'https', protocol: 'http1' },
  h2c: { scheme: 'http', protocol: 'http2' },
  h2: { scheme: 'https', protocol: 'http2' },
}

/** The longest path that fits into a `sockaddr_un` everywhere: bytes. */
const MAX_SOCKET_PATH = 103

/** For editors: what every address begins with. */
export const UPSTREAM_PATTERN = '^(https?|h2c?)://|^unix:/'

/**
 * The address of a service. None has a path: what was matched is what is forwarded. A Unix socket is written as nginx
 * and gRPC write it; `unix:///run/app.sock` is taken too. Its path is absolute, for a relative one would depend on where
 * the program was started.
 */
export const upstreamAddress: Kind<Upstream> = {
  read: (value) => (value.startsWith('unix:') ? readSocket(value) : readUrl(value)),
  expects:
    'an address such as http://127.0.0.1:3000, https://host, h2c://host:50051 (HTTP/2), h2://host (HTTP/2 over TLS) or ' +
    'unix:/run/app.sock, without a path of the service',
  show: ({ address }) => address,
}

function readSocket(value: string): Upstream | undefined {
  const path = /^unix:(?:\/\/)?(\/[^/\p{C}][^\p{C}]*)$/u.exec(value)?.[1]
  if (path === undefined || path.endsWith('/') || Buffer.byteLength(path) > MAX_SOCKET_PATH) return undefined
  return { address: `unix:${path}`, origin: 'http://localhost', socketPath: path, protocol: 'http1' }
}

function readUrl(value: string): Upstream | undefined {
  const [, name = '', rest] = /^([a-z0-9]+)(:\/\/.+)$/.exec(value) ?? []
  const known = Object.hasOwn(SCHEMES, name) ? SCHEMES[name] : undefined
  const read = known && url([known.scheme]).read(`${known.scheme}${rest}`)
  if (!known || read === undefined || new URL(read).pathname !== '/') return undefined
  const { origin, protocol, host } = new URL(read)
  const isOwnName = protocol === `${name}:`
  return { address: isOwnName ? origin : `${name}://${host}`, origin, socketPath: undefined, protocol: known.protocol }
}
