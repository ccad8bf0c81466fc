import fc from 'fast-check'
import { test } from 'tap'
import { StoreUnavailable } from '../../../issuer/domain/ports.ts'
import { type BuiltIssuer, buildIssuer, claimsOf, countingHasher, PASSWORD } from '../build.ts'
import { scheduled } from '../scheduled.ts'

const NEW = 'quite another pass phrase'

interface Tokens {
  access_token: string
  refresh_token: string
}

function change(issuer: BuiltIssuer, { access_token: token }: Tokens, current = PASSWORD, next = NEW) {
  return issuer.call('POST', '/users/me/password', {
    token,
    json: { current_password: current, new_password: next },
  })
}

const refresh = async (issuer: BuiltIssuer, { refresh_token }: Tokens) =>
  (await issuer.call('POST', '/auth/refresh', { json: { refresh_token } })).status
const me = async (issuer: BuiltIssuer, { access_token: token }: Tokens) =>
  (await issuer.call('GET', '/users/me', { token })).status

test('a password change ends the other sessions, here and in the feed, and keeps this one', async (t) => {
  const issuer = await buildIssuer(t)
  const user = await issuer.register()
  const [here, one, two] = [await issuer.login(user), await issuer.login(user), await issuer.login(user)]
  const bystander = await issuer.login(await issuer.register())
  t.match(await change(issuer, here), { status: 200, body: { invalidated_tokens: 2, propagated: true } })

  const ended = issuer.events.map((event) => (event as { revocation: { kind: string; sid: string } }).revocation)
  t.same(
    ended.map(({ kind }) => kind),
    ['session', 'session'],
  )
  t.same(ended.map(({ sid }) => sid).sort(), [one, two].map(({ access_token }) => claimsOf(access_token).sid).sort())
  for (const other of [one, two]) {
    t.equal(await me(issuer, other), 401)
    t.equal(await refresh(issuer, other), 401)
  }
  t.equal(await me(issuer, here), 200, 'the very access token goes on')
  t.equal(await refresh(issuer, here), 200)
  t.equal(await refresh(issuer, bystander), 200)
  const { email } = user
  t.equal((await issuer.call('POST', '/auth/login', { json: { email, password: PASSWORD } })).status, 401)
  await issuer.login({ email, password: NEW })
  t.match(issuer.audit.find(({ event }) => event === 'password_changed')?.facts, { sub: user.id, sessions: 2 })
  t.notMatch(JSON.stringify(issuer.audit), /pass phrase/)
})

test('the session that was kept can be ended with all others, and cannot be kept twice', async (t) => {
  const issuer = await buildIssuer(t)
  const user = await issuer.register()
  const here = await issuer.login(user)
  await change(issuer, here)
  const later = await issuer.login({ ...user, password: NEW })
  const all = await issuer.call('POST', '/auth/logout', { token: here.access_token, json: { all: true } })
  t.match(all, { status: 200, body: { invalidated_tokens: 2 } })
  t.match(
    issuer.events,
    [{ revocation: { kind: 'user', sub: user.id, epoch: 2 } }],
    'a new epoch, not that of the change',
  )
  for (const tokens of [here, later]) {
    t.equal(await me(issuer, tokens), 401)
    t.equal(await refresh(issuer, tokens), 401)
  }
})

test('the present password is asked for, and the new one has to be good', async (t) => {
  const issuer = await buildIssuer(t)
  const user = await issuer.register({ username: 'ada.lovelace' })
  const [here, other] = [await issuer.login(user), await issuer.login(user)]
  const rows: [current: string, next: string, status: number, code: string][] = [
    ['wrong', NEW, 403, 'password_wrong'],
    ['', NEW, 403, 'password_wrong'],
    ['x'.repeat(2000), NEW, 403, 'password_wrong'],
    [PASSWORD, 'short', 400, 'password_rejected'],
    [PASSWORD, 'password123', 400, 'password_rejected'],
    [PASSWORD, 'Ada.Lovelace', 400, 'password_rejected'],
    [PASSWORD, user.email, 400, 'password_rejected'],
    [PASSWORD, 'x'.repeat(1025), 400, 'password_rejected'],
  ]
  for (const [current, next, status, code] of rows) {
    const answer = await change(issuer, here, current, next)
    t.match(
      { status: answer.status, code: answer.body.code },
      { status, code },
      `${current.slice(0, 9)} ${next.slice(0, 9)}`,
    )
    if (code === 'password_rejected') t.ok(answer.body.errors.length > 0, 'with what is wrong')
  }
  t.same(issuer.events, [])
  t.equal(await refresh(issuer, other), 200)
  await issuer.login(user)
  t.equal((await issuer.call('POST', '/users/me/password', { json: {} })).status, 400)
})

test('a rehash at login cannot bring the old password back', async (t) => {
  const hasher = countingHasher()
  const { hash } = hasher
  const issuer = await buildIssuer(t, { hasher })
  const user = await issuer.register()
  const here = await issuer.login(user)
  // Hashes made with the parameters of today begin with "new$".
  hasher.needsRehash = (stored) => !stored.startsWith('new$')
  let changed: Promise<{ status: number }> | undefined
  hasher.hash = async (password) => {
    const digest = `new$${await hash(password)}`
    // Between the check of the old password and the write of its new hash, somebody changes it.
    if (password === PASSWORD) {
      changed ??= change(issuer, here)
      await changed
    }
    return digest
  }
  hasher.verify = async (stored, password) =>
    stored?.replace(/^new\$/, '') === (await hash(password)) || stored === (await hash(password))
  const { email } = user
  const login = await issuer.call('POST', '/auth/login', { json: { email, password: PASSWORD } })
  t.equal((await changed!).status, 200)
  t.equal(login.status, 401, 'the old password is not the present one any more')
  t.equal((await issuer.parts.users.byId(user.id))?.passwordHash, `new$${await hash(NEW)}`)
})

