import fc from 'fast-check'
import { test } from 'tap'
import { call, claimsOf, login, logout, PASSWORD, refresh, register, statusThrough } from '../helpers/client.ts'
import { startDeployment } from '../helpers/deployment.ts'
import { eventually } from '../helpers/eventually.ts'
import { missingProduction, productionServers } from '../helpers/production.ts'
import { startRecordingUpstream } from '../helpers/recording-upstream.ts'

test('refreshing from many sides at once, on Redis and MongoDB', { skip: missingProduction }, async (t) => {
  const upstream = await startRecordingUpstream(t)
  const deployment = await startDeployment(t, { ...(await productionServers()), upstream: upstream.url, issuers: 2 })
  const [first, second] = [deployment.issuers[0]!.url, deployment.issuers[1]!.url]
  const sidecar = deployment.sidecars[0]!.url
  const credentials = await register(first)
  const either = (i: number) => (i % 2 ? first : second)

  await t.test('100 parallel refreshes of one token: one successor, nobody logged out', async (t) => {
    const { refresh_token: token } = await login(first, credentials)
    const answers = await Promise.all(Array.from({ length: 100 }, (_, i) => refresh(either(i), token)))
    t.same([...new Set(answers.map(({ status }) => status))], [200])
    const successors = new Set(answers.map(({ body }) => body.refresh_token))
    t.equal(successors.size, 1, 'one successor')
    t.equal((await refresh(second, [...successors][0]!)).status, 200, 'which works')
    for (const { body } of answers.slice(0, 5)) t.equal(await statusThrough(sidecar, body.access_token), 200)
  })

  await t.test('a used-up token: stolen, so the session ends everywhere and nobody else is hurt', async (t) => {
    const [victim, bystander] = [await login(first, credentials), await login(second, credentials)]
    const next = await refresh(first, victim.refresh_token)
    const afterNext = await refresh(second, next.body.refresh_token)
    t.equal(afterNext.status, 200)
    t.equal((await refresh(first, victim.refresh_token)).status, 401, 'two rotations old')
    t.equal((await refresh(second, afterNext.body.refresh_token)).status, 401, 'the newest is dead as well')
    await eventually(async () => (await statusThrough(sidecar, afterNext.body.access_token)) === 401, {
      message: 'refused',
    })
    t.equal(await statusThrough(sidecar, bystander.access_token), 200)
    t.equal((await refresh(first, bystander.refresh_token)).status, 200)
  })

  await t.test('a garbled token hurts nobody', async (t) => {
    const { refresh_token: token } = await login(first, credentials)
    await fc.assert(
      fc.asyncProperty(fc.nat(token.length - 1), fc.constantFrom(...'AZaz09-_'), async (at, letter) => {
        fc.pre(token[at] !== letter)
        const garbled = token.slice(0, at) + letter + token.slice(at + 1)
        return (await refresh(either(at), garbled)).status === 401
      }),
      { numRuns: 60 },
    )
    t.equal((await refresh(first, token)).status, 200, 'the session is untouched')
  })

  await t.test('logout racing refresh: after the answer nothing survives', async (t) => {
    for (let round = 0; round < 15; round++) {
      const start = await login(first, credentials)
      const racing = Array.from({ length: 8 }, (_, i) => refresh(either(i), start.refresh_token))
      const ended = await logout(either(round), start.access_token)
      t.ok(ended.status < 300, `logout ${round}`)
      const answers = await Promise.all(racing)
      const tokens = [start, ...answers.filter(({ status }) => status === 200).map(({ body }) => body)]
      for (const { refresh_token: token } of tokens) {
        const status = (await refresh(either(round + 1), token)).status
        if (status !== 401) t.fail(`a refresh token survived: ${status}`)
      }
      for (const { access_token: token } of tokens) {
        await eventually(async () => (await statusThrough(sidecar, token)) === 401, { message: 'refused' })
      }
    }
  })

  await t.test('two credentials of two people: refused, and nobody is logged out', async (t) => {
    const [mine, theirs] = [await login(first, credentials), await login(first, await register(second))]
    const answer = await call(`${first}/auth/logout`, {
      json: { refresh_token: theirs.refresh_token },
      token: mine.access_token,
    })
    t.match(answer, { status: 400, body: { code: 'credentials_conflict' } })
    for (const { access_token: token, refresh_token: refreshToken } of [mine, theirs]) {
      t.equal(await statusThrough(sidecar, token), 200)
      t.equal((await refresh(second, refreshToken)).status, 200)
    }
  })

  await t.test("logging in while holding somebody else's session touches neither", async (t) => {
    const theirs = await login(first, await register(second))
    const answer = await call<{ access_token: string }>(`${first}/auth/login`, {
      json: { email: credentials.email, password: PASSWORD },
      headers: { cookie: `__Host-refresh_token=${theirs.refresh_token}; refresh_token=${theirs.refresh_token}` },
    })
    t.equal(answer.status, 200)
    t.not(claimsOf(answer.body.access_token).sid, claimsOf(theirs.access_token).sid, 'no session fixation')
    t.equal((await refresh(first, theirs.refresh_token)).status, 200)
  })
})
