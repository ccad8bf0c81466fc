import { test } from 'tap'
import { PROBLEMS } from '../../../shared/problem.ts'
import { upstreamErrorCode, upstreamProblem } from '../../../sidecar/proxy/upstream-errors.ts'

test('each failure has its status', async (t) => {
  for (const [code, status] of [
    ['ECONNREFUSED', 502],
    ['ENOTFOUND', 502],
    ['ECONNRESET', 502],
    ['EPIPE', 502],
    ['UND_ERR_SOCKET', 502],
    ['HPE_INVALID_CONSTANT', 502],
    ['UND_ERR_HEADERS_OVERFLOW', 502],
    ['DEPTH_ZERO_SELF_SIGNED_CERT', 502],
    ['ERR_TLS_CERT_ALTNAME_INVALID', 502],
    ['__proto__', 502],
    ['UND_ERR_CONNECT_TIMEOUT', 504],
    ['UND_ERR_HEADERS_TIMEOUT', 504],
    ['EMFILE', 503],
    ['UND_ERR_DESTROYED', 503],
    ['body_too_large', 413],
    ['UND_ERR_INVALID_ARG', 400],
  ] as const) {
    t.equal(PROBLEMS[upstreamProblem(Object.assign(new Error('x'), { code }))]?.[0], status, code)
  }
  t.equal(upstreamProblem(undefined), 'upstream_failed')
  t.equal(upstreamErrorCode(new Error('no code')), 'unknown')
})
