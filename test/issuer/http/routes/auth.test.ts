import { test } from 'tap'
import { ACCESS_TTL_MS, buildIssuer, claimsOf, cookieOf, countingHasher, PASSWORD } from '../../build.ts'

test('register answers with the user and nothing secret', async (t) => {
  const issuer = await buildIssuer(t)
  for (const path of ['/auth/register', '/register', '/users/', '/users']) {
    const email = `Mixed.Case${path.replaceAll('/', '-')}@Example.com`
    const { status, body } = await issuer.call('POST', path, { json: { email, password: PASSWORD } })
    t.equal(status, 201, path)
    t.match(body, { email, tier: 'free', roles: ['subscriber'], is_active: true, is_verified: false, is_admin: false })
    t.match(body.id, /^[0-9a-f-]{36}$/)
    t.notMatch(JSON.stringify(body), /hash|key|epoch/i)
  }
})

test('register with login starts a session', async (t) => {
  const issuer = await buildIssuer(t)
  const json = { email: 'a@example.com', password: PASSWORD, login: true, transport: 'body' }
  const { status, body, headers } = await issuer.call('POST', '/auth/register', { json })
  t.equal(status, 201)
  t.equal(headers['cache-control'], 'no-store')
  t.equal((await issuer.call('GET', '/users/me', { token: body.access_token })).body.id, body.user.id)
})

test('register lists everything that is wrong at once', async (t) => {
  const issuer = await buildIssuer(t)
  const rows: [name: string, json: object, code: string, errors: number][] = [
    ['a short password', { email: 'a@example.com', password: 'short' }, 'password_rejected', 1],
    ['a common password', { email: 'a@example.com', password: 'password123' }, 'password_rejected', 1],
    [
      'the address as password',
      { email: 'abcdef@example.com', password: 'ABCDEF@example.com' },
      'password_rejected',
      1,
    ],
    ['everything', { email: 'nobody', username: 'a b', password: 'admin' }, 'invalid_request', 4],
    ['a password of 1025 bytes', { email: 'a@example.com', password: 'x'.repeat(1025) }, 'password_rejected', 1],
  ]
  for (const [name, json, code, errors] of rows) {
    const { status, body } = await issuer.call('POST', '/auth/register', { json })
    t.match({ status, code: body.code }, { status: 400, code }, name)
    t.equal(body.errors.length, errors, `${name}: ${body.errors}`)
  }
})

test('what a client may not choose is refused, not ignored', async (t) => {
  const issuer = await buildIssuer(t)
  const good = { email: 'a@example.com', password: PASSWORD }
  for (const extra of [
    { role: 'superuser' },
    { roles: ['superuser'] },
    { tier: 'gold' },
    { is_admin: true },
    { is_verified: true },
    { id: 'x' },
    { epoch: 5 },
    { _id: 'x' },
    { constructor: { prototype: {} } },
  ]) {
    const { status, body } = await issuer.call('POST', '/auth/register', { json: { ...good, ...extra } })
    t.match({ status, code: body.code }, { status: 400, code: 'invalid_request' }, String(Object.keys(extra)))
  }
  t.notOk(issuer.calls.includes('users.insert'))
})

test('a body with operators, arrays or wrong types never reaches a store', async (t) => {
  const issuer = await buildIssuer(t)
  const rows: [name: string, json: unknown][] = [
    ['an operator as e-mail', { email: { $gt: '' }, password: PASSWORD }],
    ['an operator as password', { email: 'a@example.com', password: { $ne: null } }],
    ['an array as e-mail', { email: ['a@example.com'], password: PASSWORD }],
    ['a number as password', { email: 'a@example.com', password: 12345678 }],
    ['an array as body', [{ email: 'a@example.com', password: PASSWORD }]],
    ['null', 'null'],
    ['a text', '"a@example.com"'],
    ['nothing', undefined],
    ['both names', { email: 'a@example.com', username: 'a', password: PASSWORD }],
    ['no name', { password: PASSWORD }],
    ['__proto__', '{"email":"a@example.com","password":"x","__proto__":{"is_admin":true}}'],
    ['the same key twice', '{"email":"a@example.com","email":"b@example.com","password":"x"}'],
    ['the same key twice, once escaped', '{"email":"a@example.com","\\u0065mail":"b@example.com","password":"x"}'],
    ['half a character', '{"email":"a@example.com","password":"\\ud800"}'],
  ]
  for (const [name, json] of rows) {
    const { status, body, headers } = await issuer.call('POST', '/auth/login', { json })
    t.match({ status, code: body.code }, { status: 400, code: 'invalid_request' }, name)
    t.match(headers['content-type'], 'application/problem+json')
  }
  t.same(issuer.calls, [])
})

