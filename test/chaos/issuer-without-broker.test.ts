import { test } from 'tap'
import { claimsOf, login, logout, register, statusThrough } from '../helpers/client.ts'
import { startDeployment } from '../helpers/deployment.ts'
import { eventually } from '../helpers/eventually.ts'
import { freePort } from '../helpers/port.ts'
import { missingProduction, productionServers } from '../helpers/production.ts'
import { startRecordingUpstream } from '../helpers/recording-upstream.ts'
import { readTopic } from '../helpers/topic.ts'

test('an issuer that cannot publish while another can', { skip: missingProduction }, async (t) => {
  const servers = await productionServers()
  const upstream = await startRecordingUpstream(t)
  const deployment = await startDeployment(t, {
    ...servers,
    upstream: upstream.url,
    issuers: 1,
    sidecars: 1,
    env: { FEED_TOKEN: '', PUBLISH_TIMEOUT: '1s' },
  })
  const sidecar = deployment.sidecars[0]!
  const cutOff = await deployment.startIssuer({ KAFKA_BROKERS: `127.0.0.1:${await freePort()}` })
  const credentials = await register(cutOff.url)
  const logoutsAt = new Map<string, number>()
  for (let round = 0; round < 8; round++) {
    const { access_token: token } = await login(cutOff.url, credentials)
    t.equal(await statusThrough(sidecar.url, token), 200)
    const answer = await logout(cutOff.url, token)
    logoutsAt.set(claimsOf(token).sid, Date.now())
    t.match(answer, { status: 202, body: { propagated: false } })
    await eventually(async () => (await statusThrough(sidecar.url, token)) === 401, {
      message: 'published by whoever can',
    })
  }
  const { env } = deployment
  const events = await readTopic(servers.kafka, env.KAFKA_TOPIC!, env.ISSUER_URL!)
  const arrived = new Set<string>()
  let heartbeats = 0
  for (const event of events) {
    if (event.type === 'revocation' && event.revocation.kind === 'session') arrived.add(event.revocation.sid)
    if (event.type !== 'heartbeat') continue
    heartbeats++
    for (const [sid, answeredAt] of logoutsAt) {
      if (answeredAt < event.completeUntilMs && !arrived.has(sid))
        t.fail(`a heartbeat claims completeness without ${sid}`)
    }
  }
  t.equal(arrived.size, logoutsAt.size, 'every entry was published')
  t.ok(heartbeats > 3, `${heartbeats} heartbeats were held against ${logoutsAt.size} logouts`)
})
