import type { AccessClaims } from '../../shared/access-token.ts'
import {
  canonicalHeaderName,
  DEFAULT_IDENTITY_HEADERS,
  IDENTITY_HEADERS,
  type IdentityHeaderNames,
  identityHeaders,
} from '../../shared/identity-headers.ts'
import type { Identity } from '../domain/decide.ts'
import { byName } from './by-name.ts'
import type { IsTrusted } from './peer.ts'
import { connectionOptions } from './response-headers.ts'

/** Who is at the other end of the client's connection. */
export interface Peer {
  address: string
  /** Whether the connection is TLS. */
  encrypted: boolean
}

export interface RequestHeaderRules {
  identityHeaders: IdentityHeaderNames
  forwardToken: boolean
  isTrusted: IsTrusted
}

/** The request's fields for the upstream: names and values in turn; or what is wrong with those that came. */
export type RequestHeaders =
  | { ok: true; headers: string[] }
  | { ok: false; reason: 'host_repeated' | 'host_malformed' | 'transfer_coding' }

/**
 * What is done with a field: `keep` it; `drop` it; `exact`: keep it under its own spelling, drop its aliases, which
 * another server could read as the field itself; `host`, `connection`, `te`, `credential`; `coding`: chunked, or the
 * request is refused; `forwarding`: only a trusted proxy's word counts.
 */
type Treatment = 'keep' | 'drop' | 'exact' | 'host' | 'connection' | 'te' | 'coding' | 'credential' | 'forwarding'

const TREATMENTS: Record<string, Treatment> = {
  // of this connection only (RFC 9110 section 7.6.1); trailers are not forwarded
  connection: 'connection',
  'keep-alive': 'drop',
  'proxy-connection': 'drop',
  'transfer-encoding': 'coding',
  upgrade: 'drop',
  'http2-settings': 'drop',
  trailer: 'drop',
  te: 'te',
  expect: 'drop',
  // for whoever asked for it, which was not the upstream (RFC 9110 section 11.7.2)
  'proxy-authorization': 'drop',
  host: 'host',
  'content-length': 'exact',
  authorization: 'credential',
  // where the request comes from
  forwarded: 'forwarding',
  'x-forwarded-for': 'forwarding',
  'x-forwarded-host': 'forwarding',
  'x-forwarded-proto': 'forwarding',
  'x-forwarded-port': 'forwarding',
  'x-forwarded-prefix': 'forwarding',
  'x-forwarded-scheme': 'forwarding',
  'x-forwarded-server': 'forwarding',
  'x-forwarded-ssl': 'forwarding',
  'x-real-ip': 'forwarding',
  'x-client-ip': 'forwarding',
  // another target or method than the one that was decided on
  'x-original-url': 'drop',
  'x-original-uri': 'drop',
  'x-original-method': 'drop',
  'x-rewrite-url': 'drop',
  'x-forwarded-uri': 'drop',
  'x-forwarded-path': 'drop',
  'x-forwarded-method': 'drop',
  'x-http-method': 'drop',
  'x-http-method-override': 'drop',
  'x-method-override': 'drop',
  // gunicorn and others take this off the path, so that the service sees another than was matched
  'script-name': 'drop',
  'x-script-name': 'drop',
  'path-info': 'drop',
  // CGI and its heirs make HTTP_PROXY of it, which programs take for the proxy they are to use (CVE-2016-5385)
  proxy: 'drop',
}

