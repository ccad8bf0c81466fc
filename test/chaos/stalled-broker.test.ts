import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Test, test } from 'tap'
import { LEEWAY_S } from '../../shared/clock.ts'
import { call, login, logout, register, statusThrough } from '../helpers/client.ts'
import { type Running, ready, startDeployment } from '../helpers/deployment.ts'
import { eventually } from '../helpers/eventually.ts'
import { createLongLivedService, type LongLivedKind, openLongLived } from '../helpers/long-lived.ts'
import { missingProduction, productionServers } from '../helpers/production.ts'
import { startRecordingUpstream } from '../helpers/recording-upstream.ts'
import { serve } from '../helpers/serve.ts'
import { temporaryFolder } from '../helpers/temporary-folder.ts'
import { startKafka } from '../servers/kafka.ts'
import type { Server } from '../servers/server.ts'

/**
 * The one that falls back has to be fresh all the time, so this is how long it may take: the last heartbeat is up to a
 * second old, a second later Kafka counts as behind, and then the stream is opened. The rest is for a busy machine.
 */
const MAX_STALENESS_MS = 6000
const BOUND_MS = MAX_STALENESS_MS + LEEWAY_S * 1000
const KINDS: LongLivedKind[] = ['websocket', 'events']

/** One route that is served whatever is known, and those of what stays open. */
const routesTo = (longLived: string) => [
  { name: 'open', path: '/open', staleness: 'open' },
  ...KINDS.map((kind) => ({ path: `/${kind}`, upstream: longLived })),
]

interface Observed {
  /** When the request began, and when it was answered: milliseconds since the Unix epoch. */
  beganAt: number
  endedAt: number
  status: number
  retryAfter: number
}

/** Asks without a break, one request after the other, until it is told to stop. */
function watch({ url }: Running, token: string): { seen: Observed[]; stop(): Promise<Observed[]> } {
  const seen: Observed[] = []
  let stopped = false
  const ask = async () => {
    while (!stopped) {
      const beganAt = Date.now()
      const { status, headers } = await call(`${url}/`, { token })
      seen.push({ beganAt, endedAt: Date.now(), status, retryAfter: Number(headers['retry-after']) })
    }
  }
  const asking = ask()
  return {
    seen,
    async stop() {
      stopped = true
      await asking
      return seen
    },
  }
}

/** Opens one of each kind. @returns the codes with which they end, and when the last one does */
async function openEach(t: Test, { url }: Running, token: string) {
  const all = await Promise.all(KINDS.map((kind) => openLongLived(url, kind, token)))
  t.teardown(() => {
    for (const one of all) one.destroy()
  })
  const ends = Promise.all(all.map(({ ended }) => ended))
  return {
    areOpen: () => all.every((one) => one.isOpen()),
    codes: async () => (await ends).map(({ code }) => code),
    endedAt: async () => performance.timeOrigin + Math.max(...(await ends).map(({ atMs }) => atMs)),
  }
}

/** A broker of its own, an issuer, a sidecar that has Kafka alone, and one with the issuer's stream to fall back on. */
async function start(t: Test) {
  const kafka = await startKafka()
  t.teardown(() => kafka.stop())
  const upstream = await startRecordingUpstream(t)
  const folder = temporaryFolder(t)
  const routes = join(folder, 'routes.yaml')
  writeFileSync(routes, JSON.stringify({ routes: routesTo(await serve(t, createLongLivedService().server)) }))
  const deployment = await startDeployment(t, {
    ...(await productionServers()),
    kafka: kafka.url,
    upstream: upstream.url,
    sidecars: 0,
    env: {
      MAX_STALENESS: `${MAX_STALENESS_MS}ms`,
      FEED_FALLBACK_AFTER: '1s',
      ROUTES_FILE: routes,
      DATA_DIR: folder,
    },
  })
  const alone = () => deployment.startSidecar({ FEED_TOKEN: '' })
  return { kafka, deployment, alone, issuer: deployment.issuers[0]!.url }
}

async function metricOf({ adminUrl }: Running, name: string): Promise<number> {
  const text = String((await call(`${adminUrl}/metrics`)).body.text)
  return Number(new RegExp(`^${name}(?:\\{.*\\})? (\\S+)$`, 'm').exec(text)?.[1] ?? Number.NaN)
}

