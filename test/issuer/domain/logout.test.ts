import fc from 'fast-check'
import { test } from 'tap'
import { refusedFrom } from '../../../shared/access-token.ts'
import { type Answer, type BuiltIssuer, buildIssuer, claimsOf, cookieOf, type Tokens } from '../build.ts'

function refresh(issuer: BuiltIssuer, { refresh_token }: Pick<Tokens, 'refresh_token'>) {
  return issuer.call('POST', '/auth/refresh', { json: { refresh_token } })
}

function me(issuer: BuiltIssuer, { access_token }: Tokens) {
  return issuer.call('GET', '/users/me', { token: access_token })
}

test('logout by any credential ends the session, here and in the feed', async (t) => {
  type Logout = (issuer: BuiltIssuer, tokens: Tokens) => Promise<Answer>
  const rows: [name: string, logout: Logout][] = [
    ['access token', (issuer, { access_token }) => issuer.call('POST', '/auth/logout', { token: access_token })],
    ['refresh token', (issuer, { refresh_token }) => issuer.call('POST', '/auth/logout', { json: { refresh_token } })],
    [
      'cookie',
      (issuer, { refresh_token }) =>
        issuer.call('POST', '/auth/logout', { cookie: `__Host-refresh_token=${refresh_token}` }),
    ],
    [
      'both',
      (issuer, { access_token, refresh_token }) =>
        issuer.call('POST', '/auth/logout', { token: access_token, json: { refresh_token } }),
    ],
    ['the alias', (issuer, { access_token }) => issuer.call('DELETE', '/logout', { token: access_token })],
    [
      'an access token beside a refresh token that is garbage',
      (issuer, { access_token }) =>
        issuer.call('POST', '/auth/logout', { token: access_token, json: { refresh_token: 'garbage' } }),
    ],
    [
      'an expired access token and the refresh token',
      (issuer, { access_token, refresh_token }) => {
        issuer.clock.advance(3_600_000)
        return issuer.call('POST', '/auth/logout', { token: access_token, json: { refresh_token } })
      },
    ],
    [
      'garbage and the refresh token',
      (issuer, { refresh_token }) => issuer.call('POST', '/auth/logout', { token: 'a.b.c', json: { refresh_token } }),
    ],
  ]
  for (const [name, logout] of rows) {
    const issuer = await buildIssuer(t)
    const user = await issuer.register()
    const [tokens, other] = [await issuer.login(user), await issuer.login(user)]
    const { sid, sub } = claimsOf(tokens.access_token)
    const { status, body } = await logout(issuer, tokens)
    t.match({ status, body }, { status: 200, body: { invalidated_tokens: 1, propagated: true } }, name)
    t.match(issuer.events, [{ type: 'revocation', revocation: { kind: 'session', sid, sub } }], `${name}: the feed`)
    t.equal((await me(issuer, tokens)).status, 401, `${name}: access token`)
    t.equal((await refresh(issuer, tokens)).status, 401, `${name}: refresh token`)
    t.equal((await refresh(issuer, other)).status, 200, `${name}: the other session lives on`)
  }
})

test('logout without a usable credential is 401 and changes nothing', async (t) => {
  const issuer = await buildIssuer(t)
  const tokens = await issuer.login(await issuer.register())
  issuer.calls.length = 0
  const rows: [name: string, options: Parameters<BuiltIssuer['call']>[2], code: string][] = [
    ['nothing', {}, 'token_missing'],
    ['a garbled access token', { token: `${tokens.access_token}x` }, 'token_invalid'],
    ['another scheme', { headers: { authorization: 'Basic YTpi' } }, 'token_invalid'],
    ['a garbled refresh token', { json: { refresh_token: 'x' } }, 'refresh_token_invalid'],
    ['two garbled ones', { token: 'x', json: { refresh_token: 'x' } }, 'refresh_token_invalid'],
  ]
  for (const [name, options, code] of rows) {
    const { status, body, headers } = await issuer.call('POST', '/auth/logout', options)
    t.match({ status, code: body.code }, { status: 401, code }, name)
    t.match(headers['www-authenticate'], /^Bearer/)
  }
  issuer.clock.advance(3_600_000)
  t.equal((await issuer.call('POST', '/auth/logout', { token: tokens.access_token })).status, 401, 'expired alone')
  t.same(issuer.calls, [])
})