test('a rehash happens once, and the next login finds nothing to do', async (t) => {
  const hasher = countingHasher()
  const issuer = await buildIssuer(t, { hasher })
  const user = await issuer.register()
  await issuer.parts.users.update(user.id, { passwordHash: `old$${PASSWORD}` })
  const { verify } = hasher
  hasher.verify = async (stored, password) => stored === `old$${password}` || verify(stored, password)
  await issuer.login(user)
  const stored = (await issuer.parts.users.byId(user.id))?.passwordHash
  t.match(stored, /^fake\$/)
  hasher.calls.length = 0
  await issuer.login(user)
  t.same(hasher.calls, ['verify'])
})

test('of two changes at once one wins, and the other one says so', async (t) => {
  const hasher = countingHasher()
  const issuer = await buildIssuer(t, { hasher })
  const user = await issuer.register()
  const here = await issuer.login(user)
  const { hash } = hasher
  const waiting: (() => void)[] = []
  // Both have checked the present password before either goes on.
  hasher.hash = async (password) => {
    await new Promise<void>((resolve) => {
      waiting.push(resolve)
      if (waiting.length === 2) for (const go of waiting) go()
    })
    return hash(password)
  }
  const passwords = [`${NEW} 1`, `${NEW} 2`]
  const answers = await Promise.all(passwords.map((password) => change(issuer, here, PASSWORD, password)))
  t.same(answers.map(({ status }) => status).sort(), [200, 409])
  t.equal(answers.find(({ status }) => status === 409)?.body.code, 'conflict')
  const won = answers.findIndex(({ status }) => status === 200)
  await issuer.login({ ...user, password: passwords[won]! })
})

test('without the session store all sessions end, this one too', async (t) => {
  let away = false
  const issuer = await buildIssuer(t, {
    wrap: ({ sessions }) => ({
      sessions: {
        ...sessions,
        create: (session) => sessions.create(session),
        byId: (sid) => sessions.byId(sid),
        endAll: (sub, epoch, now) => sessions.endAll(sub, epoch, now),
        end: (sid) => sessions.end(sid),
        rotate: (claim) => sessions.rotate(claim),
        carryOver: (sid, epoch) => sessions.carryOver(sid, epoch),
        list: async (sub, now) => {
          if (away) throw new StoreUnavailable('Redis', new Error('away'))
          return sessions.list(sub, now)
        },
      },
    }),
  })
  const user = await issuer.register()
  const [here, other] = [await issuer.login(user), await issuer.login(user)]
  away = true
  t.match(await change(issuer, here), { status: 200, body: { propagated: true } })
  t.match(
    issuer.events,
    [{ revocation: { kind: 'user', sub: user.id, epoch: 1 } }],
    'what cannot be listed ends as a whole',
  )
  t.equal(await refresh(issuer, other), 401)
})

test('whatever the order, a login with the old password does not survive a change of it', async (t) => {
  let scheduler: fc.Scheduler | undefined
  const issuer = await buildIssuer(t, {
    wrap: ({ users, sessions, ledger }) => ({
      users: scheduled(users, () => scheduler),
      sessions: scheduled(sessions, () => scheduler),
      ledger: scheduled(ledger, () => scheduler),
    }),
    rules: { publishTimeoutMs: 10_000 },
  })
  let round = 0
  await fc.assert(
    fc.asyncProperty(fc.scheduler(), async (s) => {
      const user = await issuer.register()
      const here = await issuer.login(user)
      const other = await issuer.login(user)
      const { email } = user
      const password = `${NEW} ${++round}`
      const from = issuer.events.length
      scheduler = s
      const changing = change(issuer, here, PASSWORD, password)
      const json = { email, password: PASSWORD, transport: 'body' }
      const logins = [issuer.call('POST', '/auth/login', { json }), issuer.call('POST', '/auth/login', { json })]
      const refreshing = issuer.call('POST', '/auth/refresh', { json: { refresh_token: other.refresh_token } })
      await s.waitFor(Promise.all([changing, ...logins, refreshing]))
      scheduler = undefined

      if ((await changing).status !== 200) throw new Error(`change: ${JSON.stringify((await changing).body)}`)
      const revoked = issuer.events
        .slice(from)
        .map((event) => (event as { revocation: { sid?: string } }).revocation.sid)
      const issued = (await Promise.all([...logins, refreshing])).filter(({ status }) => status === 200)
      for (const tokens of [other, ...issued.map(({ body }) => body as Tokens)]) {
        if ((await me(issuer, tokens)) !== 401) throw new Error('an access token survived')
        if ((await refresh(issuer, tokens)) !== 401) throw new Error('a refresh token survived')
        if (!revoked.includes(claimsOf(tokens.access_token).sid)) throw new Error('the services have not heard of it')
      }
      if ((await me(issuer, here)) !== 200) throw new Error('the own session ended')
      if ((await refresh(issuer, here)) !== 200) throw new Error('the own session cannot be refreshed')
      await issuer.login({ email, password })
    }),
    { numRuns: 100 },
  )
  t.pass('in 100 schedules')
})
