import { test } from 'tap'
import { StoreUnavailable } from '../../../issuer/domain/ports.ts'
import {
  hashNonce,
  mintRefreshToken,
  newNonce,
  readRefreshToken,
  refreshTokenKeys,
} from '../../../issuer/domain/refresh-token.ts'
import { RETRY_WINDOW_MS } from '../../../issuer/domain/session.ts'
import { type BuiltIssuer, buildIssuer, claimsOf, DAY_MS } from '../build.ts'

function refresh(issuer: BuiltIssuer, refresh_token: string) {
  return issuer.call('POST', '/auth/refresh', { json: { refresh_token } })
}

test('100 parallel refreshes of one token have one successor and log nobody out', async (t) => {
  const issuer = await buildIssuer(t)
  const { refresh_token } = await issuer.login(await issuer.register())
  const answers = await Promise.all(Array.from({ length: 100 }, () => refresh(issuer, refresh_token)))
  t.ok(answers.every(({ status }) => status === 200))
  const successors = new Set(answers.map(({ body }) => body.refresh_token))
  t.equal(successors.size, 1)
  t.equal((await refresh(issuer, [...successors][0])).status, 200, 'and the successor works')
  t.same(issuer.events, [])
})

test('a token that is used up ends the session everywhere', async (t) => {
  const issuer = await buildIssuer(t)
  const user = await issuer.register()
  const first = await issuer.login(user)
  const second = (await refresh(issuer, first.refresh_token)).body
  const third = (await refresh(issuer, second.refresh_token)).body
  const { sid, sub } = claimsOf(first.access_token)

  const stolen = await refresh(issuer, first.refresh_token)
  t.match({ status: stolen.status, code: stolen.body.code }, { status: 401, code: 'refresh_token_invalid' })
  t.equal((await refresh(issuer, third.refresh_token)).status, 401, 'the present token is void too')
  t.match(issuer.events, [{ type: 'revocation', revocation: { kind: 'session', sid, sub } }])
  t.match(issuer.audit.at(-1), { event: 'refresh_token_reused', facts: { sid, sub, generation: 0 } })
  t.equal((await issuer.call('GET', '/users/me', { token: third.access_token })).status, 401)
})

test('the token before the current one is a retry for ten seconds, and then theft', async (t) => {
  const issuer = await buildIssuer(t)
  const { refresh_token } = await issuer.login(await issuer.register())
  const successor = (await refresh(issuer, refresh_token)).body.refresh_token
  issuer.clock.advance(RETRY_WINDOW_MS)
  t.equal((await refresh(issuer, refresh_token)).body.refresh_token, successor)
  issuer.clock.advance(1)
  t.equal((await refresh(issuer, refresh_token)).status, 401)
  t.equal((await refresh(issuer, successor)).status, 401)
})

test('a garbled token asks no store and hurts nobody', async (t) => {
  const issuer = await buildIssuer(t)
  const { refresh_token } = await issuer.login(await issuer.register())
  issuer.calls.length = 0
  for (let index = 0; index < refresh_token.length; index++) {
    const other = refresh_token[index] === 'A' ? 'B' : 'A'
    const garbled = refresh_token.slice(0, index) + other + refresh_token.slice(index + 1)
    if ((await refresh(issuer, garbled)).status !== 401) t.fail(`character ${index}`)
  }
  t.same(issuer.calls, [])
  t.equal((await refresh(issuer, refresh_token)).status, 200)
})

test('a store that lost the last rotation catches up', async (t) => {
  const issuer = await buildIssuer(t)
  const { refresh_token } = await issuer.login(await issuer.register())
  const { sid, nonce } = readRefreshToken(issuer.parts.macKeys, refresh_token)!
  const before = (await issuer.parts.sessions.byId(sid))!
  const second = (await refresh(issuer, refresh_token)).body.refresh_token
  await issuer.parts.sessions.end(sid)
  await issuer.parts.sessions.create(before)

  const third = await refresh(issuer, second)
  t.equal(third.status, 200)
  t.equal(readRefreshToken(issuer.parts.macKeys, third.body.refresh_token)?.generation, 2)
  t.ok(readRefreshToken(issuer.parts.macKeys, third.body.refresh_token)?.nonce.equals(nonce))
  t.same(issuer.events, [])
})

