import { test } from 'tap'
import { ROLE_CACHE_MS } from '../../../../issuer/domain/grants.ts'
import { MAX_SCOPE_CHARACTERS } from '../../../../shared/access-token.ts'
import { type BuiltIssuer, buildIssuer, claimsOf } from '../../build.ts'

async function loggedIn(issuer: BuiltIssuer, ...roles: string[]) {
  const user = await issuer.register()
  await issuer.parts.users.update(user.id, { roles: ['subscriber', ...roles] })
  const { access_token: token, refresh_token } = await issuer.login(user)
  return { ...user, token, refresh_token }
}

async function withRoot(issuer: BuiltIssuer) {
  const root = await loggedIn(issuer, 'superuser')
  const call = (method: string, path: string, json?: object) =>
    issuer.call(method, `/admin/roles${path}`, { token: root.token, json })
  return { root, call }
}

test('roles are created, seen, changed and deleted', async (t) => {
  const issuer = await buildIssuer(t)
  const { root, call } = await withRoot(issuer)
  const json = { name: 'sales:emea', description: 'sells', permissions: ['orders:write', 'orders:read'] }
  const created = await call('POST', '', json)
  t.match(created, { status: 201, body: { ...json, permissions: ['orders:read', 'orders:write'], built_in: false } })
  t.same((await call('GET', '/sales:emea')).body, created.body)
  const list = (await call('GET', '')).body
  t.same(
    list.roles.map(({ name }: { name: string }) => name),
    ['admin', 'sales:emea', 'subscriber', 'superuser', 'viewer'],
  )
  t.match(list.permissions, { 'users:read': String, 'roles:write': String })

  issuer.clock.advance(1000)
  const changed = await call('PUT', '/sales:emea', { permissions: ['orders:read'] })
  t.match(changed, { status: 200, body: { description: 'sells', permissions: ['orders:read'] } })
  t.equal(changed.body.updated_at, new Date(issuer.clock.now()).toISOString())
  t.match(await call('PUT', '/sales:emea', { description: '' }), {
    body: { description: '', permissions: ['orders:read'] },
  })
  t.match(await call('DELETE', '/sales:emea'), { status: 200, body: { users: 0, complete: true } })
  for (const method of ['GET', 'DELETE']) t.equal((await call(method, '/sales:emea')).status, 404, method)
  t.equal((await call('PUT', '/sales:emea', { description: 'x' })).status, 404)
  const acts = issuer.audit
    .filter(({ event }) => event.startsWith('role_'))
    .map(({ event, facts }) => [event, facts.by])
  t.same(acts, [
    ['role_created', root.id],
    ['role_changed', root.id],
    ['role_changed', root.id],
    ['role_deleted', root.id],
  ])
})

test('names are bounded', async (t) => {
  const issuer = await buildIssuer(t)
  const { call } = await withRoot(issuer)
  for (const name of [
    '',
    'Admin',
    'a b',
    'a,b',
    ':a',
    'ä',
    'a\u0000',
    'a/b',
    'x'.repeat(51),
    '__proto__',
    '..',
    '$ne',
  ]) {
    const { status, body } = await call('POST', '', { name })
    t.match({ status, code: body.code }, { status: 400, code: 'invalid_request' }, JSON.stringify(name.slice(0, 20)))
    const other = await call('PUT', '/viewer', { permissions: [name] })
    if (name.length !== 51) t.equal(other.status, 400, `a permission ${JSON.stringify(name)}`)
  }
  for (const permissions of [['a', 'a'], [1], 'a', { a: 1 }, ['x'.repeat(65)], [null]]) {
    t.equal((await call('POST', '', { name: 'x', permissions })).status, 400, JSON.stringify(permissions).slice(0, 30))
  }
  t.equal((await call('POST', '', { name: 'x', description: 'x'.repeat(201) })).status, 400)
  for (const path of ['/toString', '/__proto__', '/%00', '/..%2f']) t.equal((await call('GET', path)).status, 404, path)
})

test('what is built in stays', async (t) => {
  const issuer = await buildIssuer(t)
  const { call } = await withRoot(issuer)
  for (const name of ['subscriber', 'viewer', 'admin', 'superuser']) {
    t.match(await call('GET', `/${name}`), { status: 200, body: { built_in: true } })
    t.match(await call('DELETE', `/${name}`), { status: 409, body: { code: 'conflict' } })
    t.match(await call('POST', '', { name }), { status: 409, body: { code: 'conflict' } })
  }
  t.equal((await call('PUT', '/superuser', { permissions: [] })).status, 409)
  t.equal((await call('PUT', '/viewer', { permissions: ['users:read'] })).status, 200, 'what it permits can change')
})

test('all permissions there are fit into one scope, so a token is never too long to be read', async (t) => {
  const issuer = await buildIssuer(t)
  const { root, call } = await withRoot(issuer)
  const many = (from: number, count: number) =>
    Array.from({ length: count }, (_, n) => `${String(from + n).padStart(3, '0')}-${'x'.repeat(55)}`)
  t.equal((await call('POST', '', { name: 'first', permissions: many(0, 40) })).status, 201)
  t.match(await call('POST', '', { name: 'second', permissions: many(40, 40) }), { status: 400 })
  t.equal((await call('POST', '', { name: 'second', permissions: many(0, 40) })).status, 201, 'the same ones')
  t.equal((await call('PUT', '/second', { permissions: many(40, 40) })).status, 400)
  const tokens = await issuer.login(root)
  const scope = String(claimsOf(tokens.access_token).scope)
  t.ok(scope.length > 2000 && scope.length <= MAX_SCOPE_CHARACTERS)
  t.equal((await issuer.call('GET', '/users/me', { token: tokens.access_token })).status, 200, 'and it is read')
})

