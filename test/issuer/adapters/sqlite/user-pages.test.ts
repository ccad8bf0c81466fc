import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { test } from 'tap'
import { selectUsers } from '../../../../issuer/adapters/sqlite/user-pages.ts'
import type { UserQuery } from '../../../../issuer/domain/user-query.ts'
import { aUser, embeddedPlace } from '../../../helpers/stores.ts'

const filters: Partial<UserQuery>[] = [
  {},
  { role: 'admin' },
  { tier: 'pro' },
  { isActive: false },
  { isVerified: true },
  { role: 'admin', tier: 'pro', isActive: true, isVerified: true },
  { tier: 'pro', isVerified: false },
]

test('every list is one range of one index: nothing is sorted, nothing is read but what follows', async (t) => {
  const place = embeddedPlace(t)
  await place.open()
  const db = new DatabaseSync(join(place.settings.DATA_DIR, 'sallyport.db'), { readOnly: true })
  t.teardown(() => db.close())
  const places = [undefined, { key: 1_700_000_000_000, id: 'x' }]
  const queries: UserQuery[] = [
    ...filters.flatMap((filter) =>
      places.map((after) => ({ order: 'created', limit: 10, ...filter, ...(after && { after }) }) as UserQuery),
    ),
    ...(['email', 'username'] as const).flatMap((order) =>
      [undefined, { key: 'ann', id: 'x' }].map(
        (after) => ({ order, prefix: 'a', limit: 10, ...(after && { after }) }) as UserQuery,
      ),
    ),
  ]
  for (const query of queries) {
    const { sql, parameters } = selectUsers(query)
    const plan = db
      .prepare(`EXPLAIN QUERY PLAN ${sql}`)
      .all(parameters)
      .map((row) => String(row.detail))
    const name = JSON.stringify(query)
    t.notMatch(plan.join('; '), /TEMP B-TREE/, `${name} is not sorted: ${plan.join('; ')}`)
    const everything = Object.keys(query).length === 2
    for (const step of plan) {
      t.match(
        step,
        everything ? /^SCAN users USING INDEX usersByCreation/ : /^SEARCH .* USING (PRIMARY KEY|INDEX)/,
        name,
      )
    }
    if (query.after)
      t.match(plan[0], /createdAt,(id|userId)\)<|emailKey>|usernameKey>/, `${name} begins at its place: ${plan}`)
  }
})

test('roles are indexed whoever writes them', async (t) => {
  const place = embeddedPlace(t)
  const { users } = await place.open()
  const withRole = async (role: string) =>
    (await users.page({ order: 'created', role, limit: 10 })).users.map(({ id }) => id)
  const user = aUser({ roles: ['a', 'b', 'a'] })
  await users.insert(user)
  t.same(await withRole('a'), [user.id])
  await users.update(user.id, { roles: ['b', 'c'] })
  t.same([await withRole('a'), await withRole('b'), await withRole('c')], [[], [user.id], [user.id]])
  await users.update(user.id, { tier: 'pro' })
  await users.delete(user.id)
  const db = new DatabaseSync(join(place.settings.DATA_DIR, 'sallyport.db'))
  t.teardown(() => db.close())
  t.equal(db.prepare('SELECT count(*) AS rows FROM userRoles').get()?.rows, 0)
})
