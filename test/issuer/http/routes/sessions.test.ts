import { test } from 'tap'
import { buildIssuer, claimsOf, cookieOf, DAY_MS } from '../../build.ts'

test('own sessions are listed, newest first, with what helps to tell them apart', async (t) => {
  const issuer = await buildIssuer(t)
  const user = await issuer.register()
  const login = async (agent: string) => {
    issuer.clock.advance(1000)
    const { email, password } = user
    const json = { email, password, transport: 'body' }
    const { body } = await issuer.call('POST', '/auth/login', { json, headers: { 'user-agent': agent } })
    return { ...body, sid: claimsOf(body.access_token).sid }
  }
  const laptop = await login(`Laptop \u00e9\u0001${'x'.repeat(500)}`)
  const phone = await login('Phone')
  await issuer.login(await issuer.register())
  issuer.clock.advance(60_000)
  await issuer.call('POST', '/auth/refresh', { json: { refresh_token: laptop.refresh_token } })

  const { status, body } = await issuer.call('GET', '/auth/sessions', { token: laptop.access_token })
  t.equal(status, 200)
  t.same(
    body.sessions.map(({ sid }: { sid: string }) => sid),
    [phone.sid, laptop.sid],
  )
  t.match(body.sessions[0], { user_agent: 'Phone', current: false })
  const [, shown] = body.sessions
  t.match(shown, { current: true, address: '127.0.0.1', last_used_at: new Date(issuer.clock.now()).toISOString() })
  t.equal(shown.user_agent.length, 200)
  t.match(shown.user_agent, /^[ -~]+$/)
  t.notMatch(JSON.stringify(body), /nonce|generation|epoch/)
})

test('the address is that of the connection, unless a configured proxy names another', async (t) => {
  const headers = { 'x-forwarded-for': '198.51.100.7, 203.0.113.9' }
  for (const [trustedProxies, address] of [
    [[], '127.0.0.1'],
    [['10.0.0.0/8'], '127.0.0.1'],
    [['127.0.0.0/8'], '203.0.113.9'],
    [['127.0.0.1', '203.0.113.0/24'], '198.51.100.7'],
  ] as const) {
    const issuer = await buildIssuer(t, { rules: { trustedProxies } })
    const { email, password } = await issuer.register()
    const { body } = await issuer.call('POST', '/auth/login', { json: { email, password }, headers })
    const { body: listed } = await issuer.call('GET', '/auth/sessions', { token: body.access_token })
    t.equal(listed.sessions[0].address, address, trustedProxies.join())
  }
})

test('one of the own sessions can be ended from another', async (t) => {
  const issuer = await buildIssuer(t)
  const user = await issuer.register()
  const [here, there] = [await issuer.login(user), await issuer.login(user)]
  const { sid, sub } = claimsOf(there.access_token)
  const answer = await issuer.call('DELETE', `/auth/sessions/${sid}`, { token: here.access_token })
  t.match(answer, { status: 200, body: { invalidated_tokens: 1, propagated: true } })
  t.equal(cookieOf(answer), undefined, 'the own cookie stays')
  t.match(issuer.events, [{ revocation: { kind: 'session', sid, sub } }])
  t.equal((await issuer.call('POST', '/auth/refresh', { json: { refresh_token: there.refresh_token } })).status, 401)
  t.equal((await issuer.call('GET', '/users/me', { token: there.access_token })).status, 401)
  t.equal((await issuer.call('GET', '/users/me', { token: here.access_token })).status, 200)
  t.equal((await issuer.call('DELETE', `/auth/sessions/${sid}`, { token: here.access_token })).status, 404, 'once')
  const own = await issuer.call('DELETE', `/auth/sessions/${claimsOf(here.access_token).sid}`, {
    token: here.access_token,
  })
  t.equal(cookieOf(own), '', 'the session that asks takes its cookie with it')
})

test('the sessions of others are not there', async (t) => {
  const issuer = await buildIssuer(t)
  const [mine, theirs] = [await issuer.login(await issuer.register()), await issuer.login(await issuer.register())]
  const { sid } = claimsOf(theirs.access_token)
  for (const id of [sid, sid.toUpperCase(), crypto.randomUUID(), 'x', '*', '%00', '..%2f', '{a}']) {
    const { status, body } = await issuer.call('DELETE', `/auth/sessions/${id}`, { token: mine.access_token })
    t.match({ status, code: body.code }, { status: 404, code: 'not_found' }, id)
  }
  t.equal((await issuer.call('GET', '/users/me', { token: theirs.access_token })).status, 200)
  t.same(issuer.events, [])
})

test('sessions that have ended are not listed', async (t) => {
  const issuer = await buildIssuer(t)
  const user = await issuer.register()
  await issuer.login(user)
  issuer.clock.advance(14 * DAY_MS)
  const dead = await issuer.login(user)
  await issuer.parts.users.raiseEpoch(user.id)
  const { access_token } = await issuer.login(user)
  const { body } = await issuer.call('GET', '/auth/sessions', { token: access_token })
  t.same(
    body.sessions.map(({ sid }: { sid: string }) => sid),
    [claimsOf(access_token).sid],
    'neither the one that was not used nor that of an earlier epoch',
  )
  t.not(claimsOf(dead.access_token).sid, claimsOf(access_token).sid)
})
