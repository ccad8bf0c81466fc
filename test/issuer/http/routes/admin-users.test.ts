import { test } from 'tap'
import { type BuiltIssuer, buildIssuer, claimsOf } from '../../build.ts'

/** A user with these roles beside the one that everybody has, logged in. */
async function loggedIn(issuer: BuiltIssuer, ...roles: string[]) {
  const user = await issuer.register()
  if (roles.length > 0) await issuer.parts.users.update(user.id, { roles: ['subscriber', ...roles] })
  const { access_token: token, refresh_token } = await issuer.login(user)
  return { ...user, token, refresh_token }
}

test('every route under /admin names its permission, and refuses whoever does not have it', async (t) => {
  const issuer = await buildIssuer(t)
  const nobody = await loggedIn(issuer)
  const { paths } = (await issuer.call('GET', '/openapi.json')).body as {
    paths: Record<string, Record<string, { 'x-permission'?: string; requestBody?: object }>>
  }
  const admin = Object.entries(paths).filter(([path]) => path.startsWith('/admin/'))
  t.ok(admin.length >= 8, 'the routes are found')
  const bodies: Record<string, object> = {
    'put /admin/users/{id}': { tier: 'pro' },
    'post /admin/roles': { name: 'x' },
    'put /admin/roles/{name}': { description: 'x' },
  }
  for (const [path, methods] of admin) {
    for (const [method, { 'x-permission': permission }] of Object.entries(methods)) {
      t.match(permission, /^[a-z]+:[a-z]+$/, `${method} ${path}`)
      if (!/users|roles/.test(path)) continue
      const json = bodies[`${method} ${path}`]
      const url = path.replace('{id}', nobody.id).replace('{name}', 'viewer').replace('{sid}', 'x')
      const refused = await issuer.call(method.toUpperCase(), url, { token: nobody.token, json })
      t.match(
        { status: refused.status, code: refused.body.code },
        { status: 403, code: 'forbidden' },
        `${method} ${path}`,
      )
      t.equal((await issuer.call(method.toUpperCase(), url, { json })).status, 401, `${method} ${path} without a token`)
    }
  }
})

test('rights are those of the present roles, whatever the token says', async (t) => {
  const issuer = await buildIssuer(t)
  const admin = await loggedIn(issuer, 'viewer')
  const list = async () => (await issuer.call('GET', '/admin/users', { token: admin.token })).status
  t.equal(await list(), 200)
  t.match(claimsOf(admin.token).scope, /users:read/)
  await issuer.parts.users.update(admin.id, { roles: ['subscriber'] })
  t.equal(await list(), 403)
  await issuer.parts.users.update(admin.id, { roles: ['viewer'] })
  t.equal(await list(), 200)
})

test('users are listed page by page, newest first, and by what their address or name begins with', async (t) => {
  const issuer = await buildIssuer(t)
  const admin = await loggedIn(issuer, 'viewer')
  const made: { id: string }[] = []
  for (let n = 0; n < 7; n++) {
    issuer.clock.advance(1000)
    made.push(await issuer.register({ email: `${n % 2 ? 'Ann' : 'bob'}.${n}@example.com`, username: `Name${n}` }))
  }
  const list = (query: string) => issuer.call('GET', `/admin/users?${query}`, { token: admin.token })
  const ids = (answer: { body: { users: { id: string }[] } }) => answer.body.users.map(({ id }) => id)

  const newest = made.map(({ id }) => id).reverse()
  const first = await list('limit=3')
  t.same(ids(first), newest.slice(0, 3))
  const second = await list(`limit=3&after=${first.body.next}`)
  t.same(ids(second), newest.slice(3, 6))
  const last = await list(`limit=3&after=${second.body.next}`)
  t.same(ids(last), [newest[6], admin.id])
  t.equal(last.body.next, null)
  t.notMatch(JSON.stringify(first.body), /hash|epoch|Key/, 'nothing secret')
  t.match(first.body.users[0], { email: 'bob.6@example.com', roles: ['subscriber'], is_active: true })

  t.same(
    ids(await list('email=ANN')),
    [1, 3, 5].map((n) => made[n]!.id),
  )
  t.same(ids(await list('email=ann.3%40example.com')), [made[3]!.id])
  t.same(ids(await list('username=name&limit=2')), [made[0]!.id, made[1]!.id])
  t.same(ids(await list('email=%25')), [], 'a wildcard is none')
  t.same(ids(await list('email=.*')), [], 'nor is a pattern')
  await issuer.parts.users.update(made[2]!.id, { tier: 'pro', isActive: false, isVerified: true })
  for (const query of ['tier=pro', 'is_active=false', 'is_verified=true', 'tier=pro&is_active=false&role=subscriber']) {
    t.same(ids(await list(query)), [made[2]!.id], query)
  }
  t.same(ids(await list('role=viewer')), [admin.id])
  t.same(ids(await list('tier=pro&is_active=true')), [])
})