test('two spellings of one address are one account', async (t) => {
  const issuer = await buildIssuer(t)
  const rows: [name: string, first: string, second: string][] = [
    ['case', 'Alice@example.com', 'aLICE@EXAMPLE.COM'],
    ['NFC and NFD', 'andr\u00e9@example.com', 'andre\u0301@example.com'],
    ['KELVIN SIGN', 'mark@example.com', 'mar\u212a@example.com'],
    ['full width', 'wide@example.com', '\uff57ide@example.com'],
    ['ligature', 'o\ufb03ce@example.com', 'office@example.com'],
    ['sharp s', 'gro\u00dfe@example.com', 'GROSSE@example.com'],
    ['final sigma', 'odos\u03c2@example.com', 'ODOS\u03a3@example.com'],
    ['domain in two scripts', 'post@b\u00fccher.example', 'post@xn--bcher-kva.example'],
    ['full width domain', 'dom@example.org', 'dom@\uff45xample\uff0eorg'],
  ]
  for (const [name, first, second] of rows) {
    const register = (email: string) => issuer.call('POST', '/auth/register', { json: { email, password: PASSWORD } })
    const { status, body } = await register(first)
    t.equal(status, 201, `${name}: the first`)
    const taken = await register(second)
    t.match(
      { status: taken.status, code: taken.body.code },
      { status: 409, code: 'email_taken' },
      `${name}: the second`,
    )
    const login = await issuer.call('POST', '/auth/login', { json: { email: second, password: PASSWORD } })
    t.equal(login.body.user.id, body.id, `${name}: either spelling logs in`)
    t.equal(login.body.user.email, first.normalize('NFC'), `${name}: the stored address stays`)
  }
})

test('an address that hides something is refused', async (t) => {
  const issuer = await buildIssuer(t)
  for (const email of [
    'al\u200bice@example.com',
    'al\u00adice@example.com',
    'alice@exam\u2060ple.com',
    '\u202ealice@example.com',
    'alice@example.com\u0000',
    'alice @example.com',
    'alice@example.com@evil.example',
    'alice\uff20example.com@example.com',
    'alice@127.0.0.1',
    'alice@example.com#.evil.example',
    `${'a'.repeat(250)}@example.com`,
  ]) {
    const { status } = await issuer.call('POST', '/auth/register', { json: { email, password: PASSWORD } })
    t.equal(status, 400, JSON.stringify(email))
  }
})

test('of many who register one name at once, one gets it', async (t) => {
  const issuer = await buildIssuer(t)
  const answers = await Promise.all(
    Array.from({ length: 20 }, (_, index) =>
      issuer.call('POST', '/auth/register', {
        json: {
          email: index % 2 ? 'one@example.com' : `other${index}@example.com`,
          username: 'One',
          password: PASSWORD,
        },
      }),
    ),
  )
  t.equal(answers.filter(({ status }) => status === 201).length, 1)
  t.ok(answers.every(({ status }) => status === 201 || status === 409))
})

test('login gives the tokens one way, never both', async (t) => {
  const issuer = await buildIssuer(t)
  const { email, password } = await issuer.register({ username: 'Somebody' })
  const browser = await issuer.call('POST', '/auth/login', { json: { email, password } })
  t.equal(browser.status, 200)
  t.equal(browser.headers['cache-control'], 'no-store')
  t.equal(browser.headers.authorization, `Bearer ${browser.body.access_token}`)
  t.match(browser.body, { token_type: 'Bearer', expires_in: ACCESS_TTL_MS / 1000, user: { email } })
  t.notOk('refresh_token' in browser.body)
  t.match(
    browser.headers['set-cookie'],
    /^__Host-refresh_token=[\w-]{96}; Max-Age=1209600; Path=\/; HttpOnly; Secure; SameSite=Strict$/,
  )

  const native = await issuer.call('POST', '/login', { json: { username: 'SOMEBODY', password, transport: 'body' } })
  t.equal(native.status, 200)
  t.equal(native.body.refresh_token.length, 96)
  t.equal(native.headers['set-cookie'], undefined)
  t.not(claimsOf(native.body.access_token).sid, claimsOf(browser.body.access_token).sid)
})

test('on plain-http loopback the cookie has another name and no Secure', async (t) => {
  const issuer = await buildIssuer(t, { rules: { secureCookie: false } })
  const { email, password } = await issuer.register()
  const { headers } = await issuer.call('POST', '/auth/login', { json: { email, password } })
  t.match(headers['set-cookie'], /^refresh_token=[\w-]{96}; Max-Age=\d+; Path=\/; HttpOnly; SameSite=Strict$/)
})

