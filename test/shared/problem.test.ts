import { STATUS_CODES } from 'node:http'
import { test } from 'tap'
import { PROBLEM_TYPE, PROBLEMS, type ProblemCode, problemDocument, problemText } from '../../shared/problem.ts'

test('every problem has a status and one sentence', async (t) => {
  for (const [code, [status, title]] of Object.entries(PROBLEMS)) {
    t.match(code, /^[a-z]+(?:_[a-z]+)*$/)
    t.ok(status >= 400 && status in STATUS_CODES, `${code} is an error: ${status}`)
    t.match(title, /^[A-Z].*[^.]$/, `${code}: ${title}`)
  }
})

test('a refused credential says what is wanted, never why it was refused', async (t) => {
  for (const [code, [status, title]] of Object.entries(PROBLEMS)) {
    if (status !== 401) continue
    t.notMatch(title, /expired|revoked|signature|unknown|locked|disabled|key/i, `${code}: ${title}`)
  }
})

test('what cannot be known is no verdict about the client', async (t) => {
  const notNow: ProblemCode[] = ['revocations_stale', 'keys_unavailable', 'store_unavailable', 'overloaded', 'draining']
  for (const code of notNow) t.equal(PROBLEMS[code][0], 503, code)
})

test('renders RFC 9457', async (t) => {
  t.equal(PROBLEM_TYPE, 'application/problem+json')
  t.same(problemDocument('forbidden'), {
    type: 'about:blank',
    title: 'This is not allowed',
    status: 403,
    code: 'forbidden',
  })
  t.same(problemDocument('invalid_request', { detail: 'd', errors: ['a', 'b'] }), {
    type: 'about:blank',
    title: 'The request is not valid',
    status: 400,
    code: 'invalid_request',
    detail: 'd',
    errors: ['a', 'b'],
  })
  const whole = problemDocument('forbidden')
  t.equal(problemText(whole), `${JSON.stringify(whole)}\n`)
})