test('a list is asked for properly', async (t) => {
  const issuer = await buildIssuer(t)
  const admin = await loggedIn(issuer, 'viewer')
  const { next } = (await issuer.call('GET', '/admin/users?limit=1', { token: admin.token })).body
  await issuer.register()
  for (const query of [
    'limit=0',
    'limit=201',
    'limit=1e9',
    'limit=-1',
    'limit=x',
    'limit=1&limit=2',
    'after=x',
    'after=e30',
    `email=a&after=${next ?? 'WyJjcmVhdGVkIiwxLCJ4Il0'}`,
    'email=a&username=b',
    'email=',
    'email[$ne]=x',
    'email=a&email=b',
    'is_active=1',
    'role=',
    'tier[$gt]=',
    'skip=10',
    `role=${'x'.repeat(51)}`,
    `email=${'x'.repeat(256)}`,
  ]) {
    const { status, body } = await issuer.call('GET', `/admin/users?${query}`, { token: admin.token })
    if (query === 'role=') t.equal(status, 200, 'nobody has a role without a name')
    else t.match({ status, code: body.code }, { status: 400, code: 'invalid_request' }, query.slice(0, 40))
  }
})

test('tier, status, verification and roles are changed by an administrator', async (t) => {
  const issuer = await buildIssuer(t)
  const admin = await loggedIn(issuer, 'admin')
  const user = await loggedIn(issuer)
  const put = (json: object) => issuer.call('PUT', `/admin/users/${user.id}`, { token: admin.token, json })
  const more = await put({ tier: 'pro', is_verified: true, roles: ['subscriber', 'viewer'] })
  t.match(more, { status: 200, body: { tier: 'pro', is_verified: true, roles: ['subscriber', 'viewer'] } })
  t.notOk('propagated' in more.body, 'nothing was taken away, so nothing ended')
  t.same(issuer.events, [])
  t.match(issuer.audit.at(-1), {
    event: 'user_changed',
    facts: { sub: user.id, by: admin.id, fields: 'isVerified roles tier', roles: 'subscriber viewer' },
  })
  const next = await issuer.call('POST', '/auth/refresh', { json: { refresh_token: user.refresh_token } })
  t.match(claimsOf(next.body.access_token), {
    roles: ['subscriber', 'viewer'],
    scope: 'roles:read users:read',
    tier: 'pro',
    email_verified: true,
  })
  t.match(await put({ roles: ['no such role'] }), { status: 400, body: { errors: [/no such role/] } })
  t.match(await put({ roles: ['viewer', 'viewer'] }), { status: 400 })
  t.equal((await put({ roles: Array.from({ length: 21 }, (_, n) => `r${n}`) })).status, 400)
  t.equal((await put({ tier: 'a b' })).status, 400)
  t.equal((await put({})).status, 400)
  const nobody = `/admin/users/${crypto.randomUUID()}`
  t.equal((await issuer.call('PUT', nobody, { token: admin.token, json: { tier: 'x' } })).status, 404)
  t.equal((await issuer.call('GET', nobody, { token: admin.token })).status, 404)
  t.match(await issuer.call('GET', `/admin/users/${user.id}`, { token: admin.token }), { body: { tier: 'pro' } })
})

