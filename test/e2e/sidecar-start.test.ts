import { setTimeout as sleep } from 'node:timers/promises'
import { test } from 'tap'
import { login, logout, register, statusThrough } from '../helpers/client.ts'
import { ready, startDeployment } from '../helpers/deployment.ts'
import { eventually } from '../helpers/eventually.ts'
import { missingProduction, productionServers } from '../helpers/production.ts'
import { startRecordingUpstream } from '../helpers/recording-upstream.ts'

/** Polls without a break until `over` is true. @param seen gets every status that is seen */
async function poll(url: string, token: string, seen: Set<number | string>, over: () => boolean): Promise<void> {
  while (!over()) seen.add(await statusThrough(url, token).catch((error) => String(error.code)))
}

for (const [name, env] of [
  ['with Kafka and the issuer as feeds', {}],
  ['with Kafka alone', { FEED_TOKEN: '' }],
] as const) {
  test(`a sidecar that starts after the logout refuses the token, ${name}`, { skip: missingProduction }, async (t) => {
    const upstream = await startRecordingUpstream(t)
    const servers = await productionServers()
    const deployment = await startDeployment(t, { ...servers, upstream: upstream.url, sidecars: 1, env })
    const issuerUrl = deployment.issuers[0]!.url
    const credentials = await register(issuerUrl)
    const [gone, kept] = [await login(issuerUrl, credentials), await login(issuerUrl, credentials)]
    t.match(await logout(issuerUrl, gone.access_token), { body: { propagated: true } })

    const late = await deployment.startSidecar()
    await ready(late.adminUrl)
    t.equal(await statusThrough(late.url, gone.access_token), 401)
    t.equal(await statusThrough(late.url, kept.access_token), 200)

    // From the first instant at which the port answers until well after readiness: not served once.
    for (let round = 0; round < 3; round++) {
      const restarted = await deployment.sidecars[0]!.restart()
      let over = false
      const seen = [new Set<number | string>(), new Set<number | string>(), new Set<number | string>()]
      const polling = seen.map((statuses) => poll(restarted.url, gone.access_token, statuses, () => over))
      await ready(restarted.adminUrl)
      await eventually(() => seen.every((statuses) => statuses.has(401)), { message: 'refused once it knows' })
      await sleep(300)
      over = true
      await Promise.all(polling)
      const all = new Set(seen.flatMap((statuses) => [...statuses]))
      t.notOk(all.has(200), `never served, only ${[...all].join(' and ')}`)
      t.equal(await statusThrough(restarted.url, kept.access_token), 200, 'a live session is served')
      deployment.sidecars[0] = restarted
    }
  })
}

test('what was revoked before there was Kafka is refused by a sidecar that has Kafka alone', {
  skip: missingProduction,
}, async (t) => {
  const upstream = await startRecordingUpstream(t)
  const servers = await productionServers()
  const deployment = await startDeployment(t, { ...servers, upstream: upstream.url, issuers: 0, sidecars: 0 })
  const before = await deployment.startIssuer({ KAFKA_BROKERS: '' })
  await ready(before.url)
  const { access_token: token } = await login(before.url, await register(before.url))
  t.match(await logout(before.url, token), { body: { propagated: true } }, 'the ledger was the log then')
  await before.stop()
  const issuer = await deployment.startIssuer()
  await ready(issuer.url)
  const sidecar = await deployment.startSidecar({ FEED_TOKEN: '', ISSUER_INTERNAL_URL: issuer.url })
  await ready(sidecar.adminUrl)
  t.equal(await statusThrough(sidecar.url, token), 401)
})
