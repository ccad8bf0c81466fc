import { randomUUID } from 'node:crypto'
import { test } from 'tap'
import { ADAPTERS, aUser } from '../helpers/stores.ts'
import { uniqueName } from '../helpers/unique-name.ts'

for (const { name, skip, place } of ADAPTERS) {
  test(`users in ${name}`, { skip }, async (t) => {
    const here = await place(t)
    const [{ users }, { users: others }] = await Promise.all([here.open(), here.open()])

    t.test('a user is found by id and by each key, as it was written', async (t) => {
      const user = aUser({
        email: 'Ümläut+tag@Exämple.com',
        emailKey: uniqueName('key'),
        username: 'Sälly 🚪',
        usernameKey: uniqueName('sälly 🚪'),
        roles: ['user', 'a "quoted" role', ''],
        isVerified: true,
        lastLogin: 1_800_000_000_001,
      })
      t.same(await users.insert(user), { ok: true })
      t.same(await others.byId(user.id), user)
      t.same(await others.byEmailKey(user.emailKey), user)
      t.same(await others.byUsernameKey(user.usernameKey!), user)
    })

    t.test('who is not there is undefined', async (t) => {
      t.equal(await users.byId(randomUUID()), undefined)
      t.equal(await users.byEmailKey('nobody'), undefined)
      t.equal(await users.byUsernameKey('nobody'), undefined)
      t.equal(await users.update(randomUUID(), { tier: 'pro' }), undefined)
      t.equal(await users.update(randomUUID(), {}), undefined)
      t.equal(await users.raiseEpoch(randomUUID()), undefined)
    })

    t.test('a query operator in place of a text finds and changes nobody', async (t) => {
      const user = aUser({ usernameKey: uniqueName('key') })
      await users.insert(user)
      const operator = { $ne: null } as unknown as string
      for (const ask of [users.byId, users.byEmailKey, users.byUsernameKey, users.raiseEpoch]) {
        t.equal(await ask(operator).catch(() => undefined), undefined)
      }
      t.equal(await users.update(operator, { tier: 'stolen' }).catch(() => undefined), undefined)
      t.same(await users.byId(user.id), user)
    })

    t.test('any number of users have no user name', async (t) => {
      t.same(await users.insert(aUser()), { ok: true })
      t.same(await users.insert(aUser()), { ok: true })
    })

    t.test('an address or a name that is taken is refused, on insert and on update', async (t) => {
      const first = aUser({ usernameKey: uniqueName('name') })
      const second = aUser({ usernameKey: uniqueName('name') })
      await users.insert(first)
      await users.insert(second)
      t.same(await others.insert(aUser({ emailKey: first.emailKey })), { ok: false, taken: 'email' })
      t.same(await others.insert(aUser({ usernameKey: first.usernameKey })), { ok: false, taken: 'username' })
      t.same(await others.update(second.id, { emailKey: first.emailKey, tier: 'pro' }), { ok: false, taken: 'email' })
      t.same(await others.update(second.id, { usernameKey: first.usernameKey }), { ok: false, taken: 'username' })
      t.same(await users.byId(second.id), second, 'a refused change changes nothing')
    })

    t.test('of 20 that register one address or one name at once, one wins', async (t) => {
      const emailKey = uniqueName('race')
      const byEmail = await Promise.all(
        Array.from({ length: 20 }, (_, n) => (n % 2 ? users : others).insert(aUser({ emailKey }))),
      )
      t.equal(byEmail.filter(({ ok }) => ok).length, 1)
      t.equal(byEmail.filter((answer) => !answer.ok && answer.taken === 'email').length, 19)

      const usernameKey = uniqueName('race')
      const rivals = Array.from({ length: 10 }, () => aUser())
      await Promise.all(rivals.map((user) => users.insert(user)))
      const byName = await Promise.all([
        ...rivals.map(({ id }) => others.update(id, { usernameKey })),
        ...rivals.map(() => users.insert(aUser({ usernameKey }))),
      ])
      const refused = byName.filter((answer) => answer && 'taken' in answer && answer.taken === 'username')
      t.equal(refused.length, 19)
      t.ok(await users.byUsernameKey(usernameKey))
    })

    t.test('a change touches what it names, and its answer is the user after it', async (t) => {
      const user = aUser({ username: 'Old', usernameKey: uniqueName('old'), roles: ['user', 'admin'] })
      await users.insert(user)
      const change = {
        username: null,
        usernameKey: null,
        roles: [],
        isActive: false,
        lastLogin: 1_800_000_000_000,
        tier: undefined,
      }
      const after = await others.update(user.id, change)
      t.same(after, { ...user, ...change, tier: user.tier })
      t.same(await users.byId(user.id), after)
      t.same(await users.update(user.id, {}), after, 'nothing to change')
    })

    t.test('20 raise the epoch at once: each gets a number of its own, and changes beside it lose none', async (t) => {
      const user = aUser()
      await users.insert(user)
      const [epochs] = await Promise.all([
        Promise.all(Array.from({ length: 20 }, (_, n) => (n % 2 ? users : others).raiseEpoch(user.id))),
        Promise.all(Array.from({ length: 10 }, (_, n) => others.update(user.id, { lastLogin: n }))),
      ])
      t.same(
        epochs.sort((a, b) => a! - b!),
        Array.from({ length: 20 }, (_, n) => n + 1),
      )
      t.equal((await users.byId(user.id))?.epoch, 20)
    })
  })
}
