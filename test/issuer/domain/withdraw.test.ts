import fc from 'fast-check'
import { test } from 'tap'
import { type BuiltIssuer, buildIssuer } from '../build.ts'
import { scheduled } from '../scheduled.ts'

async function superuser(issuer: BuiltIssuer) {
  const user = await issuer.register()
  await issuer.parts.users.update(user.id, { roles: ['subscriber', 'superuser'] })
  const { access_token: token } = await issuer.login(user)
  return { ...user, token }
}

type Superuser = Awaited<ReturnType<typeof superuser>>

/** Every way in which a superuser can cease to be one. */
const WAYS: [
  name: string,
  act: (issuer: BuiltIssuer, who: Superuser, by: Superuser) => ReturnType<BuiltIssuer['call']>,
][] = [
  [
    'loses the role',
    (issuer, { id }, { token }) => issuer.call('PUT', `/admin/users/${id}`, { token, json: { roles: ['subscriber'] } }),
  ],
  [
    'loses all roles',
    (issuer, { id }, { token }) => issuer.call('PUT', `/admin/users/${id}`, { token, json: { roles: [] } }),
  ],
  [
    'is deactivated',
    (issuer, { id }, { token }) => issuer.call('PUT', `/admin/users/${id}`, { token, json: { is_active: false } }),
  ],
  ['is deleted', (issuer, { id }, { token }) => issuer.call('DELETE', `/admin/users/${id}`, { token })],
  ['deactivates the own account', (issuer, { token }) => issuer.call('DELETE', '/users/me', { token })],
  ['deactivates it by id', (issuer, { id, token }) => issuer.call('DELETE', `/users/${id}`, { token })],
]

test('the last superuser stays one', async (t) => {
  for (const [name, act] of WAYS) {
    const issuer = await buildIssuer(t)
    const root = await superuser(issuer)
    const inactive = await superuser(issuer)
    await issuer.parts.users.update(inactive.id, { isActive: false })
    const before = await issuer.parts.users.byId(root.id)
    const answer = await act(issuer, root, root)
    t.match({ status: answer.status, code: answer.body.code }, { status: 409, code: 'last_superuser' }, name)
    t.same(await issuer.parts.users.byId(root.id), before, `${name}: nothing changed`)
    t.same(issuer.events, [], `${name}: nobody is logged out`)
  }
})

test('where there is another one, a superuser may go', async (t) => {
  for (const [name, act] of WAYS) {
    const issuer = await buildIssuer(t)
    const [root, other] = [await superuser(issuer), await superuser(issuer)]
    t.equal((await act(issuer, other, root)).status, 200, name)
    t.equal((await issuer.call('GET', '/users/me', { token: other.token })).status, 401, `${name}: logged out`)
    t.match(issuer.events, [{ revocation: { kind: 'user', sub: other.id } }], `${name}: everywhere`)
  }
})

test('whatever the order in which superusers remove each other, one is left', async (t) => {
  let scheduler: fc.Scheduler | undefined
  const issuer = await buildIssuer(t, {
    wrap: ({ users }) => ({ users: scheduled(users, () => scheduler) }),
    rules: { publishTimeoutMs: 10_000 },
  })
  const way = fc.constantFrom(...WAYS.map(([, act]) => act))
  await fc.assert(
    fc.asyncProperty(fc.scheduler(), way, way, async (s, first, second) => {
      const [a, b] = [await superuser(issuer), await superuser(issuer)]
      scheduler = s
      const both = Promise.all([first(issuer, a, b), second(issuer, b, a)])
      await s.waitFor(both)
      scheduler = undefined
      const { users } = issuer.parts
      const left = (await users.page({ order: 'created', role: 'superuser', isActive: true, limit: 10 })).users
      if (left.length === 0) throw new Error('nobody is left')
      for (const { status } of await both) {
        if (![200, 401, 403, 404, 409].includes(status)) throw new Error(`an answer of ${status}`)
      }
      for (const { id } of [a, b]) await users.delete(id)
    }),
    { numRuns: 100 },
  )
  t.pass('in 100 schedules')
})
