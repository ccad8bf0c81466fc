import { test } from 'tap'
import { call, login, logout, register, statusThrough } from '../helpers/client.ts'
import { ready, startDeployment } from '../helpers/deployment.ts'
import { eventually } from '../helpers/eventually.ts'
import { freePort } from '../helpers/port.ts'
import { missingProduction, productionServers } from '../helpers/production.ts'
import { startRecordingUpstream } from '../helpers/recording-upstream.ts'

const [OLD, NEW] = ['the old token of the feed', 'the new token of the feed'] as const

// The steps of docs/operations.md. Without Kafka, so that the credential is all that sidecars hear by.
test('FEED_TOKEN is changed while logouts go on reaching every sidecar', {
  skip: missingProduction,
  timeout: 300_000,
}, async (t) => {
  const { mongo, redis } = await productionServers()
  const upstream = await startRecordingUpstream(t)
  // The port on which each issuer follows the one before, and which nobody else may take meanwhile.
  const env = { FEED_TOKEN: OLD, ISSUER_PORT: String(await freePort()) }
  const deployment = await startDeployment(t, { mongo, redis, upstream: upstream.url, env, sidecars: 0 })
  let issuer = deployment.issuers[0]!
  const credentials = await register(issuer.url)

  const restartIssuer = async (FEED_TOKEN: string) => {
    await issuer.stop()
    issuer = await deployment.startIssuer({ FEED_TOKEN })
    await ready(issuer.url)
  }
  const startSidecar = async (FEED_TOKEN: string) => {
    const sidecar = await deployment.startSidecar({ FEED_TOKEN })
    await ready(sidecar.adminUrl)
    return sidecar
  }
  const hearsOfLogouts = async (sidecar: { url: string; adminUrl: string }, message: string) => {
    const { access_token: token } = await login(issuer.url, credentials)
    await eventually(async () => (await statusThrough(sidecar.url, token)) === 200, { within: 60_000, message })
    t.match(await logout(issuer.url, token), { status: 200 })
    await eventually(async () => (await statusThrough(sidecar.url, token)) === 401, { within: 60_000, message })
  }

  const before = await startSidecar(OLD)
  await hearsOfLogouts(before, 'at first')
  await restartIssuer(`${NEW},${OLD}`)
  await hearsOfLogouts(before, 'one that has the old credential still')
  const after = await startSidecar(NEW)
  const both = await startSidecar(`${NEW},${OLD}`)
  for (const sidecar of [before, after, both]) await hearsOfLogouts(sidecar, 'old and new beside each other')
  await restartIssuer(NEW)
  for (const sidecar of [after, both]) await hearsOfLogouts(sidecar, 'the new one alone')
  const feedAge = async () => {
    const { text } = (await call<{ text: string }>(`${before.adminUrl}/metrics`)).body
    return Number(/^revocation_feed_age_seconds (\S+)$/m.exec(text)?.[1])
  }
  const isLeftOut = async () =>
    (await feedAge()) > 5 &&
    before.log().some(({ msg }) => msg === 'the stream of the issuer cannot be read; trying on')
  await eventually(isLeftOut, { within: 60_000, message: 'the old credential is worth nothing any more' })
})