const HOST = /^(?:[A-Za-z0-9._~-]+|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?$/

/** @returns what makes the fields of each request */
export function createRequestHeaders({ identityHeaders: names, forwardToken, isTrusted }: RequestHeaderRules) {
  const treatmentOf = createTreatments(names)
  const identityOf = createIdentityFields(names)

  /**
   * The fields for the upstream. First everything is taken out that the client may not say, then what the sidecar says
   * is put in, so that nothing the client sends (`Connection: x-user-id`) can take it out again.
   * @param rawHeaders names and values in turn, as received
   */
  return (rawHeaders: readonly string[], peer: Peer, identity: Identity | undefined): RequestHeaders => {
    const trusted = isTrusted(peer.address)
    const options = optionsOf(rawHeaders, treatmentOf)
    const headers: string[] = []
    const forwarding: Record<string, string> = {}
    let host: string | undefined
    for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
      const name = rawHeaders[i]!
      const value = rawHeaders[i + 1]!
      const treatment = treatmentOf(name)
      if (treatment === 'keep') {
        if (!options?.has(name.toLowerCase())) headers.push(name, value)
      } else if (treatment === 'host') {
        if (host !== undefined) return { ok: false, reason: 'host_repeated' }
        if (!HOST.test(value)) return { ok: false, reason: 'host_malformed' }
        host = value
      } else if (treatment === 'exact') {
        headers.push(name, value)
      } else if (treatment === 'coding') {
        // Node reads `gzip, chunked` as chunked: without its coding the body would be another (RFC 9112 section 6.1).
        if (value.toLowerCase() !== 'chunked') return { ok: false, reason: 'transfer_coding' }
      } else if (treatment === 'credential') {
        if (forwardToken) headers.push(name, value)
      } else if (treatment === 'te') {
        if (/(?:^|,)\s*trailers\s*(?:,|$)/i.test(value)) headers.push('TE', 'trailers')
      } else if (treatment === 'forwarding' && trusted) {
        const key = name.toLowerCase()
        const earlier = forwarding[key]
        forwarding[key] = earlier === undefined ? value : `${earlier}, ${value}`
      }
    }
    // The service makes links and checks origins with the host that the client asked for.
    if (host !== undefined) headers.push('Host', host)
    addForwarding(headers, forwarding, peer, host)
    if (identity) for (const field of identityOf(identity.claims)) headers.push(field)
    return { ok: true, headers }
  }
}

function addForwarding(headers: string[], given: Record<string, string>, peer: Peer, host: string | undefined): void {
  const {
    'x-forwarded-for': chain,
    'x-forwarded-proto': proto,
    'x-forwarded-host': outerHost,
    forwarded,
    ...rest
  } = given
  headers.push('X-Forwarded-For', chain === undefined ? peer.address : `${chain}, ${peer.address}`)
  headers.push('X-Forwarded-Proto', proto ?? (peer.encrypted ? 'https' : 'http'))
  const hostSeen = outerHost ?? host
  if (hostSeen !== undefined) headers.push('X-Forwarded-Host', hostSeen)
  // RFC 7239 section 4: a proxy adds itself to the list; an IPv6 address is quoted (section 6).
  if (forwarded !== undefined) {
    const by = peer.address.includes(':') ? `"[${peer.address}]"` : peer.address
    headers.push('Forwarded', `${forwarded}, for=${by}`)
  }
  for (const name in rest) headers.push(name, rest[name]!)
}

function optionsOf(
  rawHeaders: readonly string[],
  treatmentOf: (name: string) => Treatment,
): ReadonlySet<string> | undefined {
  let options: string | undefined
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
    if (treatmentOf(rawHeaders[i]!) !== 'connection') continue
    options = options === undefined ? rawHeaders[i + 1]! : `${options},${rawHeaders[i + 1]}`
  }
  return options === undefined || /^(?:keep-alive|close|upgrade)$/i.test(options)
    ? undefined
    : connectionOptions(options)
}

/** Every name by which a service may read an identity: the defaults too, whatever this deployment calls them. */
export function identityNames(names: IdentityHeaderNames): ReadonlySet<string> {
  return new Set(
    [
      ...Object.values(names),
      ...Object.values(DEFAULT_IDENTITY_HEADERS),
      ...Object.values(IDENTITY_HEADERS).map(({ name }) => name),
    ].map(canonicalHeaderName),
  )
}

/** Whether another server could read this as a field that means something to the sidecar, which it is not. */
export function isAlias(name: string): boolean {
  const canonical = canonicalHeaderName(name)
  return Object.hasOwn(TREATMENTS, canonical) && name.toLowerCase() !== canonical
}

/** Finds how a field is treated. */
function createTreatments(names: IdentityHeaderNames): (name: string) => Treatment {
  const identity = identityNames(names)
  return byName((name) => {
    const canonical = canonicalHeaderName(name)
    if (identity.has(canonical) || isAlias(name)) return 'drop'
    return Object.hasOwn(TREATMENTS, canonical) ? TREATMENTS[canonical]! : 'keep'
  })
}

/** The identity fields of a token are the same for each of its requests. */
function createIdentityFields(names: IdentityHeaderNames): (claims: AccessClaims) => readonly string[] {
  const known = new WeakMap<AccessClaims, readonly string[]>()
  return (claims) => {
    let fields = known.get(claims)
    if (!fields) {
      fields = identityHeaders(claims, names).flat()
      known.set(claims, fields)
    }
    return fields
  }
}