test('a role that is taken away, and the end of the account, end every session through the ledger', async (t) => {
  for (const change of [{ roles: ['subscriber'] }, { roles: ['viewer'] }, { roles: [] }, { is_active: false }]) {
    const issuer = await buildIssuer(t)
    const admin = await loggedIn(issuer, 'admin')
    const user = await loggedIn(issuer, 'viewer')
    const second = await issuer.login(user)
    const answer = await issuer.call('PUT', `/admin/users/${user.id}`, { token: admin.token, json: change })
    t.match(answer, { status: 200, body: { ...change, invalidated_tokens: 2, propagated: true } })
    t.match(issuer.events, [{ revocation: { kind: 'user', sub: user.id, epoch: 1 } }], 'the services hear of it')
    for (const token of [user.token, second.access_token]) {
      t.equal((await issuer.call('GET', '/users/me', { token })).status, 401)
    }
    for (const { refresh_token } of [user, second]) {
      t.equal((await issuer.call('POST', '/auth/refresh', { json: { refresh_token } })).status, 401)
    }
    t.equal((await issuer.call('GET', '/users/me', { token: admin.token })).status, 200, 'nobody else')
    const { email, password } = user
    const again = await issuer.call('POST', '/auth/login', { json: { email, password } })
    t.equal(again.status, 'is_active' in change ? 401 : 200)
  }
})

test('a change that was cut off half-way is finished by its repetition', async (t) => {
  const issuer = await buildIssuer(t)
  const admin = await loggedIn(issuer, 'admin')
  const user = await loggedIn(issuer, 'viewer')
  // What an issuer leaves behind that ends between the user's change and the ledger.
  await issuer.parts.users.update(user.id, { roles: ['subscriber'] }, { raiseEpoch: true })
  const json = { roles: ['subscriber'] }
  const answer = await issuer.call('PUT', `/admin/users/${user.id}`, { token: admin.token, json })
  t.match(answer, { status: 200, body: { invalidated_tokens: 1, propagated: true } })
  t.match(issuer.events, [{ revocation: { kind: 'user', sub: user.id, epoch: 1 } }], 'the epoch is not raised again')
})

test('a user who is reactivated can log in again', async (t) => {
  const issuer = await buildIssuer(t)
  const admin = await loggedIn(issuer, 'admin')
  const user = await loggedIn(issuer)
  const put = (json: object) => issuer.call('PUT', `/admin/users/${user.id}`, { token: admin.token, json })
  await put({ is_active: false })
  t.match(await put({ is_active: true }), { status: 200, body: { is_active: true } })
  const { access_token: token } = await issuer.login(user)
  t.equal((await issuer.call('GET', '/users/me', { token })).status, 200)
  t.equal((await issuer.call('GET', '/users/me', { token: user.token })).status, 401, 'what ended stays ended')
})

test('nobody gives, or takes over, more than they have', async (t) => {
  const issuer = await buildIssuer(t)
  const root = await loggedIn(issuer, 'superuser')
  const admin = await loggedIn(issuer, 'admin')
  const user = await loggedIn(issuer)
  const create = { name: 'billing', permissions: ['invoices:write'] }
  t.equal((await issuer.call('POST', '/admin/roles', { token: root.token, json: create })).status, 201)
  const biller = await loggedIn(issuer, 'billing')
  const before = await Promise.all([root, biller, user].map(({ id }) => issuer.parts.users.byId(id)))
  const rows: [method: string, path: string, json?: object][] = [
    ['PUT', `/admin/users/${user.id}`, { roles: ['superuser'] }],
    ['PUT', `/admin/users/${user.id}`, { roles: ['subscriber', 'billing'] }],
    ['PUT', `/admin/users/${admin.id}`, { roles: ['admin', 'superuser'] }],
    ['PUT', `/admin/users/${root.id}`, { tier: 'x' }],
    ['PUT', `/admin/users/${root.id}`, { is_active: false }],
    ['PUT', `/admin/users/${biller.id}`, { roles: ['subscriber'] }],
    ['PUT', `/users/${root.id}`, { email: 'mine@example.com' }],
    ['PUT', `/users/${biller.id}`, { email: 'mine@example.com' }],
    ['PUT', `/users/${root.id}/verify`],
    ['DELETE', `/users/${root.id}`],
    ['DELETE', `/admin/users/${root.id}`],
    ['DELETE', `/admin/users/${biller.id}`],
  ]
  for (const [method, path, json] of rows) {
    const answer = await issuer.call(method, path, { token: admin.token, json })
    t.match({ status: answer.status, code: answer.body.code }, { status: 403, code: 'forbidden' }, `${method} ${path}`)
  }
  t.same(await Promise.all([root, biller, user].map(({ id }) => issuer.parts.users.byId(id))), before)
  t.same(issuer.events, [])
  const json = { roles: ['admin'] }
  t.equal(
    (await issuer.call('PUT', `/admin/users/${user.id}`, { token: admin.token, json })).status,
    200,
    'their equal',
  )
})