test('permissions end up in the scope, sorted, and change with the next refresh', async (t) => {
  const issuer = await buildIssuer(t)
  const { call } = await withRoot(issuer)
  await call('POST', '', { name: 'one', permissions: ['b:1', 'a:1'] })
  await call('POST', '', { name: 'two', permissions: ['c:1', 'a:1'] })
  const user = await loggedIn(issuer, 'two', 'one')
  t.match(claimsOf(user.token), { roles: ['subscriber', 'two', 'one'], scope: 'a:1 b:1 c:1' })

  let token = user.refresh_token
  const refreshed = async () => {
    const { body } = await issuer.call('POST', '/auth/refresh', { json: { refresh_token: token, transport: 'body' } })
    token = body.refresh_token
    return claimsOf(body.access_token)
  }
  await call('PUT', '/two', { permissions: ['d:1'] })
  t.equal((await refreshed()).scope, 'a:1 b:1 d:1', 'a role that was reduced')
  t.match(await call('DELETE', '/one'), { body: { users: 1, complete: true } })
  t.match(await refreshed(), { roles: ['subscriber', 'two'], scope: 'd:1' }, 'a role that was deleted')
  t.same((await issuer.parts.users.byId(user.id))?.roles, ['subscriber', 'two'], 'it is taken from the user')
  t.same(issuer.events, [], 'nobody is logged out for it')
  await call('PUT', '/two', { permissions: [] })
  t.notOk('scope' in (await refreshed()), 'left out when empty')
})

test('what another issuer changed is known within the time of the cache', async (t) => {
  const issuer = await buildIssuer(t)
  const user = await loggedIn(issuer, 'viewer')
  const list = async () => (await issuer.call('GET', '/admin/users', { token: user.token })).status
  t.equal(await list(), 200)
  await issuer.parts.roles.update('viewer', { permissions: [], updatedAt: 0 })
  t.equal(await list(), 200)
  issuer.clock.advance(ROLE_CACHE_MS)
  t.equal(await list(), 403)
})

test('a new role belongs to nobody, whoever had one of its name before', async (t) => {
  const issuer = await buildIssuer(t)
  const { call } = await withRoot(issuer)
  const user = await issuer.register()
  // As an issuer leaves it that ended between the deletion of a role and taking it from its users.
  await issuer.parts.users.update(user.id, { roles: ['subscriber', 'ghost'] })
  t.same(claimsOf((await issuer.login(user)).access_token).roles, ['subscriber'], 'it grants nothing')
  t.equal((await call('POST', '', { name: 'ghost', permissions: ['x:1'] })).status, 201)
  t.same((await issuer.parts.users.byId(user.id))?.roles, ['subscriber'])
  t.notOk('scope' in claimsOf((await issuer.login(user)).access_token))
})

test('nobody puts into a role, or takes from one, what they do not have', async (t) => {
  const issuer = await buildIssuer(t)
  const { call } = await withRoot(issuer)
  await call('POST', '', { name: 'role-admin', permissions: ['roles:read', 'roles:write', 'x:1'] })
  const { token } = await loggedIn(issuer, 'role-admin')
  const own = (method: string, path: string, json?: object) =>
    issuer.call(method, `/admin/roles${path}`, { token, json })
  t.equal((await own('POST', '', { name: 'a', permissions: ['x:1'] })).status, 201)
  t.equal((await own('POST', '', { name: 'b', permissions: ['users:write'] })).status, 403)
  t.equal((await own('PUT', '/a', { permissions: ['users:write'] })).status, 403)
  t.equal((await own('PUT', '/admin', { permissions: [] })).status, 403)
  t.equal((await own('PUT', '/role-admin', { permissions: ['roles:read', 'roles:write', 'keys:write'] })).status, 403)
  await call('POST', '', { name: 'c', permissions: ['y:1'] })
  t.equal((await own('DELETE', '/c')).status, 403)
  t.equal((await own('DELETE', '/a')).status, 200)
})

test('a role of many users is taken from a part of them at a time', async (t) => {
  let left = 45
  const issuer = await buildIssuer(t, {
    wrap: ({ users }) => ({
      users: new Proxy(users, {
        get(target, key) {
          if (key !== 'takeRole') return Reflect.get(target, key)
          return async (_name: string, limit: number) => (left-- > 0 ? limit : 0)
        },
      }),
    }),
  })
  const { call } = await withRoot(issuer)
  t.match(await call('DELETE', '/gone'), { status: 200, body: { users: 20_000, complete: false } })
  t.match(await call('POST', '', { name: 'gone' }), { status: 201 }, 'which takes it from the rest')
  left = 100
  t.match(await call('POST', '', { name: 'again' }), { status: 409 }, 'unless they are too many')
})
