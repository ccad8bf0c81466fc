import { test } from 'tap'
import { StoreUnavailable } from '../../../../issuer/domain/ports.ts'
import { buildIssuer } from '../../build.ts'
import { basic, clientToken, createClient, postForm, superuserToken, tokenWithRoles } from '../../service-client.ts'

const CLIENT_CREDENTIALS = { grant_type: 'client_credentials' }

test('create, list, get, change, delete', async (t) => {
  const issuer = await buildIssuer(t)
  const token = await superuserToken(issuer)
  const json = { name: 'Reports', permissions: ['orders:write', 'orders:read', 'orders:read'] }
  const created = await issuer.call('POST', '/admin/clients', { token, json })
  t.match(created, { status: 201, headers: { 'cache-control': 'no-store' } })
  const { client_secret, ...shown } = created.body
  t.match(client_secret, /^sallyport_[\w-]{43}$/)
  t.same(shown, {
    client_id: shown.client_id,
    name: 'Reports',
    permissions: ['orders:read', 'orders:write'],
    is_active: true,
    previous_secret_until: null,
    created_at: new Date(issuer.clock.now()).toISOString(),
    updated_at: new Date(issuer.clock.now()).toISOString(),
  })
  const path = `/admin/clients/${shown.client_id}`
  t.same((await issuer.call('GET', path, { token })).body, shown, 'without the secret')
  t.same((await issuer.call('GET', '/admin/clients', { token })).body, { clients: [shown], next: null })

  issuer.clock.advance(1000)
  const changed = await issuer.call('PUT', path, { token, json: { name: 'Reporting' } })
  const updated_at = new Date(issuer.clock.now()).toISOString()
  t.match(changed, { status: 200, body: { ...shown, name: 'Reporting', updated_at } })

  t.match(await issuer.call('DELETE', path, { token }), { status: 200, body: { propagated: true } })
  for (const method of ['GET', 'DELETE']) t.equal((await issuer.call(method, path, { token })).status, 404)
  t.equal((await issuer.call('PUT', path, { token, json: { name: 'x' } })).status, 404)
  t.equal((await issuer.call('POST', `${path}/secret`, { token })).status, 404)
  t.notMatch(JSON.stringify(issuer.audit), client_secret)
  t.same(
    issuer.audit.map(({ event }) => event).filter((event) => event.startsWith('client_')),
    ['client_created', 'client_changed', 'client_deleted'],
  )
})

test('clients are listed page by page', async (t) => {
  const issuer = await buildIssuer(t)
  const token = await superuserToken(issuer)
  const ids = []
  for (let n = 0; n < 5; n++) ids.push((await createClient(issuer)).client_id)
  const seen: string[] = []
  let after = ''
  for (;;) {
    const { body } = await issuer.call('GET', `/admin/clients?limit=2${after}`, { token })
    seen.push(...body.clients.map(({ client_id }: { client_id: string }) => client_id))
    if (body.next === null) break
    after = `&after=${body.next}`
  }
  t.same(seen, ids.sort())
  for (const query of ['limit=0', 'limit=101', 'limit=x', 'after=x', 'after[$ne]=x', 'limit=1&limit=2', 'page=1']) {
    t.equal((await issuer.call('GET', `/admin/clients?${query}`, { token })).status, 400, query)
  }
})

test('what a client loses, its tokens lose at once; what it gains, its next token has', async (t) => {
  const issuer = await buildIssuer(t)
  const token = await superuserToken(issuer)
  const client = await createClient(issuer)
  const path = `/admin/clients/${client.client_id}`
  const put = (json: object) => issuer.call('PUT', path, { token, json })
  const isActive = async (given: string) =>
    (await postForm(issuer, '/oauth/introspect', { token: given }, basic(await createClient(issuer)))).body.active
  const revocations = () => issuer.events.map((event) => ('revocation' in event ? event.revocation : event.type))

  const first = await clientToken(issuer, client)
  await put({ permissions: ['orders:read', 'orders:write', 'stock:read'] })
  t.same([await isActive(first), revocations()], [true, []], 'more')
  await put({ permissions: ['orders:read', 'stock:read'] })
  t.equal(await isActive(first), false, 'less')
  t.match(revocations(), [{ kind: 'user', sub: client.client_id, epoch: 1 }])

  const second = await clientToken(issuer, client)
  t.equal(await isActive(second), true, 'a new one works')
  await put({ is_active: false })
  t.equal(await isActive(second), false, 'switched off')
  t.match(revocations().at(-1), { kind: 'user', sub: client.client_id, epoch: 2 })
  t.equal((await postForm(issuer, '/auth/token', CLIENT_CREDENTIALS, basic(client))).status, 401)
  await put({ is_active: true })
  const third = await clientToken(issuer, client)
  t.equal(await isActive(third), true, 'switched on')
  await issuer.call('DELETE', path, { token })
  t.equal(await isActive(third), false, 'deleted')
  t.match(revocations().at(-1), { kind: 'user', sub: client.client_id, epoch: 3 }, 'above every token there was')
})

