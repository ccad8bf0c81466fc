import { test } from 'tap'
import { ADAPTERS, aOneTimeToken } from '../helpers/stores.ts'

for (const { name, skip, place } of ADAPTERS) {
  test(`mailed tokens in ${name}`, { skip }, async (t) => {
    const here = await place(t)
    const [{ oneTimeTokens: tokens }, { oneTimeTokens: others }] = await Promise.all([here.open(), here.open()])

    t.test('a token is found by its hash as it was written, until it is taken', async (t) => {
      const token = aOneTimeToken({ purpose: 'reset_password' })
      await tokens.insert(token)
      t.same(await others.find(token.hash), token)
      t.same(await tokens.find(token.hash), token, 'looking does not use it up')
      t.equal(await others.take(token.hash), true)
      t.equal(await tokens.find(token.hash), undefined)
      t.equal(await tokens.take(token.hash), false)
    })

    t.test('of 20 that take it at once, one gets it', async (t) => {
      const token = aOneTimeToken()
      await tokens.insert(token)
      const taken = await Promise.all(Array.from({ length: 20 }, (_, n) => (n % 2 ? tokens : others).take(token.hash)))
      t.equal(taken.filter(Boolean).length, 1)
    })

    t.test('a user can have several', async (t) => {
      const [one, two] = [aOneTimeToken({ sub: 'the same' }), aOneTimeToken({ sub: 'the same' })]
      await Promise.all([tokens.insert(one), tokens.insert(two)])
      t.equal(await tokens.take(one.hash), true)
      t.same(await tokens.find(two.hash), two)
    })

    t.test('a query operator in place of a text finds and takes nothing', async (t) => {
      const token = aOneTimeToken()
      await tokens.insert(token)
      const operator = { $ne: null } as unknown as string
      t.equal(await tokens.find(operator).catch(() => undefined), undefined)
      t.equal(await tokens.take(operator).catch(() => false), false)
      t.same(await tokens.find(token.hash), token)
    })
  })
}
