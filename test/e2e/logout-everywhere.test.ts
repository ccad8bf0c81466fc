import { test } from 'tap'
import { claimsOf, login, logout, refresh, register, statusThrough } from '../helpers/client.ts'
import { startDeployment } from '../helpers/deployment.ts'
import { missingProduction, productionServers } from '../helpers/production.ts'
import { startRecordingUpstream } from '../helpers/recording-upstream.ts'

const ROUNDS = 40

test('log in, be served, log out, be refused everywhere: 2 issuers, 3 sidecars, real Kafka', {
  skip: missingProduction,
}, async (t) => {
  const upstream = await startRecordingUpstream(t)
  const deployment = await startDeployment(t, {
    ...(await productionServers()),
    upstream: upstream.url,
    issuers: 2,
    sidecars: 3,
  })
  const { issuers, sidecars } = deployment
  const credentials = await register(issuers[0]!.url)
  const timesMs: number[] = []

  for (let round = 0; round < ROUNDS; round++) {
    const [here, there] = round % 2 ? [issuers[0]!, issuers[1]!] : [issuers[1]!, issuers[0]!]
    const { access_token: token, refresh_token: refreshToken } = await login(here.url, credentials)
    for (const sidecar of sidecars) {
      const status = await statusThrough(sidecar.url, token)
      if (status !== 200) t.fail(`served before the logout, not ${status}`)
    }
    const answer = await logout(there.url, token)
    const answeredAt = performance.now()
    t.match(answer, { status: 200, body: { invalidated_tokens: 1, propagated: true } }, `logout ${round}`)
    const times = await Promise.all(
      sidecars.map(async ({ url }) => {
        while ((await statusThrough(url, token)) === 200) {
          if (performance.now() - answeredAt > 20_000) throw new Error('still served 20 s after the logout')
        }
        return performance.now() - answeredAt
      }),
    )
    timesMs.push(...times)
    // The refusal is for good, and the session is gone at both issuers.
    for (const { url } of sidecars) t.equal(await statusThrough(url, token), 401)
    for (const { url } of issuers) t.equal((await refresh(url, refreshToken)).status, 401)
  }

  timesMs.sort((a, b) => a - b)
  const quantile = (q: number) => timesMs[Math.min(timesMs.length - 1, Math.floor(q * timesMs.length))]!.toFixed(1)
  t.comment(
    `measured: time from logout's answer to refusal, ${timesMs.length} samples, one request's round trip included: ` +
      `p50 ${quantile(0.5)} ms, p90 ${quantile(0.9)} ms, p99 ${quantile(0.99)} ms, max ${quantile(1)} ms`,
  )
})

test('the service sees who asks, and only what the sidecar says of them', { skip: missingProduction }, async (t) => {
  const upstream = await startRecordingUpstream(t)
  const { issuers, sidecars } = await startDeployment(t, { ...(await productionServers()), upstream: upstream.url })
  const credentials = await register(issuers[0]!.url)
  const { access_token: token } = await login(issuers[0]!.url, credentials)
  t.equal(await statusThrough(sidecars[0]!.url, token, '/orders?open=1'), 200)
  const { sub, sid } = claimsOf(token)
  const seen = upstream.requests.at(-1)!
  t.equal(seen.target, '/orders?open=1')
  t.match(seen.headers, {
    'x-user-id': sub,
    'x-session-id': sid,
    'x-user-email': credentials.email,
    'x-user-roles': 'subscriber',
    'x-user-tier': 'free',
  })
  t.notOk(seen.headers.authorization, 'the token stays with the sidecar')
})

test('logging out of everything ends every device, and logging in again in the same second works', {
  skip: missingProduction,
}, async (t) => {
  const upstream = await startRecordingUpstream(t)
  const { issuers, sidecars } = await startDeployment(t, {
    ...(await productionServers()),
    upstream: upstream.url,
    issuers: 2,
  })
  const [first, second] = [issuers[0]!.url, issuers[1]!.url]
  const [mine, others] = [await register(first), await register(first)]
  const bystander = await login(first, others)
  const devices = await Promise.all([first, second, first].map((url) => login(url, mine)))
  const answer = await logout(second, devices[0]!.access_token, { all: true })
  t.match(answer, { status: 200, body: { invalidated_tokens: 3, propagated: true } })
  const again = await login(first, mine)
  for (const device of devices) {
    while ((await statusThrough(sidecars[0]!.url, device.access_token)) === 200);
    t.equal(await statusThrough(sidecars[0]!.url, device.access_token), 401)
    t.equal((await refresh(second, device.refresh_token)).status, 401)
  }
  t.equal(await statusThrough(sidecars[0]!.url, again.access_token), 200, 'the new login holds')
  t.equal((await refresh(second, again.refresh_token)).status, 200)
  t.equal(await statusThrough(sidecars[0]!.url, bystander.access_token), 200, 'nobody else is hurt')
})
