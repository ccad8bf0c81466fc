import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { MongoClient } from 'mongodb'
import { type Test, test } from 'tap'
import { createMongoLedger } from '../../issuer/adapters/mongo/ledger.ts'
import { type Revocation, revocationExpiry, revocationId } from '../../shared/revocation.ts'
import { call, claimsOf, login, register, statusThrough } from '../helpers/client.ts'
import { type Deployment, type Running, startDeployment } from '../helpers/deployment.ts'
import { eventually } from '../helpers/eventually.ts'
import { missingProduction, productionServers } from '../helpers/production.ts'
import { startRecordingUpstream } from '../helpers/recording-upstream.ts'
import { entry } from '../helpers/revocations.ts'

const LIFETIME_S = 300
const RECORD_WITHIN_MS = 30_000

async function start(t: Test, more: { issuers?: number; sidecars?: number } = {}) {
  const upstream = await startRecordingUpstream(t)
  const env = { DIGEST_INTERVAL: '1s' }
  const deployment = await startDeployment(t, { ...(await productionServers()), upstream: upstream.url, env, ...more })
  const client = new MongoClient(deployment.env.MONGO_URL!)
  t.teardown(() => client.close())
  return { ...deployment, db: client.db(), ledger: createMongoLedger(client, client.db()) }
}

async function metricOf({ adminUrl }: Running, name: string): Promise<number> {
  const text = String((await call(`${adminUrl}/metrics`)).body.text)
  const line = text.split('\n').find((one) => one.startsWith(`${name} `))
  return Number(line?.slice(name.length) ?? 0)
}

/** Waits until Kafka is the only feed. */
async function onKafkaAlone({ sidecars }: Pick<Deployment, 'sidecars'>): Promise<void> {
  for (const sidecar of sidecars) {
    await eventually(
      async () =>
        (await metricOf(sidecar, 'revocation_feed_kafka_complete')) === 1 &&
        (await metricOf(sidecar, 'revocation_feed_stream_open')) === 0,
      { within: 60_000, every: 100, message: 'Kafka is the only feed' },
    )
  }
}

test('a revocation that Kafka has lost is found by its digest, and its token refused', {
  skip: missingProduction,
}, async (t) => {
  const { issuers, sidecars, db, ledger } = await start(t, { issuers: 2, sidecars: 2 })
  const credentials = await register(issuers[0]!.url)
  const [lost, kept] = [await login(issuers[0]!.url, credentials), await login(issuers[1]!.url, credentials)]
  await onKafkaAlone({ sidecars })
  const equal = 'revocation_digest_comparisons_total{outcome="equal"}'
  for (const sidecar of sidecars) await eventually(async () => (await metricOf(sidecar, equal)) > 0, { within: 60_000 })

  // A logout of two minutes ago that was acknowledged by the broker and is not there any more.
  const { sid, sub } = claimsOf(lost.access_token)
  const exp = revocationExpiry(Date.now() - 120_000 + RECORD_WITHIN_MS, LIFETIME_S)
  const revocation: Revocation = { kind: 'session', sid, sub, exp }
  // Never to be seen unpublished, not even for an instant.
  await db.collection<{ _id: string }>('ledger').insertOne({
    _id: revocationId(revocation),
    revocation,
    keepUntil: new Date(Date.now() + 600_000),
    at: new Date(),
    published: true,
  } as never)
  t.equal(await ledger.isSessionRevoked(sid), true)

  for (const sidecar of sidecars) {
    await eventually(async () => (await statusThrough(sidecar.url, lost.access_token)) === 401, { within: 60_000 })
    t.equal(await statusThrough(sidecar.url, kept.access_token), 200)
    t.equal(await metricOf(sidecar, 'revocation_digest_mismatches_total'), 1)
    const before = await metricOf(sidecar, equal)
    await eventually(async () => (await metricOf(sidecar, equal)) > before, { within: 60_000, message: 'equal again' })
    t.equal(await metricOf(sidecar, 'revocation_digest_mismatches_total'), 1, 'one snapshot was enough')
    const said = sidecar.log().filter(({ difference }) => difference !== undefined)
    t.match(said, [{ level: 40, difference: 'missing', own: 0, issuers: 1 }])
  }
})

test('revocations on their way are no difference: 20 a second, compared every second', {
  skip: missingProduction,
  timeout: 300_000,
}, async (t) => {
  const { issuers, sidecars, ledger, env } = await start(t, { issuers: 2, sidecars: 2 })
  await onKafkaAlone({ sidecars })
  const users = Array.from({ length: 5 }, () => ({ sub: randomUUID(), epoch: 0 }))
  const until = performance.now() + 60_000
  let recorded = 0
  while (performance.now() < until) {
    const began = performance.now()
    const exp = revocationExpiry(Date.now() + RECORD_WITHIN_MS, LIFETIME_S)
    const user = users[recorded % users.length]!
    const session = (): Revocation => ({ kind: 'session', sid: randomUUID(), sub: randomUUID(), exp })
    const all: Revocation[] = [session(), { kind: 'user', sub: user.sub, epoch: ++user.epoch, exp }]
    // Nobody but the outbox publishes them, up to a second later.
    await ledger.record(all.map(entry))
    recorded += all.length
    await sleep(Math.max(0, 100 - (performance.now() - began)))
  }
  const cut = Math.floor(Date.now() / 1000) - 1
  const digest = await call(`${issuers[0]!.url}/revocations/digest?cut=${cut}`, { token: env.FEED_TOKEN! })
  t.equal(digest.status, 200)
  t.ok(Number(digest.body.count) > 100, `${digest.body.count} of ${recorded} were old enough to be compared`)
  for (const sidecar of sidecars) {
    const equal = await metricOf(sidecar, 'revocation_digest_comparisons_total{outcome="equal"}')
    t.ok(equal > 20, `${equal} comparisons`)
    t.equal(await metricOf(sidecar, 'revocation_digest_mismatches_total'), 0)
    t.equal(await metricOf(sidecar, 'revocation_digest_surplus_total'), 0)
  }
})