/** What one outage is about: how it begins and ends, and what else is looked at while it lasts. */
interface Outage {
  name: string
  begin(kafka: Server): unknown
  end(kafka: Server): unknown
  meanwhile?(): Promise<unknown>
}

test('a broker that hangs, and one that is gone: nothing is accepted after the bound, until it is back', {
  skip: missingProduction,
  timeout: 300_000,
}, async (t) => {
  const place = await start(t)
  const { deployment, alone } = place
  const [sidecar, fallingBack] = [await alone(), await deployment.startSidecar()]
  await Promise.all([ready(sidecar.adminUrl), ready(fallingBack.adminUrl)])
  const among = { ...place, sidecar, fallingBack }
  await endure(t, among, { name: 'hangs (SIGSTOP)', begin: (kafka) => kafka.pause(), end: (kafka) => kafka.resume() })
  await eventually(async () => (await metricOf(fallingBack, 'revocation_feed_stream_open')) === 0, { within: 60_000 })
  let finish = async () => {}
  await endure(t, among, {
    name: 'is gone (SIGKILL)',
    begin: (kafka) => kafka.kill(),
    meanwhile: async () => {
      finish = await startWithout(t, place)
    },
    end: (kafka) => kafka.start(),
  })
  await finish()
})

type Place = Awaited<ReturnType<typeof start>>

async function endure(
  t: Test,
  { kafka, issuer, sidecar, fallingBack }: Place & { sidecar: Running; fallingBack: Running },
  outage: Outage,
) {
  const credentials = await register(issuer)
  const [kept, before, meanwhile] = await Promise.all([1, 2, 3].map(() => login(issuer, credentials)))
  t.match(await logout(issuer, before!.access_token), { status: 200, body: { propagated: true } })
  await eventually(async () => (await statusThrough(sidecar.url, before!.access_token)) === 401)
  await eventually(async () => (await statusThrough(sidecar.url, kept!.access_token)) === 200)

  const open = {
    kept: await openEach(t, sidecar, kept!.access_token),
    meanwhile: await openEach(t, sidecar, meanwhile!.access_token),
    keptWithFallback: await openEach(t, fallingBack, kept!.access_token),
    meanwhileWithFallback: await openEach(t, fallingBack, meanwhile!.access_token),
  }
  const watching = { kept: watch(sidecar, kept!.access_token), meanwhile: watch(sidecar, meanwhile!.access_token) }
  await outage.begin(kafka)
  const stalledAt = Date.now()
  const answer = await logout(issuer, meanwhile!.access_token)
  const answeredAt = Date.now()
  t.match(answer, { status: 202, body: { propagated: false } }, `the broker ${outage.name}: the answer tells the truth`)

  // The one with a fallback goes on, and knows.
  await eventually(async () => (await statusThrough(fallingBack.url, meanwhile!.access_token)) === 401, {
    within: 60_000,
    message: 'the stream of the issuer tells of it',
  })
  t.equal(await metricOf(fallingBack, 'revocation_feed_stream_open'), 1)
  t.same(await open.meanwhileWithFallback.codes(), [4401, 0], 'and ends what is open')

  const late = () => watching.kept.seen.filter(({ beganAt }) => beganAt >= stalledAt + BOUND_MS)
  await eventually(() => late().length >= 200, { within: 60_000, message: 'requests after the bound' })
  await eventually(async () => (await statusThrough(fallingBack.url, kept!.access_token)) === 200, {
    message: 'it serves while the other one refuses',
  })
  for (const those of [open.kept, open.meanwhile]) {
    t.same(await those.codes(), [1013, 0], 'nothing stays open where nobody can tell who was logged out')
  }
  t.ok(open.keptWithFallback.areOpen())
  await whileStale(t, sidecar, { kept: kept!.access_token, revoked: before!.access_token })
  await outage.meanwhile?.()

  const endedAt = Date.now()
  await outage.end(kafka)
  await eventually(async () => (await statusThrough(sidecar.url, kept!.access_token)) === 200, { within: 60_000 })
  await eventually(async () => (await statusThrough(sidecar.url, meanwhile!.access_token)) === 401, { within: 60_000 })
  const [seen, ended] = await Promise.all([watching.kept.stop(), watching.meanwhile.stop()])

  const duringOutage = seen.filter((one) => one.beganAt >= stalledAt + BOUND_MS && one.endedAt < endedAt)
  t.same([...new Set(duringOutage.map(({ status }) => status))], [503], 'nothing else after the bound')
  t.ok(
    duringOutage.every(({ retryAfter }) => retryAfter > 0),
    'and says when to come again',
  )
  const accepted = ended.filter(({ beganAt, status }) => beganAt >= answeredAt + BOUND_MS && status === 200)
  t.same(accepted, [], 'what was logged out meanwhile is never accepted again, nor when the broker is back')
  const first = seen.find(({ beganAt, status }) => beganAt >= stalledAt && status !== 200)!
  t.ok(first.beganAt <= duringOutage[0]!.beganAt, 'the first refusal is within the bound')
  t.comment(
    `measured: first refusal ${first.beganAt - stalledAt} ms after the broker ${outage.name}, bound ${BOUND_MS} ms; ` +
      `${duringOutage.length} requests refused after it; what was open ended after ` +
      `${((await open.meanwhile.endedAt()) - stalledAt).toFixed(0)} ms`,
  )
}

