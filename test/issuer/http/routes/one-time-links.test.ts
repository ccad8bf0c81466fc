import { createHash } from 'node:crypto'
import { type Test, test } from 'tap'
import { type BuildOptions, type BuiltIssuer, buildIssuer, countingHasher, PASSWORD } from '../../build.ts'

const NEW_PASSWORD = 'another long pass phrase'
const MINUTE_MS = 60_000

const forgot = (issuer: BuiltIssuer, email: string) => issuer.call('POST', '/auth/forgot-password', { json: { email } })
const reset = (issuer: BuiltIssuer, token: unknown, password = NEW_PASSWORD) =>
  issuer.call('POST', '/auth/reset-password', { json: { token, password } })
const verify = (issuer: BuiltIssuer, token: unknown) => issuer.call('POST', '/auth/verify-email', { json: { token } })
const login = (issuer: BuiltIssuer, email: string, password: string) =>
  issuer.call('POST', '/auth/login', { json: { email, password, transport: 'body' } })
const lastToken = ({ mails }: BuiltIssuer) => mails.at(-1)?.token

/** Asks for a link, and reads it in the mail. */
async function resetLink(issuer: BuiltIssuer, email: string): Promise<string> {
  issuer.clock.advance(MINUTE_MS)
  await forgot(issuer, email)
  return lastToken(issuer)!
}

async function withUser(t: Test, options: BuildOptions = {}) {
  const issuer = await buildIssuer(t, options)
  return { issuer, user: await issuer.register() }
}

test('a forgotten password: a mail, a new password, and every session ends through the ledger', async (t) => {
  const { issuer, user } = await withUser(t)
  const [one, two] = [await issuer.login(user), await issuer.login(user)]
  t.match(await forgot(issuer, user.email.toUpperCase()), { status: 202, headers: { 'cache-control': 'no-store' } })
  t.match(issuer.mails, [{ kind: 'reset_password', to: user.email, token: /^[\w-]{43}$/ }])

  const answer = await reset(issuer, lastToken(issuer))
  t.match(answer, { status: 200, body: { invalidated_tokens: 2, propagated: true } })
  t.equal((await login(issuer, user.email, PASSWORD)).status, 401)
  t.match(await login(issuer, user.email, NEW_PASSWORD), { status: 200, body: { user: { is_verified: true } } })
  for (const { access_token, refresh_token } of [one, two]) {
    t.equal((await issuer.call('GET', '/users/me', { token: access_token })).status, 401)
    t.equal((await issuer.call('POST', '/auth/refresh', { json: { refresh_token } })).status, 401)
  }
  t.match(issuer.events, [{ type: 'revocation', revocation: { kind: 'user', sub: user.id, epoch: 1 } }])
  t.match(issuer.mails.at(-1), { kind: 'password_changed', to: user.email, token: undefined })
  t.match(
    issuer.audit.map(({ event }) => event),
    ['register', 'login', 'login', 'link_mailed', 'password_reset', 'login_failed', 'login'],
  )
})

test('a token works once, whoever is quicker', async (t) => {
  const { issuer, user } = await withUser(t)
  const token = await resetLink(issuer, user.email)
  const answers = await Promise.all(Array.from({ length: 8 }, (_, n) => reset(issuer, token, `${NEW_PASSWORD} ${n}`)))
  t.same(answers.map(({ status }) => status).sort(), [200, ...Array(7).fill(400)])
  t.match(await reset(issuer, token), { status: 400, body: { code: 'link_invalid' } })
  t.equal(issuer.audit.filter(({ event }) => event === 'password_reset').length, 1)
})

test('a token is void when it expired, or what it was issued for has changed', async (t) => {
  const { issuer, user } = await withUser(t)
  const { users } = issuer.parts
  const rows: [name: string, change: () => unknown][] = [
    ['an hour later', () => issuer.clock.advance(60 * MINUTE_MS)],
    ['another password', () => users.update(user.id, { passwordHash: 'fake$other' })],
    ['another address', () => users.update(user.id, { email: 'other@example.com', emailKey: 'other@example.com' })],
    ['the same address, written in another way', () => users.update(user.id, { email: 'Other@example.com' })],
  ]
  let email = user.email
  for (const [name, change] of rows) {
    const token = await resetLink(issuer, email)
    await change()
    t.match(await reset(issuer, token), { status: 400, body: { code: 'link_invalid' } }, name)
    email = (await users.byId(user.id))!.email
  }
  const token = await resetLink(issuer, email)
  await users.update(user.id, { isActive: false })
  t.equal((await reset(issuer, token)).status, 400, 'a disabled user')
  await users.update(user.id, { isActive: true })
  t.equal((await reset(issuer, token)).status, 200, 'only what is still right')
})

