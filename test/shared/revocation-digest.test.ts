import fc from 'fast-check'
import { test } from 'tap'
import { createRevocationDigest, isWithin, parseLedgerDigest } from '../../shared/revocation-digest.ts'

function digestOf(ids: Iterable<string>) {
  const digest = createRevocationDigest()
  for (const id of ids) digest.add(id)
  return digest.value()
}

const ids = fc.uniqueArray(fc.string({ maxLength: 30 }), { maxLength: 40 })

test('two sets have the same digest if, and only if, they are equal, in whatever order', async () => {
  fc.assert(
    fc.property(ids, ids, fc.array(fc.nat()), (one, two, order) => {
      const shuffled = one.map((id, n) => [order[n] ?? n, id] as const).sort(([a], [b]) => a - b)
      const same = digestOf(shuffled.map(([, id]) => id))
      if (JSON.stringify(same) !== JSON.stringify(digestOf(one))) return false
      const areEqual = one.length === two.length && one.every((id) => two.includes(id))
      return (JSON.stringify(digestOf(two)) === JSON.stringify(digestOf(one))) === areEqual
    }),
  )
})

test('what is missing, replaced or there twice shows', async (t) => {
  const all = Array.from({ length: 1000 }, (_, n) => `session:${n}`)
  const whole = digestOf(all)
  t.match(whole, { count: 1000, digest: /^[0-9a-f]{32}$/ })
  t.not(digestOf(all.slice(1)).digest, whole.digest)
  t.not(digestOf([...all.slice(1), 'session:other']).digest, whole.digest)
  t.not(digestOf([...all, 'session:0', 'session:0']).digest, whole.digest, 'one that is there three times')
  t.same(digestOf([]), { count: 0, digest: '0'.repeat(32) })
})

test('the window: its beginning is not in it, its end is, by kind', async (t) => {
  const window = { after: 10, until: { session: 20, user: 30, key: 5 } }
  t.same(
    [10, 11, 20, 21].map((exp) => isWithin(window, 'session', exp)),
    [false, true, true, false],
  )
  t.equal(isWithin(window, 'user', 21), true)
  t.equal(isWithin(window, 'key', 11), false)
})

test('an answer is taken as a whole or not at all', async (t) => {
  const good = { window: { after: 1, until: { session: 2, user: 3, key: 4 } }, count: 0, digest: '0'.repeat(32) }
  t.same(parseLedgerDigest({ ...good, more: 1 }), good)
  const bad: unknown[] = [
    undefined,
    null,
    [],
    'x',
    { ...good, count: -1 },
    { ...good, count: '0' },
    { ...good, count: 2 ** 53 },
    { ...good, digest: '0'.repeat(31) },
    { ...good, digest: 'G'.repeat(32) },
    { ...good, window: null },
    { ...good, window: { ...good.window, after: 1.5 } },
    { ...good, window: { after: 1, until: { session: 2, user: 3 } } },
  ]
  for (const value of bad) t.equal(parseLedgerDigest(value), undefined, JSON.stringify(value))
  fc.assert(fc.property(fc.anything(), (value) => void parseLedgerDigest(value)))
})