test('a store that brings an ended session back resurrects nothing', async (t) => {
  const issuer = await buildIssuer(t)
  const { refresh_token, access_token } = await issuer.login(await issuer.register())
  const session = (await issuer.parts.sessions.byId(claimsOf(access_token).sid))!
  await issuer.call('POST', '/auth/logout', { token: access_token })
  await issuer.parts.sessions.create(session)

  t.equal((await refresh(issuer, refresh_token)).status, 401)
  t.equal(await issuer.parts.sessions.byId(session.sid), undefined, 'it is ended again')
})

test('a session that the store gives to another user is worth nothing: the token says whose it is', async (t) => {
  const issuer = await buildIssuer(t)
  const [thief, victim] = [await issuer.login(await issuer.register()), await issuer.login(await issuer.register())]
  const { sid } = claimsOf(thief.access_token)
  const { sub } = claimsOf(victim.access_token)
  const session = (await issuer.parts.sessions.byId(sid))!
  await issuer.parts.sessions.end(sid)
  await issuer.parts.sessions.create({ ...session, sub })

  t.match(await refresh(issuer, thief.refresh_token), { status: 401, body: { code: 'refresh_token_invalid' } })
  t.match(issuer.audit.at(-1), { event: 'session_tampered', facts: { sid, sub } })
  const json = { refresh_token: thief.refresh_token, all: true }
  t.equal((await issuer.call('POST', '/auth/logout', { json })).status, 401, 'nor can it log the other out')
  t.equal((await refresh(issuer, victim.refresh_token)).status, 200)
  t.same(issuer.events, [])
})

test('a stolen MAC key alone makes no token, and ends no session', async (t) => {
  const issuer = await buildIssuer(t)
  const { refresh_token, access_token } = await issuer.login(await issuer.register())
  const { sid, sub } = claimsOf(access_token)
  const forged = mintRefreshToken(issuer.parts.macKeys[0]!, { sid, generation: 0, nonce: newNonce() }, sub)
  t.equal((await refresh(issuer, forged)).status, 401)
  t.equal((await issuer.call('POST', '/auth/logout', { json: { refresh_token: forged } })).status, 401)
  t.equal((await refresh(issuer, refresh_token)).status, 200)
})

test('a session ends when it is not used, and for good after its time', async (t) => {
  const issuer = await buildIssuer(t)
  const user = await issuer.register()
  const idle = await issuer.login(user)
  issuer.clock.advance(14 * DAY_MS - 1)
  t.equal((await refresh(issuer, idle.refresh_token)).status, 200, 'just within the idle limit')

  let token = (await issuer.login(user)).refresh_token
  issuer.clock.advance(14 * DAY_MS)
  t.equal((await refresh(issuer, token)).status, 401, 'past the idle limit')

  token = (await issuer.login(user)).refresh_token
  for (let day = 1; day < 28; day++) {
    issuer.clock.advance(DAY_MS)
    const { status, body } = await refresh(issuer, token)
    if (status !== 200) t.fail(`day ${day}`)
    token = body.refresh_token
    if (day === 27) t.equal(body.refresh_expires_in, DAY_MS / 1000, 'never past the absolute end')
  }
  issuer.clock.advance(DAY_MS)
  t.equal((await refresh(issuer, token)).status, 401, 'past the absolute end')
})

test('a user who is gone, disabled or logged out everywhere gets no more tokens', async (t) => {
  const rows: [name: string, reason: string, end: (issuer: BuiltIssuer, id: string) => Promise<unknown>][] = [
    ['disabled', 'user_inactive', (issuer, id) => issuer.parts.users.update(id, { isActive: false })],
    ['a higher epoch', 'epoch_passed', (issuer, id) => issuer.parts.users.raiseEpoch(id)],
  ]
  for (const [name, reason, end] of rows) {
    const issuer = await buildIssuer(t)
    const user = await issuer.register()
    const { refresh_token } = await issuer.login(user)
    await end(issuer, user.id)
    t.equal((await refresh(issuer, refresh_token)).status, 401, name)
    t.match(issuer.audit.at(-1), { event: 'session_ended', facts: { reason, sub: user.id } })
    t.same(await issuer.parts.sessions.list(user.id, issuer.clock.now()), [])
  }
  const issuer = await buildIssuer(t, { wrap: ({ users }) => ({ users: { ...users, byId: async () => undefined } }) })
  const { refresh_token } = await issuer.login(await issuer.register())
  t.equal((await refresh(issuer, refresh_token)).status, 401, 'gone')
})

