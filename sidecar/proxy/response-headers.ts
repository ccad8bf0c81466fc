import type { IncomingHttpHeaders } from 'node:http'

/**
 * Fields that concern one connection only (RFC 9110 section 7.6.1). `Trailer` with them: whether the trailers it announces
 * can be sent depends on the client's connection.
 */
const HOP_BY_HOP: ReadonlySet<string> = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
])

/**
 * The upstream's answer head for the client: all of it but what concerned the connection to the upstream alone. Fields
 * that came several times go on several times (`Set-Cookie` can't be joined, RFC 9110 section 5.3).
 * @param headers lower-case names
 * @returns names and values in turn
 */
export function responseHeaders(headers: IncomingHttpHeaders): string[] {
  const options = headers.connection === undefined ? undefined : connectionOptions(headers.connection)
  // With both, the length is not that of the body (RFC 9112 section 6.3).
  const unlengthed = headers['transfer-encoding'] !== undefined
  const kept: string[] = []
  for (const name in headers) {
    if (HOP_BY_HOP.has(name) || options?.has(name) || (unlengthed && name === 'content-length')) continue
    const value = headers[name]
    if (typeof value === 'string') kept.push(name, value)
    else if (value !== undefined) for (const one of value) kept.push(name, one)
  }
  return kept
}

/** Fields that frame, route or guard a message: in a trailer they come too late to be meant (RFC 9110 section 6.5.1). */
const NOT_IN_TRAILERS =
  /^(?:connection|keep-alive|proxy-.*|te|trailer|transfer-encoding|upgrade|host|content-(?:length|encoding|type|range)|set-cookie|location|date|cache-control|expires|age|pragma|vary|retry-after|warning|(?:www|proxy)-authenticate|authorization|authentication-info)$/

/**
 * The upstream's trailers for the client: those that may be trailers, for a client that adds them to the head would let
 * them pass for more than they are.
 * @param trailers lower-case names
 */
export function responseTrailers(trailers: IncomingHttpHeaders): [name: string, value: string][] {
  const kept: [string, string][] = []
  for (const name in trailers) {
    const value = trailers[name]
    if (value === undefined || NOT_IN_TRAILERS.test(name)) continue
    for (const one of typeof value === 'string' ? [value] : value) kept.push([name, one])
  }
  return kept
}

/**
 * The fields that a `Connection` field names, in lower case. `close` and `keep-alive` name none, and no option can name
 * what delimits or addresses a message.
 */
export function connectionOptions(connection: string | readonly string[]): ReadonlySet<string> {
  const options = new Set(
    String(connection)
      .toLowerCase()
      .split(',')
      .map((option) => option.trim()),
  )
  for (const name of ['close', 'keep-alive', 'host', 'content-length']) options.delete(name)
  return options
}
