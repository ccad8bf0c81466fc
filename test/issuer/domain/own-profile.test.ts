import { type Test, test } from 'tap'
import { HashingOverloaded } from '../../../issuer/domain/ports.ts'
import { type BuildOptions, type BuiltIssuer, buildIssuer, countingHasher, PASSWORD } from '../build.ts'

const NEW = 'new@example.com'

async function withUser(t: Test, options: BuildOptions = {}) {
  const hasher = countingHasher()
  const issuer = await buildIssuer(t, { hasher, ...options })
  const user = { ...(await issuer.register()), username: null as string | null }
  const { access_token: token } = await issuer.login(user)
  hasher.calls.length = 0
  const put = (json: object, path = '/users/me') => issuer.call('PUT', path, { token, json })
  return { issuer, hasher, user, token, put }
}

const facts = ({ audit }: BuiltIssuer, name: string) => audit.filter(({ event }) => event === name)

test('another address needs the present password, under both routes', async (t) => {
  const { issuer, hasher, user, put } = await withUser(t)
  for (const path of ['/users/me', `/users/${user.id}`]) {
    const rows: [body: object, status: number, code: string][] = [
      [{ email: NEW }, 403, 'password_required'],
      [{ email: NEW, username: 'Ada' }, 403, 'password_required'],
      [{ email: user.email.toUpperCase() }, 403, 'password_required'],
      [{ email: NEW, current_password: 'wrong' }, 403, 'password_wrong'],
      [{ email: NEW, current_password: '' }, 403, 'password_wrong'],
      [{ email: NEW, current_password: 'x'.repeat(2000) }, 403, 'password_wrong'],
      [{ email: NEW, current_password: null }, 400, 'invalid_request'],
      [{ email: 'no address' }, 400, 'invalid_request'],
    ]
    for (const [json, status, code] of rows) {
      const answer = await put(json, path)
      t.match({ status: answer.status, code: answer.body.code }, { status, code }, `${path} ${JSON.stringify(json)}`)
    }
  }
  t.match(await issuer.parts.users.byId(user.id), { email: user.email, username: null })
  t.equal(hasher.calls.length, 4, 'what cannot be a password is not hashed')
  t.same(issuer.mails, [])
  t.same(facts(issuer, 'profile_changed'), [])
  t.equal(facts(issuer, 'email_change_refused').length, 12)
  t.match(facts(issuer, 'email_change_refused')[0]?.facts, { sub: user.id, reason: 'password_required' })

  t.match(await put({ email: NEW, current_password: PASSWORD }), { status: 200, body: { email: NEW } })
  const again = { email: 'newer@example.com', current_password: PASSWORD }
  t.match(await put(again, `/users/${user.id}`), { status: 200, body: { email: 'newer@example.com' } })
  t.notMatch(JSON.stringify(issuer.audit), /pass phrase|"wrong"|@/)
})

test('nothing else needs it; what is given is checked', async (t) => {
  const { hasher, user, put } = await withUser(t)
  t.equal((await put({ username: 'Ada' })).status, 200)
  t.equal((await put({ email: user.email, username: 'Ada.L' })).status, 200, 'the whole profile, the address as it is')
  t.same(hasher.calls, [])
  t.match(await put({ username: 'Eve', current_password: 'wrong' }), { status: 403, body: { code: 'password_wrong' } })
  t.match(await put({ username: 'Eve', current_password: PASSWORD }), { status: 200, body: { username: 'Eve' } })
  const nothing = await put({ current_password: PASSWORD })
  t.match(nothing, { status: 400, body: { code: 'invalid_request' } }, 'not a way to try passwords')
})

test('whoever does not know the password does not learn which addresses are taken', async (t) => {
  const { issuer, put } = await withUser(t)
  const { email } = await issuer.register()
  t.match(await put({ email, current_password: 'wrong' }), { body: { code: 'password_wrong' } })
  t.match(await put({ email }), { body: { code: 'password_required' } })
  t.match(await put({ email, current_password: PASSWORD }), { status: 409, body: { code: 'email_taken' } })
  t.same(issuer.mails, [])
})