test('a user who is deleted is gone, with every session', async (t) => {
  const issuer = await buildIssuer(t)
  const admin = await loggedIn(issuer, 'admin')
  const user = await loggedIn(issuer)
  const remove = () => issuer.call('DELETE', `/admin/users/${user.id}`, { token: admin.token })
  t.match(await remove(), { status: 200, body: { invalidated_tokens: 1, propagated: true } })
  t.match(issuer.events, [{ revocation: { kind: 'user', sub: user.id } }])
  t.equal((await issuer.call('GET', '/users/me', { token: user.token })).status, 401)
  const { refresh_token, email, password } = user
  t.equal((await issuer.call('POST', '/auth/refresh', { json: { refresh_token } })).status, 401)
  t.equal((await remove()).status, 404)
  t.equal((await issuer.call('POST', '/auth/register', { json: { email, password } })).status, 201, 'the name is free')
  t.match(issuer.audit.find(({ event }) => event === 'user_deleted')?.facts, { sub: user.id, by: admin.id })
})

test('the sessions of a user: listed, one ended, all ended', async (t) => {
  const issuer = await buildIssuer(t)
  const admin = await loggedIn(issuer, 'admin')
  const [user, bystander] = [await loggedIn(issuer), await loggedIn(issuer)]
  await issuer.login(user)
  await issuer.login(user)
  const { token } = admin
  const path = `/admin/users/${user.id}`
  const list = async () => (await issuer.call('GET', `${path}/sessions`, { token })).body.sessions
  const sessions = await list()
  t.equal(sessions.length, 3)
  t.match(sessions[0], {
    sid: String,
    address: '127.0.0.1',
    created_at: String,
    last_used_at: String,
    expires_at: String,
  })
  t.notMatch(JSON.stringify(sessions), /nonce|generation|epoch|current/)

  const { sid } = claimsOf(user.token)
  const theirs = claimsOf(bystander.token).sid
  t.equal((await issuer.call('DELETE', `${path}/sessions/${theirs}`, { token })).status, 404, 'of someone else')
  t.equal((await issuer.call('DELETE', `${path}/sessions/x`, { token })).status, 404)
  const one = await issuer.call('DELETE', `${path}/sessions/${sid}`, { token })
  t.match(one, { status: 200, body: { invalidated_tokens: 1, propagated: true } })
  t.match(issuer.events, [{ revocation: { kind: 'session', sid, sub: user.id } }])
  t.match(issuer.audit.at(-1)?.facts, { reason: 'by_administrator', by: admin.id, sub: user.id, sid })
  t.equal((await issuer.call('GET', '/users/me', { token: user.token })).status, 401)

  const all = await issuer.call('POST', `${path}/logout`, { token })
  t.match(all, { status: 200, body: { invalidated_tokens: 2, propagated: true } })
  t.match(issuer.events[1], { revocation: { kind: 'user', sub: user.id, epoch: 1 } })
  t.same(await list(), [])
  t.equal((await issuer.call('GET', '/users/me', { token: bystander.token })).status, 200)
  const nobody = `/admin/users/${crypto.randomUUID()}`
  t.equal((await issuer.call('GET', `${nobody}/sessions`, { token })).status, 404)
  t.equal((await issuer.call('POST', `${nobody}/logout`, { token })).status, 404)
})
