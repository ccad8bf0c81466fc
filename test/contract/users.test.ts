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

    t.test('of many that are inserted at once, each is told what became of it', async (t) => {
      const there = aUser({ usernameKey: uniqueName('name') })
      await users.insert(there)
      const fresh = Array.from({ length: 5 }, () => aUser({ roles: ['a', 'b'], lastLogin: 5 }))
      const many = [
        fresh[0]!,
        aUser({ emailKey: there.emailKey }),
        fresh[1]!,
        aUser({ usernameKey: there.usernameKey }),
        aUser({ id: there.id, emailKey: uniqueName('key') }),
        fresh[2]!,
        aUser({ emailKey: fresh[0]!.emailKey }),
        ...fresh.slice(3),
      ]
      const taken = (what: string) => ({ ok: false, taken: what })
      const inserted = { ok: true }
      t.same(await others.insertMany(many), [
        inserted,
        taken('email'),
        inserted,
        taken('username'),
        taken('id'),
        inserted,
        taken('email'),
        inserted,
        inserted,
      ])
      for (const user of fresh) t.same(await users.byId(user.id), user)
      t.same(await users.byId(there.id), there)
      t.same(await users.insertMany([]), [])
    })

    t.test('the epochs of all rise, each once, a few users at a time', async (t) => {
      const there = [aUser(), aUser({ epoch: 7 }), aUser(), aUser(), aUser()]
      await users.insertMany(there)
      let [count, calls] = [0, 0]
      for (let after: string | undefined; ; calls++) {
        const raised = await (calls % 2 ? users : others).raiseEpochs(1_000_000, 2, after)
        count += raised.count
        if (raised.last === undefined) break
        t.ok(raised.count <= 2)
        t.ok(after === undefined || raised.last > after)
        after = raised.last
      }
      t.ok(count >= there.length && calls >= there.length / 2)
      for (const { id, epoch } of there) t.equal((await users.byId(id))?.epoch, epoch + 1_000_000)
      t.equal(await others.raiseEpoch(there[0]!.id), 1_000_001)
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

    t.test(
      'a change with a condition happens only where it holds, and can raise the epoch in the same step',
      async (t) => {
        const user = aUser({ roles: ['a', 'b'] })
        await users.insert(user)
        const { passwordHash } = user
        for (const onlyIf of [
          { passwordHash: 'another' },
          { epoch: 1 },
          { isActive: false },
          { roles: ['a'] },
          { roles: ['b', 'a'] },
          { passwordHash, epoch: 1 },
        ]) {
          t.equal(await others.update(user.id, { tier: 'pro' }, { onlyIf, raiseEpoch: true }), undefined)
        }
        t.same(await users.byId(user.id), user, 'nothing changed')
        const onlyIf = { passwordHash, epoch: 0, isActive: true, roles: ['a', 'b'] }
        const after = await others.update(user.id, { passwordHash: 'new' }, { onlyIf, raiseEpoch: true })
        t.same(after, { ...user, passwordHash: 'new', epoch: 1 })
        t.match(await users.update(user.id, {}, { raiseEpoch: true }), { epoch: 2 }, 'the epoch alone')
        t.equal(await users.update(randomUUID(), { tier: 'pro' }, { onlyIf: {}, raiseEpoch: true }), undefined)
      },
    )

    t.test('of 20 that replace one password at once, one wins', async (t) => {
      const user = aUser()
      await users.insert(user)
      const { passwordHash } = user
      const answers = await Promise.all(
        Array.from({ length: 20 }, (_, n) =>
          (n % 2 ? users : others).update(
            user.id,
            { passwordHash: `new ${n}` },
            { onlyIf: { passwordHash }, raiseEpoch: true },
          ),
        ),
      )
      t.equal(answers.filter((answer) => answer !== undefined).length, 1)
      t.equal((await users.byId(user.id))?.epoch, 1)
    })

    t.test('a user who is deleted is gone, and the names are free', async (t) => {
      const user = aUser({ usernameKey: uniqueName('name') })
      await users.insert(user)
      t.equal(await others.delete(user.id), true)
      t.equal(await users.delete(user.id), false)
      t.equal(await users.byId(user.id), undefined)
      const { emailKey, usernameKey } = user
      t.same(await users.insert(aUser({ emailKey, usernameKey })), { ok: true })
      t.equal(await users.delete({ $ne: null } as unknown as string).catch(() => false), false, 'an operator is no id')
    })

    t.test('a role is taken from those who have it, some at a time', async (t) => {
      const role = uniqueName('role')
      const made = Array.from({ length: 5 }, () => aUser({ roles: ['a', role, 'z'] }))
      const bystander = aUser({ roles: ['a', `${role}x`] })
      for (const user of [...made, bystander]) await users.insert(user)
      t.equal(await others.takeRole(role, 3), 3)
      t.equal((await users.page({ order: 'created', role, limit: 10 })).users.length, 2)
      t.equal(await users.takeRole(role, 3), 2)
      t.equal(await users.takeRole(role, 3), 0)
      for (const { id } of made) t.same((await users.byId(id))?.roles, ['a', 'z'])
      t.same(await users.byId(bystander.id), bystander)
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
