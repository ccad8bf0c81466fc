import { type Test, test } from 'tap'
import { buildIssuer, type CallOptions, countingHasher, PASSWORD } from '../build.ts'

async function throttled(t: Test) {
  const hasher = countingHasher()
  const issuer = await buildIssuer(t, { hasher, rules: { loginThrottle: true, trustedProxies: ['127.0.0.1'] } })
  const login = async (name: object, password: string, address: string) => {
    const json = { ...name, password, transport: 'body' }
    const headers = { 'x-forwarded-for': address, 'user-agent': 'guesser/1.0 \u00e9' }
    const { status, headers: fields, body } = await issuer.call('POST', '/auth/login', { json, headers })
    return { status, retryAfter: fields['retry-after'], code: body.code }
  }
  return { ...issuer, hasher, login, ownLogin: issuer.login }
}

test('after five wrong passwords the next try has to wait, and nothing is hashed', async (t) => {
  const issuer = await throttled(t)
  const { email, password } = await issuer.register()
  for (let i = 0; i < 5; i++) t.equal((await issuer.login({ email }, 'wrong', '192.0.2.1')).status, 401)
  const [hashed, asked] = [issuer.hasher.calls.length, issuer.calls.length]
  const refused = { status: 429, retryAfter: '1', code: 'too_many_requests' }
  t.match(await issuer.login({ email }, 'wrong', '192.0.2.1'), refused)
  t.match(await issuer.login({ email: email.toUpperCase() }, 'wrong', '192.0.2.1'), refused, 'in another spelling')
  t.match(await issuer.login({ email }, password, '192.0.2.1'), refused, 'a right one tells nothing either')
  t.same([issuer.hasher.calls.length, issuer.calls.length], [hashed, asked])

  t.equal((await issuer.login({ email }, password, '203.0.113.1')).status, 200, 'the owner elsewhere gets in')
  issuer.clock.advance(1000)
  t.equal((await issuer.login({ email }, 'wrong', '192.0.2.1')).status, 401)
  t.match(await issuer.login({ email }, 'wrong', '192.0.2.1'), { ...refused, retryAfter: '2' })
  issuer.clock.advance(2000)
  t.equal((await issuer.login({ email }, password, '192.0.2.1')).status, 200)
  for (let i = 0; i < 5; i++) t.equal((await issuer.login({ email }, 'wrong', '192.0.2.1')).status, 401, 'forgotten')
})

test('accounts that do not exist are throttled as those that do', async (t) => {
  const issuer = await throttled(t)
  const { email } = await issuer.register({ username: 'Ada' })
  const course = async (name: object, address: string) => {
    const answers: object[] = []
    for (let i = 0; i < 12; i++) {
      answers.push(await issuer.login(name, 'wrong', address))
      issuer.clock.advance(700)
    }
    return answers
  }
  const known = await course({ email }, '192.0.2.1')
  t.ok(known.some((answer) => 'retryAfter' in answer && answer.retryAfter !== undefined))
  t.same(await course({ email: 'nobody@example.com' }, '192.0.2.2'), known)
  t.same(await course({ email: 'not an address' }, '192.0.2.3'), known)
  t.same(await course({ username: 'Ada' }, '192.0.2.4'), known)
  t.same(await course({ username: 'nobody' }, '192.0.2.5'), known)
})

test('a storm of guesses at one account reaches the hashing lane only with the free ones', async (t) => {
  const issuer = await throttled(t)
  const { email } = await issuer.register()
  const before = issuer.hasher.calls.length
  const answers = await Promise.all(Array.from({ length: 200 }, () => issuer.login({ email }, 'wrong', '192.0.2.1')))
  t.equal(issuer.hasher.calls.length - before, 5)
  t.equal(answers.filter(({ status }) => status === 429).length, 195)
})

test('the audit log says who failed and who was made to wait, without names', async (t) => {
  const issuer = await throttled(t)
  const { email, password, id } = await issuer.register()
  for (let i = 0; i < 6; i++) await issuer.login({ email }, 'wrong', '192.0.2.1')
  const client = { address: '192.0.2.1', user_agent: 'guesser/1.0 ?' }
  t.match(issuer.audit.at(-2), { event: 'login_failed', facts: { ...client, sub: id, reason: 'password_wrong' } })
  t.match(issuer.audit.at(-1), { event: 'login_throttled', facts: { ...client, retry_after_s: 1 } })
  issuer.clock.advance(1000)
  await issuer.login({ email }, password, '192.0.2.1')
  t.match(issuer.audit.at(-1), { event: 'login', facts: { ...client, sub: id } })
  t.notMatch(JSON.stringify(issuer.audit), /@example|"wrong"|long enough/)
})

test('guessing at the token endpoint and at the password change counts as at the login', async (t) => {
  const issuer = await throttled(t)
  const { email, password } = await issuer.register()
  const { access_token: token } = await issuer.ownLogin({ email, password })
  const grant = (guess: string) =>
    issuer.call('POST', '/auth/token', {
      json: { grant_type: 'password', username: email, password: guess },
      headers: { 'x-forwarded-for': '192.0.2.1' },
    })
  const change = (guess: string) =>
    issuer.call('POST', '/users/me/password', {
      json: { current_password: guess, new_password: 'another long pass phrase' },
      token,
      headers: { 'x-forwarded-for': '192.0.2.1' },
    })
  for (let i = 0; i < 3; i++) t.match(await grant('wrong'), { status: 400, body: { error: 'invalid_grant' } })
  for (let i = 0; i < 2; i++) t.match(await change('wrong'), { body: { code: 'password_wrong' } })
  const hashed = issuer.hasher.calls.length
  t.match(await grant(password), { status: 429, headers: { 'retry-after': '1' } })
  t.match(await change(password), { status: 429, headers: { 'retry-after': '1' }, body: { code: 'too_many_requests' } })
  t.equal((await issuer.login({ email }, password, '192.0.2.1')).status, 429)
  t.equal(issuer.hasher.calls.length, hashed)
  issuer.clock.advance(1000)
  t.equal((await change(password)).status, 200)
  t.equal((await grant('another long pass phrase')).status, 200)
})

test('the same work for everyone who is refused, whichever door they knock at', async (t) => {
  const hasher = countingHasher()
  const issuer = await buildIssuer(t, { hasher })
  const { email, password } = await issuer.register()
  const { access_token: token } = await issuer.login({ email, password })
  const work = async (path: string, json: object, more: CallOptions = {}) => {
    const before = hasher.calls.length
    const { status } = await issuer.call('POST', path, { json, ...more })
    return { status, calls: hasher.calls.slice(before) }
  }
  const once = ['verify']
  for (const name of [email, 'nobody@example.com', 'not an address', 'Nobody']) {
    const json = { grant_type: 'password', username: name, password: 'wrong' }
    t.same(await work('/auth/token', json), { status: 400, calls: once }, `token: ${name}`)
    t.same(await work('/auth/login', { email: name, password: 'wrong' }), { status: 401, calls: once }, name)
  }
  const change = { current_password: 'wrong', new_password: 'another long pass phrase' }
  t.same(
    (await work('/users/me/password', change, { token })).calls,
    once,
    'and no new hash is made before the old one is known',
  )
  const weak = { current_password: PASSWORD, new_password: 'short' }
  t.same((await work('/users/me/password', weak, { token })).calls, [], 'a new one that may not be is refused before')
})