test('a refresh that overlaps the password change of its session does not end it', async (t) => {
  let meanwhile: (() => Promise<void>) | undefined
  const issuer = await buildIssuer(t, {
    wrap: ({ sessions }) => ({
      sessions: {
        ...sessions,
        byId: async (sid) => {
          const found = await sessions.byId(sid)
          const act = meanwhile
          meanwhile = undefined
          await act?.()
          return found
        },
      },
    }),
  })
  const user = await issuer.register()
  const { access_token, refresh_token } = await issuer.login(user)
  meanwhile = async () => {
    const json = { current_password: user.password, new_password: 'another long enough phrase' }
    t.equal((await issuer.call('POST', '/users/me/password', { token: access_token, json })).status, 200)
  }
  const answer = await refresh(issuer, refresh_token)
  t.equal(answer.status, 200)
  t.equal((await refresh(issuer, answer.body.refresh_token)).status, 200)
})

test('a store that is away is 503, and the client keeps its token', async (t) => {
  const away = new Set<string>()
  const issuer = await buildIssuer(t, {
    wrap: ({ sessions, ledger, users }) => {
      const failing = <P extends object>(port: P) =>
        new Proxy(port, {
          get: (target, key) =>
            away.has(String(key))
              ? async () => {
                  throw new StoreUnavailable('a store', new Error('connection refused to 10.0.0.1'))
                }
              : (Reflect.get(target, key) as () => unknown).bind(target),
        })
      return { sessions: failing(sessions), ledger: failing(ledger), users: failing(users) }
    },
  })
  const { refresh_token } = await issuer.login(await issuer.register())
  for (const operation of ['rotate', 'isSessionRevoked', 'byId']) {
    away.add(operation)
    const answer = await issuer.call('POST', '/auth/refresh', { cookie: `__Host-refresh_token=${refresh_token}` })
    t.match({ status: answer.status, code: answer.body.code }, { status: 503, code: 'store_unavailable' }, operation)
    t.ok(Number(answer.headers['retry-after']) > 0)
    t.equal(answer.headers['set-cookie'], undefined)
    t.notMatch(JSON.stringify(answer.body), '10.0.0.1')
    away.clear()
    // Longer than a used-up token is taken for a retry: an outage in the middle has used up nothing.
    issuer.clock.advance(2 * RETRY_WINDOW_MS)
  }
  t.equal((await refresh(issuer, refresh_token)).status, 200)
})

test('the time of issue is taken before anything is asked', async (t) => {
  let slow = 0
  const issuer = await buildIssuer(t, {
    wrap: ({ sessions, ledger, clock }) => ({
      sessions: {
        ...sessions,
        rotate: async (claim) => {
          ;(clock as BuiltIssuer['clock']).advance(slow)
          return sessions.rotate(claim)
        },
      },
      ledger: {
        ...ledger,
        isSessionRevoked: async (sid) => {
          ;(clock as BuiltIssuer['clock']).advance(slow)
          return ledger.isSessionRevoked(sid)
        },
      },
    }),
  })
  const { refresh_token } = await issuer.login(await issuer.register())
  const began = Math.floor(issuer.clock.now() / 1000)
  slow = 7000
  const { body } = await refresh(issuer, refresh_token)
  t.equal(claimsOf(body.access_token).iat, began)
  t.equal(body.expires_in, 300 - 14)
})

test('a changed MAC key makes the next token; the old ones go on', async (t) => {
  const issuer = await buildIssuer(t)
  const { refresh_token } = await issuer.login(await issuer.register())
  const keys = issuer.parts.macKeys as ReturnType<typeof refreshTokenKeys>
  keys.unshift(...refreshTokenKeys(['a new master key, made on the second day']))
  const { status, body } = await refresh(issuer, refresh_token)
  t.equal(status, 200)
  t.ok(readRefreshToken(keys.slice(0, 1), body.refresh_token), 'made with the new key')
  const { sid, nonce } = readRefreshToken(keys, body.refresh_token)!
  t.equal((await issuer.parts.sessions.byId(sid))?.nonceHash, hashNonce(nonce))
})
