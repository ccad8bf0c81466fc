import fc from 'fast-check'
import { test } from 'tap'
import { readOriginalRequest } from '../../../sidecar/domain/original-request.ts'

const NO_OWN = { method: 'GET', target: undefined }
const own = (method: string, target: string) => ({ method, target })
const FORWARDED = ['X-Forwarded-Method', 'PUT', 'X-Forwarded-Uri', '/a?b=c']
const ORIGINAL = ['x-original-method', 'PUT', 'x-original-uri', '/a?b=c']
const PUT_A = { ok: true, method: 'PUT', target: '/a?b=c' }

test('the original request is found in the fields of Traefik and Caddy, in those of nginx, or in the question itself', async (t) => {
  t.same(readOriginalRequest(NO_OWN, FORWARDED), PUT_A)
  t.same(readOriginalRequest(NO_OWN, ORIGINAL), PUT_A)
  t.same(readOriginalRequest(own('PUT', '/a?b=c'), ['Host', 'x', 'X-Forwarded-For', '1.2.3.4']), PUT_A)
  t.same(readOriginalRequest(NO_OWN, [...FORWARDED, ...ORIGINAL]), PUT_A, 'both agree')
  t.same(readOriginalRequest(NO_OWN, [...ORIGINAL, 'X-Original-URL', 'https://app.example/a?b=c']), PUT_A)
  t.same(readOriginalRequest(NO_OWN, [...ORIGINAL, 'X-Original-URL', '/a?b=c']), PUT_A)
})

test('what does not say both, or not one thing, is no original request', async (t) => {
  const rows: [name: string, reason: string, own: { method: string; target: string | undefined }, fields: string[]][] =
    [
      ['nothing', 'original_missing', NO_OWN, ['Host', 'x']],
      ['a whole URL alone', 'original_missing', NO_OWN, ['X-Original-URL', 'http://a/b']],
      ['no method', 'original_incomplete', NO_OWN, FORWARDED.slice(2)],
      ['no target', 'original_incomplete', NO_OWN, ORIGINAL.slice(0, 2)],
      [
        'half from each: the proxy set one, the client the other',
        'original_incomplete',
        NO_OWN,
        [...FORWARDED.slice(0, 2), ...ORIGINAL.slice(2)],
      ],
      ['another target', 'original_ambiguous', NO_OWN, [...FORWARDED, 'X-Original-URI', '/b']],
      ['another method', 'original_ambiguous', NO_OWN, [...ORIGINAL, 'X-Forwarded-Method', 'GET']],
      ['another URL', 'original_ambiguous', NO_OWN, [...ORIGINAL, 'X-Original-URL', 'http://a/public']],
      ['another than the question', 'original_ambiguous', own('PUT', '/public'), FORWARDED],
      ['another method than the question', 'original_ambiguous', own('GET', '/a?b=c'), FORWARDED],
      ['half that differs', 'original_ambiguous', own('GET', '/a'), ['X-Forwarded-Uri', '/b']],
      ['twice', 'original_ambiguous', NO_OWN, [...FORWARDED, 'X-Forwarded-Uri', '/b']],
      ['twice the same', 'original_ambiguous', NO_OWN, [...FORWARDED, 'X-Forwarded-Uri', '/a?b=c']],
      ['empty', 'original_ambiguous', NO_OWN, [...FORWARDED, 'X-Original-URI', '']],
    ]
  for (const [name, reason, question, fields] of rows) {
    t.same(readOriginalRequest(question, fields), { ok: false, reason }, name)
  }
})

test('whatever else is said, the request found is the one that a whole way said, and every other agrees', async (t) => {
  const method = fc.constantFrom('GET', 'PUT')
  const target = fc.constantFrom('/a', '/b', '')
  const field = fc.oneof(
    fc.tuple(fc.constantFrom('X-Forwarded-Method', 'x-original-method'), method),
    fc.tuple(fc.constantFrom('X-Forwarded-Uri', 'X-ORIGINAL-URI', 'X-Original-URL'), target),
  )
  const question = fc.record({ method, target: fc.option(target, { nil: undefined }) })
  fc.assert(
    fc.property(question, fc.array(field, { maxLength: 6 }), (asked, fields) => {
      const found = readOriginalRequest(asked, fields.flat())
      if (!found.ok) return
      for (const [name, value] of fields)
        t.equal(value, name.toLowerCase().endsWith('method') ? found.method : found.target)
      if (asked.target !== undefined) t.same([found.method, found.target], [asked.method, asked.target])
    }),
  )
  t.end()
})
