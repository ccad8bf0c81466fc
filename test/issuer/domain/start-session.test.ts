import { test } from 'tap'
import { buildIssuer, claimsOf } from '../build.ts'

test('at most so many sessions at once: the oldest goes, and the services hear of it', async (t) => {
  const issuer = await buildIssuer(t, { rules: { sessionLimit: 3 } })
  const user = await issuer.register()
  const bystander = await issuer.login(await issuer.register())
  const login = async () => {
    issuer.clock.advance(1000)
    return issuer.login(user)
  }
  const tokens = [await login(), await login(), await login()]
  t.same(issuer.events, [])
  tokens.push(await login())
  const [oldest, second] = tokens.map(({ access_token }) => claimsOf(access_token).sid)
  t.match(issuer.events, [{ type: 'revocation', revocation: { kind: 'session', sid: oldest, sub: user.id } }])
  t.match(issuer.audit.find(({ event }) => event === 'session_ended')?.facts, { reason: 'limit', sid: oldest })

  const me = async (token: string) => (await issuer.call('GET', '/users/me', { token })).status
  t.equal(await me(tokens[0]!.access_token), 401)
  const refreshed = await issuer.call('POST', '/auth/refresh', { json: { refresh_token: tokens[0]!.refresh_token } })
  t.equal(refreshed.status, 401)
  for (const { access_token } of [...tokens.slice(1), bystander]) t.equal(await me(access_token), 200)

  tokens.push(await login())
  t.equal(issuer.events.length, 2)
  t.match(issuer.events[1], { revocation: { sid: second } })
})

test('a session that ended makes room for another', async (t) => {
  const issuer = await buildIssuer(t, { rules: { sessionLimit: 2 } })
  const user = await issuer.register()
  const [first] = [await issuer.login(user), await issuer.login(user)]
  await issuer.call('POST', '/auth/logout', { token: first.access_token })
  const before = issuer.events.length
  await issuer.login(user)
  t.equal(issuer.events.length, before)
})

test('of many logins at once no more are left than may be', async (t) => {
  const issuer = await buildIssuer(t, { rules: { sessionLimit: 5 } })
  const user = await issuer.register()
  const tokens = await Promise.all(Array.from({ length: 30 }, () => issuer.login(user)))
  const listed = await issuer.parts.sessions.list(user.id, issuer.clock.now())
  t.equal(listed.length, 5)
  const statuses = await Promise.all(
    tokens.map(async ({ access_token: token }) => (await issuer.call('GET', '/users/me', { token })).status),
  )
  t.equal(statuses.filter((status) => status === 200).length, 5, 'the tokens of the others are refused')
})

test('without a limit there is none', async (t) => {
  const issuer = await buildIssuer(t)
  const user = await issuer.register()
  for (let n = 0; n < 120; n++) await issuer.login(user)
  t.notOk(issuer.calls.includes('sessions.list'), 'nothing is listed for it')
  t.equal((await issuer.parts.sessions.list(user.id, issuer.clock.now())).length, 120)
})