test('a token for one purpose is none for the other, and what is no token at all is refused', async (t) => {
  const { issuer, user } = await withUser(t)
  const token = await resetLink(issuer, user.email)
  t.match(await verify(issuer, token), { status: 400, body: { code: 'link_invalid' } })
  await issuer.call('POST', '/auth/resend-verification', { json: { email: user.email } })
  t.match(await reset(issuer, lastToken(issuer)), { status: 400, body: { code: 'link_invalid' } })
  for (const wrong of ['', 'x', `${token}x`, token.slice(1), 'A'.repeat(43), '../../etc/passwd', "' OR 1=1 --"]) {
    t.match(await reset(issuer, wrong), { status: 400, body: { code: 'link_invalid' } }, wrong)
    t.match(await verify(issuer, wrong), { status: 400, body: { code: 'link_invalid' } }, wrong)
  }
  for (const wrong of [null, 1, {}, { $ne: null }, ['x'], 'x'.repeat(65)]) {
    t.match(await reset(issuer, wrong), { status: 400, body: { code: 'invalid_request' } }, JSON.stringify(wrong))
  }
  t.equal((await reset(issuer, token)).status, 200, 'none of these has used it up')
})

test('a password that is refused, or a lane that is full, does not use up the token', async (t) => {
  const { issuer, user } = await withUser(t)
  const token = await resetLink(issuer, user.email)
  for (const password of ['short', 'password123', user.email]) {
    const answer = await reset(issuer, token, password)
    t.match(answer, { status: 400, body: { code: 'password_rejected', errors: [/^password: /] } }, password)
  }
  t.equal((await reset(issuer, token)).status, 200)
})

test('the token is at rest nowhere, not even in the audit log', async (t) => {
  const { issuer, user } = await withUser(t)
  const token = await resetLink(issuer, user.email)
  const hash = createHash('sha256').update(token).digest('base64url')
  const kept = await issuer.parts.oneTimeTokens.find(hash)
  t.match(kept, { hash, sub: user.id, purpose: 'reset_password' })
  const everything = JSON.stringify([kept, issuer.audit])
  for (const secret of [token, user.email]) t.notOk(everything.includes(secret))
})

test('nobody learns from a request for a link who is known here', async (t) => {
  const { issuer, user } = await withUser(t)
  const inactive = await issuer.register()
  await issuer.parts.users.update(inactive.id, { isActive: false })
  const verified = await issuer.register()
  await issuer.parts.users.update(verified.id, { isVerified: true })
  for (const path of ['/auth/forgot-password', '/auth/resend-verification']) {
    const ask = async (email: string) => {
      issuer.calls.length = 0
      const { status, headers, body } = await issuer.call('POST', path, { json: { email } })
      const { date, 'x-request-id': id, ...rest } = headers
      return JSON.stringify({ status, headers: rest, body, calls: issuer.calls })
    }
    const known = await ask(user.email)
    t.match(known, /"status":202/)
    t.match(known, /oneTimeTokens.insert/)
    const before = issuer.mails.length
    t.equal(await ask('nobody@example.com'), known, 'unknown')
    t.equal(await ask(inactive.email), known, 'inactive')
    t.equal(await ask(user.email), known, 'asked again within the minute')
    t.equal(issuer.mails.length, before, 'no mail')
    t.match(await issuer.call('POST', path, { json: { email: 'no address' } }), { status: 400 })
  }
  t.same(
    issuer.mails.map(({ kind, to }) => [kind, to]),
    [
      ['reset_password', user.email],
      ['verify_email', user.email],
    ],
  )
  await issuer.call('POST', '/auth/resend-verification', { json: { email: verified.email } })
  t.equal(issuer.mails.length, 2, 'who is verified needs no link')
})

test('one mail a minute for an account, and all its links work', async (t) => {
  const { issuer, user } = await withUser(t)
  for (let n = 0; n < 3; n++) {
    await forgot(issuer, user.email)
    await forgot(issuer, user.email)
    issuer.clock.advance(MINUTE_MS)
  }
  t.equal(issuer.mails.length, 3)
  // Otherwise a stranger who asks every minute could keep the owner from ever using one.
  t.equal((await reset(issuer, issuer.mails[0]!.token)).status, 200)
  t.equal((await reset(issuer, issuer.mails[2]!.token)).status, 400, 'the password has changed')
})