test('the old address hears of it, and a link that was mailed there is void', async (t) => {
  const { issuer, user, put } = await withUser(t, { rules: { mailAtRegistration: true } })
  t.equal((await issuer.call('POST', '/auth/forgot-password', { json: { email: user.email } })).status, 202)
  const { token: link } = issuer.mails.at(-1)!
  issuer.mails.length = 0
  await put({ email: NEW, current_password: PASSWORD })
  t.match(issuer.mails, [
    { kind: 'email_changed', to: user.email, token: undefined },
    { kind: 'verify_email', to: NEW },
  ])
  t.notMatch(JSON.stringify(issuer.mails[0]), NEW, 'not which one it is now')
  const reset = await issuer.call('POST', '/auth/reset-password', {
    json: { token: link, password: 'quite another one' },
  })
  t.match(reset, { status: 400, body: { code: 'link_invalid' } })

  issuer.mails.length = 0
  await put({ email: user.email, current_password: PASSWORD })
  await put({ email: NEW, current_password: PASSWORD })
  t.same(
    issuer.mails.filter(({ to, kind }) => to === user.email && kind === 'email_changed'),
    [],
    'nobody is flooded: one such mail a minute to an address',
  )
})

test('guesses count as those at the login do', async (t) => {
  const { issuer, hasher, user, put } = await withUser(t, { rules: { loginThrottle: true } })
  for (let i = 0; i < 5; i++) {
    t.match(await put({ email: NEW, current_password: 'wrong' }), { body: { code: 'password_wrong' } })
  }
  hasher.calls.length = 0
  const refused = await put({ email: NEW, current_password: PASSWORD })
  t.match(refused, { status: 429, headers: { 'retry-after': '1' }, body: { code: 'too_many_requests' } })
  t.same(hasher.calls, [])
  const json = { email: user.email, password: PASSWORD }
  t.equal((await issuer.call('POST', '/auth/login', { json })).status, 429, 'and count there too')
  t.equal((await put({ username: 'Ada' })).status, 200, 'what needs no password goes on')
  issuer.clock.advance(1000)
  t.equal((await put({ email: NEW, current_password: PASSWORD })).status, 200)
})

test('a password that is changed meanwhile does not count any more', async (t) => {
  const { issuer, hasher, user, put } = await withUser(t)
  const { verify } = hasher
  hasher.verify = async (hash, password) => {
    const right = await verify(hash, password)
    await issuer.parts.users.update(user.id, { passwordHash: 'fake$another' })
    return right
  }
  t.match(await put({ email: NEW, current_password: PASSWORD }), { status: 409, body: { code: 'conflict' } })
  t.equal((await issuer.parts.users.byId(user.id))?.email, user.email)
  t.same(issuer.mails, [])
})

test('while the hashing lane is full it is 503, and only where something would be hashed', async (t) => {
  let full = false
  const hasher = countingHasher()
  const enter = () => {
    if (full) throw new HashingOverloaded(7)
    return () => {}
  }
  const { put } = await withUser(t, { hasher: { ...hasher, enter } })
  full = true
  const answer = await put({ email: NEW, current_password: PASSWORD })
  t.match(answer, { status: 503, headers: { 'retry-after': '7' }, body: { code: 'overloaded' } })
  t.equal((await put({ username: 'Ada' })).status, 200)
})

test('administrators change the address of others without a password, and give none', async (t) => {
  const { issuer, hasher, user } = await withUser(t)
  const admin = await issuer.register()
  await issuer.parts.users.update(admin.id, { roles: ['superuser'] })
  const { access_token: token } = await issuer.login(admin)
  hasher.calls.length = 0
  const put = (json: object) => issuer.call('PUT', `/users/${user.id}`, { token, json })
  const refused = await put({ email: NEW, current_password: PASSWORD })
  t.match(refused, { status: 400, body: { errors: ['body/current_password: only for the own account'] } })
  t.match(await put({ email: NEW }), { status: 200, body: { email: NEW } })
  t.same(hasher.calls, [])
  t.match(issuer.mails, [{ kind: 'email_changed', to: user.email }], 'the owner hears of it')
  const own = await issuer.call('PUT', `/users/${admin.id}`, { token, json: { email: 'boss@example.com' } })
  t.match(own, { status: 403, body: { code: 'password_required' } }, 'their own needs it')
})

test('the document tells of it', async (t) => {
  const issuer = await buildIssuer(t)
  const { paths } = (await issuer.call('GET', '/openapi.json')).body
  for (const path of ['/users/me', '/users/{id}']) {
    const { put } = paths[path]
    const { properties, required } = put.requestBody.content['application/json'].schema
    t.match(properties.current_password, { type: 'string', format: 'password', description: String })
    t.notOk(required?.includes('current_password'))
    t.match(put.responses['403'].description, /password_required.*password_wrong/)
  }
})
