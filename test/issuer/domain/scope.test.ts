import fc from 'fast-check'
import { test } from 'tap'
import { fittingScope, narrowScope } from '../../../issuer/domain/scope.ts'
import { MAX_SCOPE_CHARACTERS } from '../../../shared/access-token.ts'

const HELD = ['a:read', 'a:write', 'b:read']

test('a scope is narrowed, never widened', async (t) => {
  const rows: [requested: string | undefined, answer: string[] | false][] = [
    [undefined, HELD],
    ['a:read a:write b:read', HELD],
    ['b:read a:read', ['a:read', 'b:read']],
    ['a:read a:read', ['a:read']],
    ['a:read c:read', false],
    ['A:READ', false],
    ['a:read  b:read', false],
    [' a:read', false],
    ['a:read ', false],
    ['a:read\tb:read', false],
    ['', false],
    ['a:*', false],
  ]
  for (const [requested, answer] of rows) {
    t.same(narrowScope(HELD, requested), answer ? { ok: true, permissions: answer } : { ok: false }, String(requested))
  }
  t.same(narrowScope([], 'a:read'), { ok: false })
})

test('whatever is asked for, nothing is given that was not held', async (t) => {
  const words = fc.array(fc.stringMatching(/^[a-c]:[a-c]$/), { maxLength: 6 })
  fc.assert(
    fc.property(words, words, (held, asked) => {
      const narrowed = narrowScope(held, asked.join(' '))
      if (narrowed.ok) return narrowed.permissions.every((word) => held.includes(word) && asked.includes(word))
      return asked.length === 0 || asked.some((word) => !held.includes(word))
    }),
  )
  t.pass()
})

test('the scope of a token fits into it, in whole words', async (t) => {
  t.equal(fittingScope(HELD, null), 'a:read a:write b:read')
  t.equal(fittingScope(HELD, 'b:read a:read gone:since'), 'a:read b:read')
  t.equal(fittingScope([], null), '')
  const many = Array.from({ length: 200 }, (_, n) => `service-${n}:${'x'.repeat(40)}`)
  const scope = fittingScope(many, null)
  t.ok(scope.length <= MAX_SCOPE_CHARACTERS && scope.length > MAX_SCOPE_CHARACTERS - 60)
  t.same(scope.split(' '), many.slice(0, scope.split(' ').length))
})
