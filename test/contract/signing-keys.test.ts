import { test } from 'tap'
import type { StoredSigningKey } from '../../issuer/domain/signing-key.ts'
import { ADAPTERS } from '../helpers/stores.ts'

function aKey(kid: string): StoredSigningKey {
  return {
    kid,
    alg: 'ES256',
    state: 'current',
    sealedPrivateKey: `sealed-${kid}`,
    createdAt: 1_700_000_000_000,
    retiredAt: null,
  }
}

for (const { name, skip, place } of ADAPTERS) {
  test(`signing keys in ${name}`, { skip }, async (t) => {
    const here = await place(t)
    const replicas = await Promise.all(Array.from({ length: 4 }, async () => (await here.open()).signingKeys))
    t.same(await replicas[0]!.all(), [])

    const answers = await Promise.all(
      Array.from({ length: 20 }, async (_, n) => {
        const replica = replicas[n % replicas.length]!
        const won = await replica.insertFirst(aKey(`key-${n}`))
        // Whoever lost goes on with the winner's key: it has to be there by then.
        return { n, won, seen: await replica.all() }
      }),
    )
    const winners = answers.filter(({ won }) => won)
    t.equal(winners.length, 1, 'of 20 at once one wins')
    for (const { seen } of answers) t.same(seen, [aKey(`key-${winners[0]!.n}`)])
    t.equal(await replicas[1]!.insertFirst(aKey('late')), false)
    t.equal(await replicas[1]!.insertFirst(winners.map(({ n }) => aKey(`key-${n}`))[0]!), false, 'the same key again')
  })
}