test('two credentials that disagree hurt nobody', async (t) => {
  const issuer = await buildIssuer(t)
  const [mine, theirs] = [await issuer.login(await issuer.register()), await issuer.login(await issuer.register())]
  const conflict = async (name: string, all: boolean) => {
    const answer = await issuer.call('POST', '/auth/logout', {
      token: mine.access_token,
      cookie: `__Host-refresh_token=${theirs.refresh_token}`,
      json: { all },
    })
    t.match({ status: answer.status, code: answer.body.code }, { status: 400, code: 'credentials_conflict' }, name)
    t.equal(cookieOf(answer), undefined, 'the cookie stays')
  }
  await conflict('one', false)
  await conflict('all', true)
  issuer.clock.advance(3_600_000)
  await conflict('an expired access token of another session', false)
  for (const tokens of [mine, theirs]) t.equal((await refresh(issuer, tokens)).status, 200)
  t.same(issuer.events, [])
})

test('a repeated logout is answered as success and says what is known', async (t) => {
  const issuer = await buildIssuer(t)
  const { access_token, refresh_token } = await issuer.login(await issuer.register())
  await issuer.call('POST', '/auth/logout', { token: access_token })
  for (const options of [{ token: access_token }, { json: { refresh_token } }]) {
    const { status, body } = await issuer.call('POST', '/auth/logout', options)
    t.match({ status, body }, { status: 200, body: { invalidated_tokens: 0, propagated: true } })
  }
  t.equal(issuer.events.length, 1)
})

test('the cookie is cleared by a logout that succeeds, and by no other', async (t) => {
  const issuer = await buildIssuer(t)
  const { refresh_token } = await issuer.login(await issuer.register())
  const cookie = `__Host-refresh_token=${refresh_token}`
  const refused = await issuer.call('POST', '/auth/logout', { cookie: `${cookie.slice(0, -1)}!` })
  t.equal(refused.status, 401)
  t.equal(cookieOf(refused), undefined)
  const done = await issuer.call('POST', '/auth/logout', { cookie })
  t.equal(cookieOf(done), '')
  t.match(done.headers['set-cookie'], /Path=\/; Expires=Thu, 01 Jan 1970.*HttpOnly; Secure; SameSite=Strict/)
})

test('all sessions of a user end at once, and nobody else\u2019s', async (t) => {
  for (const by of ['access', 'refresh'] as const) {
    const issuer = await buildIssuer(t)
    const user = await issuer.register()
    const sessions = [await issuer.login(user), await issuer.login(user), await issuer.login(user)]
    const bystander = await issuer.login(await issuer.register())
    const { sub } = claimsOf(sessions[0]!.access_token)
    const credential =
      by === 'access'
        ? { token: sessions[0]!.access_token, json: { all: true } }
        : { json: { all: true, refresh_token: sessions[0]!.refresh_token } }
    const { status, body } = await issuer.call('POST', '/auth/logout', credential)
    t.match({ status, body }, { status: 200, body: { invalidated_tokens: 3, propagated: true } })
    t.match(issuer.events, [{ type: 'revocation', revocation: { kind: 'user', sub, epoch: 1 } }])
    for (const tokens of sessions) {
      t.equal((await me(issuer, tokens)).status, 401)
      t.equal((await refresh(issuer, tokens)).status, 401)
    }
    t.equal((await refresh(issuer, bystander)).status, 200)
    const again = await issuer.login(user)
    t.equal(claimsOf(again.access_token).epoch, 1, 'logging in again in the same instant works')
    t.equal((await me(issuer, again)).status, 200)
  }
})

test('a session that has ended cannot end the ones that came after it', async (t) => {
  const issuer = await buildIssuer(t)
  const user = await issuer.register()
  const stale = await issuer.login(user)
  await issuer.call('POST', '/auth/logout', { token: stale.access_token })
  const present = await issuer.login(user)
  for (const options of [
    { token: stale.access_token, json: { all: true } },
    { json: { all: true, refresh_token: stale.refresh_token } },
  ]) {
    t.equal((await issuer.call('POST', '/auth/logout', options)).status, 401)
  }
  t.equal((await refresh(issuer, present)).status, 200)
})