test('a secret rotates: both hold for the overlap; without one the old ends with its tokens', async (t) => {
  const issuer = await buildIssuer(t)
  const token = await superuserToken(issuer)
  const client = await createClient(issuer)
  const path = `/admin/clients/${client.client_id}/secret`
  const rotate = async (json?: object) => (await issuer.call('POST', path, { token, json })).body
  const works = async (client_secret: string) =>
    (await postForm(issuer, '/auth/token', CLIENT_CREDENTIALS, basic({ ...client, client_secret }))).status === 200

  const second = await rotate({ overlap: 60 })
  t.equal(second.previous_secret_until, new Date(issuer.clock.now() + 60_000).toISOString())
  t.same([await works(client.client_secret), await works(second.client_secret)], [true, true])
  t.match(issuer.audit.filter(({ event }) => event === 'client_previous_secret_used').length, 1)
  issuer.clock.advance(60_000)
  t.same([await works(client.client_secret), await works(second.client_secret)], [false, true])
  t.equal(issuer.events.length, 0, 'no token ended')

  const fresh = await superuserToken(issuer)
  const third = (await issuer.call('POST', path, { token: fresh })).body
  t.equal(third.previous_secret_until, new Date(issuer.clock.now() + 86_400_000).toISOString(), 'a day by default')
  const fourth = (await issuer.call('POST', path, { token: fresh, json: { overlap: 0 } })).body
  const left = [client.client_secret, second.client_secret, third.client_secret, fourth.client_secret]
  t.same(await Promise.all(left.map(works)), [false, false, false, true])
  t.match(issuer.events, [{ revocation: { kind: 'user', sub: client.client_id, epoch: 1 } }])
})

test('who may: the permission; and nobody hands on or takes over more than they have', async (t) => {
  const issuer = await buildIssuer(t)
  const admin = await createClient(issuer, ['clients:read', 'clients:write', 'orders:read'])
  const token = await clientToken(issuer, admin)
  const strong = await createClient(issuer, ['orders:read', 'users:delete'])
  const weak = await createClient(issuer, ['orders:read'])
  const post = (path: string, json: object) => issuer.call('POST', path, { token, json })
  const put = (client: { client_id: string }, json: object) =>
    issuer.call('PUT', `/admin/clients/${client.client_id}`, { token, json })

  t.equal((await post('/admin/clients', { name: 'x', permissions: ['orders:read'] })).status, 201)
  t.equal((await post('/admin/clients', { name: 'x', permissions: ['users:delete'] })).status, 403)
  t.equal((await put(weak, { permissions: ['orders:read', 'users:delete'] })).status, 403)
  t.equal((await put(strong, { permissions: ['users:delete'] })).status, 200, 'taking away is no gain')
  t.equal((await post(`/admin/clients/${strong.client_id}/secret`, {})).status, 403, 'its secret is its power')
  t.equal((await post(`/admin/clients/${weak.client_id}/secret`, {})).status, 200)

  const reader = await clientToken(issuer, await createClient(issuer, ['clients:read']))
  const nobody = await tokenWithRoles(issuer, ['subscriber'])
  const path = `/admin/clients/${weak.client_id}`
  const rows: [method: string, path: string, json: object | undefined][] = [
    ['POST', '/admin/clients', { name: 'x' }],
    ['PUT', path, { name: 'x' }],
    ['POST', `${path}/secret`, {}],
    ['DELETE', path, undefined],
  ]
  for (const [method, where, json] of rows) {
    for (const given of [reader, nobody]) {
      const answer = await issuer.call(method, where, { token: given, json })
      t.match(answer, { status: 403, body: { code: 'forbidden' } }, `${method} ${where}`)
    }
    t.match(await issuer.call(method, where, { json }), { status: 401, body: { code: 'token_missing' } })
  }
  t.equal((await issuer.call('GET', path, { token: reader })).status, 200)
  t.equal((await issuer.call('GET', path, { token: nobody })).status, 403)
})

test("a user's token reaches as far as its scope, and no farther than the roles do now", async (t) => {
  const issuer = await buildIssuer(t)
  const user = await issuer.register()
  await issuer.parts.users.update(user.id, { roles: ['superuser'] })
  const login = { grant_type: 'password', username: user.email, password: user.password }
  const narrowed = await postForm(issuer, '/auth/token', { ...login, scope: 'clients:read' })
  const { access_token: whole } = await issuer.login(user)
  const status = async (method: string, token: string) =>
    (await issuer.call(method, '/admin/clients', { token, ...(method === 'POST' && { json: { name: 'x' } }) })).status
  const token: string = narrowed.body.access_token
  t.same([await status('GET', token), await status('POST', token)], [200, 403], 'narrowed')
  t.same([await status('GET', whole), await status('POST', whole)], [200, 201], 'whole')
  await issuer.parts.users.update(user.id, { roles: ['subscriber'] })
  t.same([await status('GET', token), await status('POST', whole)], [403, 403], 'the role is gone')
})

