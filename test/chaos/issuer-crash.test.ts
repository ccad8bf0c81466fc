import { test } from 'tap'
import { claimsOf, login, logout, refresh, register, statusThrough } from '../helpers/client.ts'
import { ready, startDeployment } from '../helpers/deployment.ts'
import { eventually } from '../helpers/eventually.ts'
import { type FaultProxy, startFaultProxy } from '../helpers/fault-proxy.ts'
import { missingProduction, productionServers } from '../helpers/production.ts'
import { startRecordingUpstream } from '../helpers/recording-upstream.ts'
import { startKafka } from '../servers/kafka.ts'

/** The shortest time after which an issuer gives up waiting for a store. */
const STORE_TIMEOUT_MS = 1000

const portOf = (url: string) => Number(new URL(url).port)

/** The same address, reached through the proxy. */
function through(proxy: FaultProxy, url: string): string {
  const address = new URL(url)
  address.port = String(proxy.port)
  return address.href
}

/**
 * Every place where an issuer can die on a logout's way: what is seen on the wire just before it, and what has to
 * hold afterwards.
 */
const STEPS: { name: string; store: 'mongo' | 'redis'; sees: string[]; promised: boolean; answered?: boolean }[] = [
  { name: 'before the ledger has the entry', store: 'mongo', sees: ['$replaceWith'], promised: false },
  {
    name: 'with the entry in the ledger and the session still there',
    store: 'redis',
    sees: ['session:{'],
    promised: true,
  },
  {
    name: 'with the event acknowledged and the entry not marked',
    store: 'mongo',
    sees: ['$currentDate', 'publishedAt'],
    promised: true,
    answered: true,
  },
]

for (const step of STEPS) {
  test(`kill -9 of the issuer ${step.name}`, { skip: missingProduction }, async (t) => {
    const servers = await productionServers()
    const upstream = await startRecordingUpstream(t)
    const deployment = await startDeployment(t, { ...servers, upstream: upstream.url, issuers: 1, sidecars: 1 })
    const [healthy, sidecar] = [deployment.issuers[0]!, deployment.sidecars[0]!]
    const proxies = {
      mongo: await startFaultProxy(portOf(servers.mongo)),
      redis: await startFaultProxy(portOf(servers.redis)),
    }
    t.teardown(() => Promise.all(Object.values(proxies).map((proxy) => proxy.close())))
    const doomed = await deployment.startIssuer({
      MONGO_URL: through(proxies.mongo, deployment.env.MONGO_URL!),
      REDIS_URL: through(proxies.redis, deployment.env.REDIS_URL!),
      // Its own outbox would mark what the logout should: for this test only the logout's own steps are of interest.
      HEARTBEAT_INTERVAL: '30s',
    })
    // Until it is connected to the broker, a logout has no event to send.
    await ready(doomed.url)
    const credentials = await register(healthy.url)
    const { access_token: token, refresh_token: refreshToken } = await login(doomed.url, credentials)
    const bystander = await login(healthy.url, credentials)
    t.equal(await statusThrough(sidecar.url, token), 200)

    const { sid } = claimsOf(token)
    const held = proxies[step.store].holdAt((bytes) => {
      const text = bytes.toString('latin1')
      return [...step.sees, sid].every((part) => text.includes(part))
    })
    const began = performance.now()
    const answer = logout(doomed.url, token).catch((error: Error) => error)
    await held
    // The mark and the answer are on their way at once, and the mark can be here first.
    if (step.answered) await answer
    const stopping = doomed.stop('SIGKILL')
    const tookMs = performance.now() - began
    await stopping
    const outcome = await answer
    if (step.answered) t.match(outcome, { status: 200, body: { propagated: true } }, 'the client got its answer')
    // Unless this process, and with it the proxy, stood still for so long that the issuer went on without Redis.
    else t.ok(outcome instanceof Error || tookMs >= STORE_TIMEOUT_MS, 'the client got no answer')

    if (!step.promised) {
      t.equal(await statusThrough(sidecar.url, token), 200, 'nothing was promised and nothing has happened')
      t.equal((await logout(healthy.url, token)).body.propagated, true, 'the client tries again')
    }
    await eventually(async () => (await statusThrough(sidecar.url, token)) === 401, { message: 'refused' })
    t.equal((await refresh(healthy.url, refreshToken)).status, 401, 'the session is over')
    t.equal(await statusThrough(sidecar.url, bystander.access_token), 200, 'the other session lives')
    t.equal((await refresh(healthy.url, bystander.refresh_token)).status, 200)
  })
}

test('kill -9 of the issuer with the session gone and the event on its way to the broker', {
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
    sidecars: 1,
    env: { FEED_TOKEN: '', PUBLISH_TIMEOUT: '1s' },
  })
  const [doomed, healthy] = [deployment.issuers[0]!, deployment.issuers[1]!]
  const { access_token: token, refresh_token: refreshToken } = await login(doomed.url, await register(doomed.url))
  const sidecar = deployment.sidecars[0]!
  t.equal(await statusThrough(sidecar.url, token), 200)
  kafka.pause()
  const answer = await logout(doomed.url, token)
  t.match(answer, { status: 202, body: { propagated: false } }, 'the answer tells the truth')
  await doomed.stop('SIGKILL')
  t.equal((await refresh(healthy.url, refreshToken)).status, 401, 'the session is over at once')
  kafka.resume()
  await eventually(async () => (await statusThrough(sidecar.url, token)) === 401, {
    within: 60_000,
    message: 'refused',
  })
})