test('the access token is one of RFC 9068', async (t) => {
  const issuer = await buildIssuer(t)
  const user = await issuer.register()
  const { access_token } = await issuer.login(user)
  const header = JSON.parse(Buffer.from(access_token.split('.')[0]!, 'base64url').toString())
  t.same(header, { alg: 'ES256', typ: 'at+jwt', kid: issuer.keySet.current().kid })
  t.match(claimsOf(access_token), {
    iss: 'https://issuer.example',
    aud: 'sallyport',
    sub: user.id,
    client_id: 'sallyport',
    iat: Math.floor(issuer.clock.now() / 1000),
    exp: Math.floor(issuer.clock.now() / 1000) + 300,
    epoch: 0,
    roles: ['subscriber'],
    tier: 'free',
    email: user.email,
    email_verified: false,
  })
  t.notOk('scope' in claimsOf(access_token))
})

test('profile claims are left out when configuration says so, and audiences can be many', async (t) => {
  const issuer = await buildIssuer(t, { rules: { profileClaims: ['tier'], audience: ['a', 'b'] } })
  const { access_token } = await issuer.login(await issuer.register())
  t.same(claimsOf(access_token).aud, ['a', 'b'])
  t.notOk('email' in claimsOf(access_token))
  t.equal(claimsOf(access_token).tier, 'free')
})

test('whoever may not log in hears the same, after the same work', async (t) => {
  const hasher = countingHasher()
  const issuer = await buildIssuer(t, { hasher })
  const known = await issuer.register()
  const disabled = await issuer.register()
  await issuer.parts.users.update(disabled.id, { isActive: false })
  const rows: [name: string, json: object][] = [
    ['wrong password', { email: known.email, password: 'not the password' }],
    ['empty password', { email: known.email, password: '' }],
    ['unknown address', { email: 'nobody@example.com', password: PASSWORD }],
    ['unknown address, empty password', { email: 'nobody@example.com', password: '' }],
    ['no address at all', { email: 'nobody', password: PASSWORD }],
    ['unknown user name', { username: 'nobody', password: PASSWORD }],
    ['disabled account', disabled],
    ['disabled account, wrong password', { email: disabled.email, password: 'not the password' }],
  ]
  let first: unknown
  for (const [name, { id: _, ...json }] of rows as [string, { id?: string }][]) {
    hasher.calls.length = 0
    const { status, body, headers } = await issuer.call('POST', '/auth/login', { json })
    t.equal(status, 401, name)
    t.same(hasher.calls, ['verify'], `${name}: one hash`)
    const { 'x-request-id': _id, date: _date, ...comparable } = headers
    first ??= { body, comparable }
    t.same({ body, comparable }, first, `${name}: the same answer`)
  }
})

test('a password longer than any is refused before it is hashed', async (t) => {
  const hasher = countingHasher()
  const issuer = await buildIssuer(t, { hasher })
  const { email } = await issuer.register()
  hasher.calls.length = 0
  for (const name of [email, 'nobody@example.com']) {
    const { status, body } = await issuer.call('POST', '/auth/login', {
      json: { email: name, password: 'x'.repeat(1025) },
    })
    t.match({ status, code: body.code }, { status: 401, code: 'credentials_invalid' })
  }
  const { status } = await issuer.call('POST', '/auth/login', { json: { email, password: 'x'.repeat(1_000_000) } })
  t.equal(status, 413)
  t.same(hasher.calls, [])
})

test('a password is the same whatever keyboard composed it', async (t) => {
  const issuer = await buildIssuer(t)
  const email = 'nfd@example.com'
  await issuer.call('POST', '/auth/register', { json: { email, password: 'caf\u00e9 au lait et plus' } })
  const { status } = await issuer.call('POST', '/auth/login', {
    json: { email, password: 'cafe\u0301 au lait et plus' },
  })
  t.equal(status, 200)
})

test('login writes down when, and makes a new hash where the old one is weaker', async (t) => {
  const hasher = countingHasher()
  let outdated = true
  hasher.needsRehash = () => outdated
  const issuer = await buildIssuer(t, { hasher })
  const user = await issuer.register()
  issuer.clock.advance(5000)
  hasher.calls.length = 0
  await issuer.login(user)
  t.same(hasher.calls, ['verify', 'hash'])
  t.equal((await issuer.parts.users.byId(user.id))?.lastLogin, issuer.clock.now())
  outdated = false
  hasher.calls.length = 0
  await issuer.login(user)
  t.same(hasher.calls, ['verify'])
})

