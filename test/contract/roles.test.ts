import { test } from 'tap'
import { BUILT_IN_ROLES } from '../../issuer/domain/role.ts'
import { ADAPTERS, aRole } from '../helpers/stores.ts'

for (const { name, skip, place } of ADAPTERS) {
  test(`roles in ${name}`, { skip }, async (t) => {
    const here = await place(t)
    const [{ roles }, { roles: others }] = await Promise.all([here.open(), here.open()])

    t.test('the built-in ones are there from the beginning, once', async (t) => {
      const all = await roles.all()
      t.same(
        all.map((role) => role.name),
        [...BUILT_IN_ROLES].sort(),
      )
      const admin = all.find((role) => role.name === 'admin')!
      t.same(admin.permissions, ['roles:read', 'sessions:end', 'users:delete', 'users:read', 'users:write'])
      t.ok(Math.abs(admin.createdAt - Date.now()) < 60_000, 'created when the store was')
    })

    t.test('a role is found as it was written, by name', async (t) => {
      const [one, two] = [aRole({ name: 'b:1' }), aRole({ name: 'a.2', description: '', permissions: [] })]
      t.equal(await roles.insert(one), true)
      t.equal(await others.insert(two), true)
      t.equal(await others.insert({ ...one, permissions: [] }), false, 'a name that is taken')
      const all = await others.all()
      t.same(
        all.filter((role) => !BUILT_IN_ROLES.includes(role.name)),
        [two, one],
      )
    })

    t.test('a change touches what it names', async (t) => {
      const role = aRole()
      await roles.insert(role)
      const after = { ...role, permissions: ['x'], updatedAt: 1_800_000_000_000 }
      t.same(await others.update(role.name, { permissions: ['x'], updatedAt: after.updatedAt }), after)
      t.same(await roles.update(role.name, { permissions: [], description: '', updatedAt: 1 }), {
        ...role,
        permissions: [],
        description: '',
        updatedAt: 1,
      })
      t.equal(await roles.update('no such role', { description: 'x', updatedAt: 1 }), undefined)
    })

    t.test('a role that is deleted is gone', async (t) => {
      const role = aRole()
      await roles.insert(role)
      t.equal(await others.delete(role.name), true)
      t.equal(await roles.delete(role.name), false)
      t.notOk((await roles.all()).some(({ name }) => name === role.name))
    })

    t.test('of 10 that create one role at once, one wins', async (t) => {
      const role = aRole()
      const answers = await Promise.all(Array.from({ length: 10 }, (_, n) => (n % 2 ? roles : others).insert(role)))
      t.equal(answers.filter(Boolean).length, 1)
    })
  })
}
