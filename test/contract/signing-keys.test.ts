import { setImmediate as turn } from 'node:timers/promises'
import { test } from 'tap'
import type { StoredSigningKey } from '../../issuer/domain/signing-key.ts'
import { ADAPTERS } from '../helpers/stores.ts'

function aKey(kid: string, more: Partial<StoredSigningKey> = {}): StoredSigningKey {
  return {
    kid,
    alg: 'ES256',
    state: 'current',
    sealedPrivateKey: `sealed-${kid}`,
    createdAt: 1_700_000_000_000,
    signsFrom: 1_700_000_000_000,
    retiredAt: null,
    revokedAt: null,
    ...more,
  }
}

const hasCurrent = (keys: readonly StoredSigningKey[]) => keys.some(({ state }) => state === 'current')
const countOf = (keys: readonly StoredSigningKey[]) => Number(keys[0]?.signsFrom ?? 0)

for (const { name, skip, place } of ADAPTERS) {
  test(`signing keys in ${name}`, { skip }, async (t) => {
    const here = await place(t)
    const replicas = await Promise.all(Array.from({ length: 4 }, async () => (await here.open()).signingKeys))
    const [one, two] = [replicas[0]!, replicas[1]!]
    t.same(await one.all(), [])

    const answers = await Promise.all(
      // Few: under MongoDB each that loses begins anew, and has 5 s in all, also on a busy machine.
      Array.from({ length: 10 }, async (_, n) => {
        const replica = replicas[n % replicas.length]!
        const after = await replica.change((keys) => (hasCurrent(keys) ? keys : [...keys, aKey(`key-${n}`)]))
        // Whoever came too late goes on with the winner's key: it has to be there by then.
        return { after, seen: await replica.all() }
      }),
    )
    const [first] = await one.all()
    for (const { after, seen } of answers) {
      t.same(after, [first], 'of 10 at once one wins, and all are told')
      t.same(seen, [first])
    }

    t.test('what is changed, added and left out is stored, and the rest stays', async (t) => {
      const kept = aKey('kept', { state: 'retired', retiredAt: 5, createdAt: 1 })
      await one.change((keys) => [...keys, kept, aKey('dropped', { state: 'next', signsFrom: null, createdAt: 2 })])
      const successor = aKey('successor', { createdAt: 1_700_000_000_001 })
      const after = await two.change((keys) => [
        ...keys
          .filter(({ kid }) => kid !== 'dropped')
          .map((key) =>
            key.state === 'current' ? { ...key, state: 'gone' as const, sealedPrivateKey: '', revokedAt: 7 } : key,
          ),
        successor,
      ])
      const expected = [kept, { ...first!, state: 'gone', sealedPrivateKey: '', revokedAt: 7 }, successor]
      t.same(after, expected)
      for (const replica of replicas) t.same(await replica.all(), expected, 'oldest first')
    })

    t.test('two current keys are refused, whoever asks for them, and nothing is changed', async (t) => {
      const before = await one.all()
      await t.rejects(one.change((keys) => [...keys, aKey('second')]))
      t.same(await two.all(), before)
    })

    t.test('what throws in between changes nothing, and does no harm to what follows', async (t) => {
      const before = await one.all()
      await t.rejects(
        one.change(() => {
          throw new TypeError('a bug')
        }),
        TypeError,
      )
      t.same(await one.change((keys) => keys), before)
      t.same(await two.all(), before)
    })

    t.test('changes at once happen one after the other: none is lost', async (t) => {
      await one.change(() => [aKey('counter', { signsFrom: 0 })])
      const add = async (replica: typeof one) => {
        for (let n = 0; n < 5; n++) {
          await replica.change((keys) => [{ ...keys[0]!, signsFrom: countOf(keys) + 1 }])
          await turn()
        }
      }
      await Promise.all(replicas.map(add))
      t.equal(countOf(await one.all()), 20)
    })

    t.test('changes of different keys at once see each other: who looked for the last one finds it', async (t) => {
      await one.change(() => [aKey('current')])
      // Each lets its own key take over, as a rotation does; a lost update would leave two successors or none.
      await Promise.all(
        replicas.map((replica, n) =>
          replica.change((keys) => [
            ...keys.map((key) => (key.state === 'current' ? { ...key, state: 'retired' as const, retiredAt: n } : key)),
            aKey(`successor-${n}`, { createdAt: 1_700_000_000_010 + n }),
          ]),
        ),
      )
      const keys = await two.all()
      t.equal(keys.length, 5)
      t.equal(keys.filter(({ state }) => state === 'current').length, 1)
      t.equal(new Set(keys.map(({ retiredAt }) => retiredAt)).size, 5, 'each retired the one before it')
    })
  })
}