test('a mailed token verifies the address, for a day', async (t) => {
  const { issuer, user } = await withUser(t, { rules: { mailAtRegistration: true } })
  t.match(issuer.mails, [{ kind: 'verify_email', to: user.email }])
  const { token } = issuer.mails[0]!
  t.match(await verify(issuer, token), { status: 200 })
  t.equal((await issuer.parts.users.byId(user.id))?.isVerified, true)
  t.match(issuer.audit.at(-1), { event: 'email_verified', facts: { sub: user.id } })
  t.match(await verify(issuer, token), { status: 400, body: { code: 'link_invalid' } }, 'once')

  const late = await issuer.register()
  const [second] = issuer.mails.slice(-1)
  issuer.clock.advance(24 * 60 * MINUTE_MS)
  t.equal((await verify(issuer, second!.token)).status, 400)
  t.equal((await issuer.parts.users.byId(late.id))?.isVerified, false)
})

test('mail goes to the stored address, never to the one that was asked with', async (t) => {
  const issuer = await buildIssuer(t)
  // The KELVIN SIGN folds to k: one account, and perhaps two mailboxes.
  const email = 'Kate@example.com'
  await issuer.register({ email })
  await forgot(issuer, '\u212aate@EXAMPLE.com')
  t.match(issuer.mails, [{ kind: 'reset_password', to: email }])
})

test('where addresses have to be verified', async (t) => {
  const verifying = { rules: { requireVerified: true, mailAtRegistration: true } }
  const register = (issuer: BuiltIssuer, json: object) =>
    issuer.call('POST', '/auth/register', { json: { password: PASSWORD, ...json } })

  t.test('nobody logs in before, and the answer is that of a wrong password after the same work', async (t) => {
    const hasher = countingHasher()
    const issuer = await buildIssuer(t, { ...verifying, hasher })
    const email = 'new@example.com'
    t.match(await register(issuer, { email }), { status: 202, body: { message: String } })
    const refused = await login(issuer, email, PASSWORD)
    t.match(refused, { status: 401, body: { code: 'credentials_invalid' } })
    t.match(issuer.audit.at(-1), { event: 'login_failed', facts: { reason: 'user_unverified' } })
    t.same((await login(issuer, 'nobody@example.com', PASSWORD)).body, refused.body)
    t.same(hasher.calls, ['hash', 'verify', 'verify'])
    t.equal((await verify(issuer, lastToken(issuer))).status, 200)
    t.equal((await login(issuer, email, PASSWORD)).status, 200)
  })

  t.test('registration does not tell whether the address is taken; a mail tells its owner', async (t) => {
    const hasher = countingHasher()
    const issuer = await buildIssuer(t, { ...verifying, hasher })
    const answers: string[] = []
    for (const email of ['taken@example.com', 'TAKEN@example.com', 'free@example.com']) {
      issuer.calls.length = 0
      hasher.calls.length = 0
      const { status, body } = await register(issuer, { email })
      answers.push(JSON.stringify({ status, body, hashes: hasher.calls }))
      t.ok(issuer.calls.includes('oneTimeTokens.insert'))
    }
    t.match(answers[0], /"status":202/)
    t.equal(new Set(answers).size, 1)
    t.same(
      issuer.mails.map(({ kind, to }) => [kind, to]),
      [
        ['verify_email', 'taken@example.com'],
        ['already_registered', 'taken@example.com'],
        ['verify_email', 'free@example.com'],
      ],
    )
  })

  t.test('the owner of an address gets the account that a stranger registered with it', async (t) => {
    const issuer = await buildIssuer(t, verifying)
    await register(issuer, { email: 'owner@example.com', password: 'chosen by a stranger' })
    await register(issuer, { email: 'owner@example.com', password: PASSWORD })
    t.equal(issuer.mails[1]?.kind, 'already_registered')
    t.equal((await reset(issuer, issuer.mails[1]!.token)).status, 200)
    t.equal((await login(issuer, 'owner@example.com', NEW_PASSWORD)).status, 200)
    t.equal((await login(issuer, 'owner@example.com', 'chosen by a stranger')).status, 401)
    t.equal((await verify(issuer, issuer.mails[0]!.token)).status, 200, 'the same address: true by now anyway')
  })

  t.test('a user name that is taken is said, and says nothing about the address', async (t) => {
    const issuer = await buildIssuer(t, verifying)
    await register(issuer, { email: 'a@example.com', username: 'sally' })
    for (const email of ['a@example.com', 'b@example.com']) {
      t.match(await register(issuer, { email, username: 'Sally' }), { status: 409, body: { code: 'username_taken' } })
    }
    t.match(await register(issuer, { email: 'c@example.com', login: true }), { status: 400 })
  })
})