test('a login that waits for its hash is as old as its look at the user', async (t) => {
  const hasher = countingHasher()
  const { verify } = hasher
  const issuer = await buildIssuer(t, { hasher })
  const user = await issuer.register()
  const began = Math.floor(issuer.clock.now() / 1000)
  let looks = 0
  hasher.verify = async (...args) => {
    issuer.clock.advance(60_000)
    if (looks++ === 0) await issuer.parts.users.raiseEpoch(user.id)
    return verify(...args)
  }
  const { access_token } = await issuer.login(user)
  t.equal(looks, 2, 'the end of all sessions meanwhile makes it look again')
  t.match(claimsOf(access_token), { iat: began + 60, epoch: 1 }, 'so that another one would cover it')
  t.equal((await issuer.call('GET', '/auth/sessions', { token: access_token })).body.sessions.length, 1, 'and no other')
})

test('a login never touches the session of a cookie that came along', async (t) => {
  const issuer = await buildIssuer(t)
  const [mallory, victim] = [await issuer.register(), await issuer.register()]
  const theirs = await issuer.login(victim)
  const answer = await issuer.call('POST', '/auth/login', {
    json: { email: mallory.email, password: PASSWORD },
    cookie: `__Host-refresh_token=${theirs.refresh_token}`,
  })
  t.equal(answer.body.user.id, mallory.id)
  t.not(claimsOf(answer.body.access_token).sid, claimsOf(theirs.access_token).sid)
  const refreshed = await issuer.call('POST', '/auth/refresh', { json: { refresh_token: theirs.refresh_token } })
  t.equal(claimsOf(refreshed.body.access_token).sub, victim.id, 'the other session lives on')
})

test('the failed login of one user with the cookie of another hurts nobody', async (t) => {
  const issuer = await buildIssuer(t)
  const [mallory, victim] = [await issuer.register(), await issuer.register()]
  const theirs = await issuer.login(victim)
  const answer = await issuer.call('POST', '/auth/login', {
    json: { email: mallory.email, password: 'not the password' },
    cookie: `__Host-refresh_token=${theirs.refresh_token}`,
  })
  t.equal(answer.status, 401)
  t.equal(cookieOf(answer), undefined)
  t.equal((await issuer.call('POST', '/auth/refresh', { json: { refresh_token: theirs.refresh_token } })).status, 200)
})

test('refresh answers the way the token came', async (t) => {
  const issuer = await buildIssuer(t)
  const { email, password } = await issuer.register()
  const login = await issuer.call('POST', '/auth/login', { json: { email, password } })
  const cookie = `__Host-refresh_token=${cookieOf(login)}`
  for (const path of ['/auth/refresh', '/access_token']) {
    const answer = await issuer.call('POST', path, { cookie })
    t.equal(answer.status, 200, path)
    t.equal(cookieOf(answer)?.length, 96)
    t.notOk('refresh_token' in answer.body)
    t.equal(answer.headers.authorization, `Bearer ${answer.body.access_token}`)
  }
  const smuggled = await issuer.call('POST', '/auth/refresh', { cookie, json: { transport: 'body' } })
  t.equal(smuggled.status, 400, 'a script cannot have the cookie read out to it')
})

test('two refresh tokens in one request are refused', async (t) => {
  const issuer = await buildIssuer(t)
  const user = await issuer.register()
  const [one, two] = [await issuer.login(user), await issuer.login(user)]
  const name = '__Host-refresh_token'
  const rows: [name: string, cookie: string, json: object | undefined][] = [
    ['cookie and body', `${name}=${one.refresh_token}`, { refresh_token: two.refresh_token }],
    ['the cookie twice', `${name}=${one.refresh_token}; ${name}=${two.refresh_token}`, undefined],
    ['the cookie twice, once empty', `${name}=${one.refresh_token};${name}=`, undefined],
  ]
  for (const path of ['/auth/refresh', '/auth/logout']) {
    for (const [row, cookie, json] of rows) {
      const { status, body } = await issuer.call('POST', path, { cookie, json })
      t.match({ status, code: body.code }, { status: 400, code: 'credentials_conflict' }, `${path}: ${row}`)
    }
  }
  for (const { refresh_token } of [one, two]) {
    t.equal((await issuer.call('POST', '/auth/refresh', { json: { refresh_token } })).status, 200, 'nobody is hurt')
  }
})

test('a losing refresh never clears the cookie', async (t) => {
  const issuer = await buildIssuer(t)
  const { refresh_token, access_token } = await issuer.login(await issuer.register())
  await issuer.call('POST', '/auth/logout', { token: access_token })
  for (const token of [refresh_token, 'garbage', 'A'.repeat(96)]) {
    const answer = await issuer.call('POST', '/auth/refresh', { cookie: `__Host-refresh_token=${token}` })
    t.match({ status: answer.status, code: answer.body.code }, { status: 401, code: 'refresh_token_invalid' })
    t.equal(cookieOf(answer), undefined)
  }
})
