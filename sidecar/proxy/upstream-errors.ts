import type { ProblemCode } from '../../shared/problem.ts'

/** What the client is told when the upstream fails: never its address, nor what exactly failed. */
const PROBLEM_OF = new Map<string, ProblemCode>(
  Object.entries({
    // no connection
    ECONNREFUSED: 'upstream_unreachable',
    EHOSTUNREACH: 'upstream_unreachable',
    ENETUNREACH: 'upstream_unreachable',
    ENOTFOUND: 'upstream_unreachable',
    EAI_AGAIN: 'upstream_unreachable',
    ENOENT: 'upstream_unreachable',
    EACCES: 'upstream_unreachable',
    // no answer in time
    ETIMEDOUT: 'upstream_timeout',
    UND_ERR_CONNECT_TIMEOUT: 'upstream_timeout',
    UND_ERR_HEADERS_TIMEOUT: 'upstream_timeout',
    // this side
    too_many_connections: 'overloaded',
    EMFILE: 'overloaded',
    ENFILE: 'overloaded',
    EADDRNOTAVAIL: 'overloaded',
    UND_ERR_CLOSED: 'draining',
    UND_ERR_DESTROYED: 'draining',
    // the request
    body_too_large: 'payload_too_large',
    UND_ERR_INVALID_ARG: 'invalid_request',
    UND_ERR_NOT_SUPPORTED: 'invalid_request',
    ERR_HTTP2_HEADER_SINGLE_VALUE: 'invalid_request',
    ERR_HTTP2_INVALID_CONNECTION_HEADERS: 'invalid_request',
    ERR_INVALID_HTTP_TOKEN: 'invalid_request',
  }),
)

/** Certificates that are not trusted, expired or another host's. */
const TLS = /^(ERR_TLS_|ERR_SSL_|CERT_|UNABLE_TO_|DEPTH_ZERO_|SELF_SIGNED_|HOSTNAME_MISMATCH)/

/**
 * Which problem an error of the upstream connection is. One that is not known is `upstream_failed`: the connection
 * ended before the answer, or what came was not HTTP.
 */
export function upstreamProblem(error: unknown): ProblemCode {
  const code = upstreamErrorCode(error)
  return PROBLEM_OF.get(code) ?? (TLS.test(code) ? 'upstream_unreachable' : 'upstream_failed')
}

/** The error's own code, for the log and the metrics. */
export function upstreamErrorCode(error: unknown): string {
  const code = (error as { code?: unknown } | null)?.code
  return typeof code === 'string' ? code : 'unknown'
}
