import fc from 'fast-check'
import { test } from 'tap'
import type { Users } from '../../issuer/domain/ports.ts'
import type { User } from '../../issuer/domain/user.ts'
import { MAX_SCANNED, type UserQuery } from '../../issuer/domain/user-query.ts'
import { ADAPTERS, aUser } from '../helpers/stores.ts'

/** Every page of a list, one after the other. */
async function pages(users: Users, query: Omit<UserQuery, 'after'>): Promise<User[][]> {
  const found: User[][] = []
  for (let after: UserQuery['after'], more = true; more; more = after !== undefined) {
    const page = await users.page({ ...query, ...(after && { after }) })
    if (page.users.length > query.limit) throw new Error('a page is too long')
    found.push(page.users)
    after = page.next
  }
  return found
}

for (const { name, skip, place } of ADAPTERS) {
  test(`pages of users in ${name}`, { skip }, async (t) => {
    const { users } = await (await place(t)).open()
    // Few different values, so that filters meet and many are of the same millisecond.
    const made = Array.from({ length: 60 }, (_, n) =>
      aUser({
        emailKey: `${['ann', 'an', 'bob', 'ümlaut', 'z'][n % 5]}${n}@example.com`,
        usernameKey: n % 3 === 0 ? null : `${n % 2 ? 'Anna'.toLowerCase() : 'ben'}-${n}`,
        roles: n % 4 === 0 ? ['subscriber', 'editor'] : ['subscriber'],
        tier: n % 7 === 0 ? 'pro' : 'free',
        isActive: n % 5 !== 0,
        isVerified: n % 2 === 0,
        createdAt: 1_700_000_000_000 + Math.floor(n / 10),
      }),
    )
    for (const user of made) await users.insert(user)
    const byCode = (a: string, b: string) => Buffer.compare(Buffer.from(a), Buffer.from(b))
    const expected = ({ order, prefix = '', role, tier, isActive, isVerified }: Omit<UserQuery, 'limit'>) =>
      made
        .filter(
          (user) =>
            (order !== 'email' || user.emailKey.startsWith(prefix)) &&
            (order !== 'username' || user.usernameKey?.startsWith(prefix)) &&
            (role === undefined || user.roles.includes(role)) &&
            (tier === undefined || user.tier === tier) &&
            (isActive === undefined || user.isActive === isActive) &&
            (isVerified === undefined || user.isVerified === isVerified),
        )
        .sort((a, b) =>
          order === 'created'
            ? b.createdAt - a.createdAt || byCode(b.id, a.id)
            : byCode(order === 'email' ? a.emailKey : a.usernameKey!, order === 'email' ? b.emailKey : b.usernameKey!),
        )
        .map(({ id }) => id)

    t.test('whatever the filters and the size, the pages together are the list, in order', async (t) => {
      const maybe = <T>(...values: T[]) => fc.constantFrom(undefined, undefined, ...values)
      const filters = fc.record({
        role: maybe('subscriber', 'editor', 'nobody'),
        tier: maybe('free', 'pro', 'none'),
        isActive: maybe(true, false),
        isVerified: maybe(true, false),
      })
      const search = fc.oneof(
        fc.constant({ order: 'created' as const }),
        fc.record({ order: fc.constant('email' as const), prefix: fc.constantFrom('', 'an', 'ann', 'ü', 'q', 'an1') }),
        fc.record({ order: fc.constant('username' as const), prefix: fc.constantFrom('', 'anna-', 'b', 'c') }),
      )
      await fc.assert(
        fc.asyncProperty(filters, search, fc.integer({ min: 1, max: 70 }), async (filters, search, limit) => {
          const given = Object.fromEntries(Object.entries(filters).filter(([, value]) => value !== undefined))
          const query = { ...search, ...given, limit }
          const found = (await pages(users, query)).flat().map(({ id }) => id)
          t.strictSame(found, expected(query), JSON.stringify(query))
        }),
        { numRuns: 60 },
      )
    })

    t.test('a place in the list stays right while users come and go', async (t) => {
      const all = expected({ order: 'created' })
      const first = await users.page({ order: 'created', limit: 10 })
      const newer = aUser({ createdAt: 1_700_000_100_000 })
      await users.insert(newer)
      // The one that the cursor points at, and one behind it.
      await users.delete(all[9]!)
      await users.delete(all[12]!)
      const second = await users.page({ order: 'created', limit: 10, after: first.next! })
      const rest = all.slice(10).filter((id) => id !== all[12])
      t.same(
        second.users.map(({ id }) => id),
        rest.slice(0, 10),
      )
    })

    t.test('a value that is no text finds nobody', async (t) => {
      const operator = { $ne: null } as unknown as string
      for (const filter of [{ role: operator }, { tier: operator }]) {
        const page = await users.page({ order: 'created', limit: 5, ...filter }).catch(() => ({ users: [] }))
        t.same(page.users, [])
      }
    })
  })

  test(`one page in ${name} looks at a bounded number of users`, { skip, timeout: 300_000 }, async (t) => {
    const { users } = await (await place(t)).open()
    // One that passes, at the very end of what is looked at, and one behind it.
    const count = MAX_SCANNED + 2
    const make = (n: number) =>
      aUser({ createdAt: 2_000_000_000_000 - n, tier: 'free', isVerified: n === MAX_SCANNED - 1 || n === count - 1 })
    // Few at a time: a server that is slow on a busy machine has 5 s for a call.
    for (let from = 0; from < count; from += 100) {
      await users.insertMany(Array.from({ length: Math.min(100, count - from) }, (_, n) => make(from + n)))
    }
    const query = { order: 'created', tier: 'free', isVerified: true, limit: 5 } as const
    const first = await users.page(query)
    t.equal(first.users.length, 1)
    t.ok(first.next, 'it is not the end')
    const second = await users.page({ ...query, after: first.next! })
    t.match(second, { users: [{ createdAt: 2_000_000_000_000 - count + 1 }], next: undefined })
    t.same(
      (await pages(users, { ...query, isVerified: false, isActive: false })).map((page) => page.length),
      [0, 0],
      'empty pages, and then the end',
    )
  })
}