/** What holds on a sidecar that can't know: by route, in its metrics, and for what it knows all the same. */
async function whileStale(t: Test, sidecar: Running, { kept, revoked }: { kept: string; revoked: string }) {
  t.match(await call(`${sidecar.url}/`, { token: kept }), { status: 503, body: { code: 'revocations_stale' } })
  t.equal((await call(`${sidecar.adminUrl}/readyz`)).status, 503)
  t.equal(await statusThrough(sidecar.url, kept, '/open'), 200, 'an open route serves')
  t.equal(await statusThrough(sidecar.url, revoked, '/open'), 401, 'but not what is known to be revoked')
  t.equal(await statusThrough(sidecar.url, revoked), 401, 'that is a verdict, not a question of freshness')
  t.ok((await metricOf(sidecar, 'sidecar_stale_requests_total')) >= 1, 'it is counted')
  t.ok((await metricOf(sidecar, 'revocation_feed_age_seconds')) > BOUND_MS / 1000)
  t.ok(
    sidecar.log().some(({ route, level }) => route === 'open' && Number(level) >= 40),
    'and logged',
  )
}

/**
 * Sidecars that start while Kafka is away: without another feed there is no freshness and no service, with the stream of
 * the issuer all of it.
 * @returns looks, once Kafka is back, whether the one without has learnt all it missed
 */
async function startWithout(t: Test, { deployment, alone, issuer }: Place): Promise<() => Promise<void>> {
  const credentials = await register(issuer)
  const [kept, gone] = [await login(issuer, credentials), await login(issuer, credentials)]
  t.match(await logout(issuer, gone.access_token), { status: 202, body: { propagated: false } })
  const [without, withStream] = [await alone(), await deployment.startSidecar()]
  await eventually(async () => (await statusThrough(withStream.url, kept.access_token)) === 200, { within: 60_000 })
  t.equal(await statusThrough(withStream.url, gone.access_token), 401)
  await withStream.stop()

  const watching = { kept: watch(without, kept.access_token), gone: watch(without, gone.access_token) }
  // Its keys are there, so it is the freshness that is missing.
  await eventually(async () => (await statusThrough(without.url, kept.access_token, '/open')) === 200)
  const answer = await call(`${without.url}/`, { token: kept.access_token })
  t.match(answer, { status: 503, body: { code: 'revocations_stale' } })
  t.ok(Number(answer.headers['retry-after']) > 0)
  const { body } = await call<{ checks: { name: string }[] }>(`${without.adminUrl}/readyz`)
  t.match(
    body.checks.filter(({ name }) => name === 'keys' || name === 'revocations'),
    [{ ok: true }, { ok: false, detail: 'incomplete' }],
  )
  await eventually(() => watching.gone.seen.length >= 100, { within: 60_000 })
  t.same([...new Set((await watching.kept.stop()).map(({ status }) => status))], [503])

  return async () => {
    await ready(without.adminUrl)
    await eventually(async () => (await statusThrough(without.url, gone.access_token)) === 401, { within: 60_000 })
    await eventually(async () => (await statusThrough(without.url, kept.access_token)) === 200)
    const seen = await watching.gone.stop()
    t.notOk(
      seen.some(({ status }) => status === 200),
      'what was logged out before it began was never accepted',
    )
  }
}
