import { test } from 'tap'
import { claimsOf, login, logout, register, statusThrough } from '../helpers/client.ts'
import { startDeployment } from '../helpers/deployment.ts'
import { eventually } from '../helpers/eventually.ts'
import { missingProduction, productionServers } from '../helpers/production.ts'
import { startRecordingUpstream } from '../helpers/recording-upstream.ts'
import { readTopic } from '../helpers/topic.ts'
import { startKafka } from '../servers/kafka.ts'

const LOGOUTS = 200

test('Kafka stopped during 200 logouts and started again: every revocation arrives', {
  skip: missingProduction,
}, async (t) => {
  const servers = await productionServers()
  const kafka = await startKafka()
  t.teardown(() => kafka.stop())
  const upstream = await startRecordingUpstream(t)
  const deployment = await startDeployment(t, {
    ...servers,
    kafka: kafka.url,
    upstream: upstream.url,
    issuers: 2,
    sidecars: 2,
    // Kafka alone: the issuer's stream would hide the outage.
    // And one user logs in more often than the default limit of sessions allows.
    env: { FEED_TOKEN: '', SESSION_LIMIT: '0' },
  })
  const { issuers, sidecars, env } = deployment
  const credentials = await register(issuers[0]!.url)
  const sessions: { token: string; sid: string }[] = []
  for (let batch = 0; batch < LOGOUTS / 20; batch++) {
    const logins = await Promise.all(Array.from({ length: 20 }, (_, i) => login(issuers[i % 2]!.url, credentials)))
    sessions.push(...logins.map(({ access_token: token }) => ({ token, sid: claimsOf(token).sid })))
  }
  const bystander = await login(issuers[0]!.url, credentials)

  const answers: boolean[] = []
  for (let batch = 0; batch < LOGOUTS / 20; batch++) {
    if (batch === 3) await kafka.kill()
    const part = sessions.slice(batch * 20, batch * 20 + 20)
    const outcomes = await Promise.all(part.map(({ token }, i) => logout(issuers[i % 2]!.url, token)))
    for (const { status, body } of outcomes) {
      if (status !== (body.propagated ? 200 : 202)) t.fail(`logout answered ${status}: ${JSON.stringify(body)}`)
      answers.push(body.propagated)
    }
  }
  t.equal(answers.length, LOGOUTS, 'every logout was answered')
  t.equal(answers.slice(0, 60).every(Boolean), true, 'before the outage: propagated')
  t.equal(answers.slice(60).some(Boolean), false, 'during it no answer claims propagation')

  await kafka.start()
  const started = performance.now()
  for (const sidecar of sidecars) {
    for (const { token } of sessions) {
      await eventually(async () => (await statusThrough(sidecar.url, token)) === 401, {
        within: 60_000,
        message: 'refused',
      })
    }
    await eventually(async () => (await statusThrough(sidecar.url, bystander.access_token)) === 200, { within: 60_000 })
  }
  t.comment(
    `measured: all ${LOGOUTS} refused on both sidecars ${Math.round(performance.now() - started)} ms after the broker was back`,
  )

  const events = await readTopic(kafka.url, env.KAFKA_TOPIC!, env.ISSUER_URL!)
  const published = new Map<string, number>()
  for (const event of events) {
    if (event.type !== 'revocation' || event.revocation.kind !== 'session') continue
    published.set(event.revocation.sid, (published.get(event.revocation.sid) ?? 0) + 1)
  }
  t.same([...published.keys()].sort(), sessions.map(({ sid }) => sid).sort(), 'each is in the topic, and nothing else')
  t.comment(
    `measured: ${[...published.values()].filter((times) => times > 1).length} of them more than once, which harms nobody`,
  )
})