test('bad input is refused and nothing is stored', async (t) => {
  const issuer = await buildIssuer(t)
  const token = await superuserToken(issuer)
  const rows: [name: string, json: unknown][] = [
    ['no name', {}],
    ['an empty name', { name: '' }],
    ['a name of spaces', { name: '  ' }],
    ['a name too long', { name: 'x'.repeat(101) }],
    ['a control character', { name: 'a\nb' }],
    ['an operator', { name: { $ne: null } }],
    ['permissions as a text', { name: 'x', permissions: 'orders:read' }],
    ['a permission with a space', { name: 'x', permissions: ['orders:read users:read'] }],
    ['a permission too long', { name: 'x', permissions: ['x'.repeat(65)] }],
    ['too many permissions', { name: 'x', permissions: Array.from({ length: 65 }, (_, n) => `p${n}`) }],
    [
      'more permissions than a token carries',
      { name: 'x', permissions: Array.from({ length: 60 }, (_, n) => `${'p'.repeat(60)}${n}`) },
    ],
    ['an unknown field', { name: 'x', epoch: 1 }],
    ['an id of their choice', { name: 'x', client_id: 'mine' }],
    ['a secret of their choice', { name: 'x', client_secret: 'mine' }],
  ]
  for (const [name, json] of rows) {
    const answer = await issuer.call('POST', '/admin/clients', { token, json })
    t.match(answer, { status: 400, body: { code: 'invalid_request' } }, name)
  }
  t.same((await issuer.call('GET', '/admin/clients', { token })).body.clients, [])

  const { client_id } = await createClient(issuer)
  for (const json of [
    { overlap: -1 },
    { overlap: 1.5 },
    { overlap: '60' },
    { overlap: 31 * 86_400 },
    { forever: true },
  ]) {
    t.equal((await issuer.call('POST', `/admin/clients/${client_id}/secret`, { token, json })).status, 400)
  }
  for (const json of [{ is_active: 'no' }, { secret: 'x' }, { name: null }]) {
    t.equal((await issuer.call('PUT', `/admin/clients/${client_id}`, { token, json })).status, 400)
  }
  t.equal((await issuer.call('GET', '/admin/clients/not-an-id', { token })).status, 404)
})

test('a deletion whose revocation could not be recorded leaves the client off, and is done when repeated', async (t) => {
  let away = false
  const issuer = await buildIssuer(t, {
    wrap: ({ ledger }) => ({
      ledger: {
        ...ledger,
        record: async (entries) => {
          if (away) throw new StoreUnavailable('the ledger', new Error('away'))
          return ledger.record(entries)
        },
      },
    }),
  })
  const token = await superuserToken(issuer)
  const client = await createClient(issuer)
  const held = await clientToken(issuer, client)
  away = true
  const path = `/admin/clients/${client.client_id}`
  t.equal((await issuer.call('DELETE', path, { token })).status, 503)
  t.equal((await postForm(issuer, '/auth/token', CLIENT_CREDENTIALS, basic(client))).status, 401, 'no new token')
  t.equal((await issuer.call('GET', '/admin/clients', { token: held })).status, 401)
  away = false
  t.equal((await issuer.call('DELETE', path, { token })).status, 200)
  t.equal((await issuer.call('GET', path, { token })).status, 404)
  t.match(issuer.events.at(-1), { revocation: { kind: 'user', sub: client.client_id, epoch: 2 } })
})

test('what ends tokens says whether the services know; what ends none says nothing of it', async (t) => {
  let away = false
  const events: unknown[] = []
  const publisher = {
    async publish(outgoing: unknown[]) {
      if (away) throw new Error('no broker')
      events.push(...outgoing)
    },
  }
  const issuer = await buildIssuer(t, { publisher })
  const token = await superuserToken(issuer)
  const { client_id } = await createClient(issuer, ['orders:read', 'orders:write'])
  const path = `/admin/clients/${client_id}`
  const put = (json: object) => issuer.call('PUT', path, { token, json })
  const rotate = (json: object) => issuer.call('POST', `${path}/secret`, { token, json })

  for (const answer of [await put({ name: 'renamed' }), await rotate({ overlap: 60 })]) {
    t.equal(answer.status, 200)
    t.notOk('propagated' in answer.body)
  }
  t.match(await put({ permissions: ['orders:read'] }), { status: 200, body: { propagated: true } })
  t.match(await rotate({ overlap: 0 }), { status: 200, body: { propagated: true, client_secret: String } })
  away = true
  t.match(await put({ is_active: false }), { status: 202, body: { propagated: false, is_active: false } })
  t.match(await rotate({ overlap: 0 }), { status: 202, body: { propagated: false, client_secret: String } })

  t.match(await put({}), { status: 400, body: { code: 'invalid_request' } }, 'a change of nothing')
  t.match(await issuer.call('GET', '/admin/clients/x', { token }), { status: 404 }, 'no client has such a name')
})