test('a logout of all that was cut off half-way is finished by its repetition', async (t) => {
  const issuer = await buildIssuer(t)
  const user = await issuer.register()
  const [one, two] = [await issuer.login(user), await issuer.login(user)]
  await issuer.parts.users.raiseEpoch(user.id)
  const later = await issuer.login(user)

  const { status, body } = await issuer.call('POST', '/auth/logout', { token: one.access_token, json: { all: true } })
  t.match({ status, body }, { status: 200, body: { invalidated_tokens: 2 } })
  t.match(issuer.events, [{ revocation: { kind: 'user', sub: user.id, epoch: 1 } }], 'the epoch is not raised again')
  t.equal((await refresh(issuer, two)).status, 401)
  t.equal((await refresh(issuer, later)).status, 200, 'what came after it lives on')
})

test('logout without the session store works by access token', async (t) => {
  const issuer = await buildIssuer(t)
  const tokens = await issuer.login(await issuer.register())
  await issuer.parts.sessions.end(claimsOf(tokens.access_token).sid)
  const { status, body } = await issuer.call('POST', '/auth/logout', { token: tokens.access_token })
  t.match({ status, body }, { status: 200, body: { invalidated_tokens: 0, propagated: true } })
  t.equal(issuer.events.length, 1, 'services hear of it')
  const wiped = await issuer.login(await issuer.register())
  await issuer.parts.sessions.end(claimsOf(wiped.access_token).sid)
  const unknown = await issuer.call('POST', '/auth/logout', { json: { refresh_token: wiped.refresh_token } })
  t.equal(unknown.status, 401, 'whose session it was is not known, so success must not be claimed')
})

/** Lets the scheduler decide when each store call begins, and takes a second for each. */
function scheduled<P extends object>(
  port: P,
  scheduler: () => fc.Scheduler | undefined,
  clock: BuiltIssuer['clock'],
): P {
  return new Proxy(port, {
    get(target, key) {
      const member = Reflect.get(target, key) as (...args: unknown[]) => unknown
      return async (...args: unknown[]) => {
        await scheduler()?.schedule(Promise.resolve(), String(key))
        if (scheduler()) clock.advance(1000)
        return member.apply(target, args)
      }
    },
  })
}

test('whatever the order, no token outlives a logout it raced', async (t) => {
  let scheduler: fc.Scheduler | undefined
  const issuer = await buildIssuer(t, {
    wrap: ({ users, sessions, ledger, clock }) => ({
      users: scheduled(users, () => scheduler, clock as BuiltIssuer['clock']),
      sessions: scheduled(sessions, () => scheduler, clock as BuiltIssuer['clock']),
      ledger: scheduled(ledger, () => scheduler, clock as BuiltIssuer['clock']),
    }),
    rules: { publishTimeoutMs: 10_000 },
  })
  const user = await issuer.register()

  await fc.assert(
    fc.asyncProperty(fc.scheduler(), fc.boolean(), fc.boolean(), async (s, all, relogin) => {
      const tokens = await issuer.login(user)
      const before = issuer.events.length
      scheduler = s
      const logout = issuer.call('POST', '/auth/logout', { token: tokens.access_token, json: { all } })
      const racing = [refresh(issuer, tokens), refresh(issuer, tokens)]
      const login = relogin ? issuer.login(user) : undefined
      await s.waitFor(Promise.all([logout, ...racing, login]))
      scheduler = undefined

      const { status } = await logout
      if (status !== 200) throw new Error(`logout: ${status}`)
      const event = issuer.events[before]
      if (event?.type !== 'revocation') throw new Error('no revocation')
      const { revocation } = event
      const issued = (await Promise.all(racing)).filter((answer) => answer.status === 200).map(({ body }) => body)
      for (const { access_token } of [tokens, ...issued]) {
        if (refusedFrom(claimsOf(access_token).exp) > revocation.exp * 1000)
          throw new Error('a token outlives the entry')
      }
      for (const body of [tokens, ...issued]) {
        if ((await refresh(issuer, body)).status !== 401) throw new Error('a refresh token survived')
        if ((await me(issuer, body)).status !== 401) throw new Error('an access token survived')
      }
      // A login that raced the end of all sessions either belongs to them or has the new epoch.
      const raced = await login
      if (raced && revocation.kind === 'user' && claimsOf(raced.access_token).epoch < revocation.epoch) {
        if (refusedFrom(claimsOf(raced.access_token).exp) > revocation.exp * 1000)
          throw new Error('a login outlives it')
        if ((await refresh(issuer, raced)).status !== 401) throw new Error('a dead login survived')
      }
    }),
    { numRuns: 150 },
  )
  t.pass('in 150 schedules')
})
