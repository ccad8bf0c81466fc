import { test } from 'tap'
import { login, logout, register, statusThrough } from '../helpers/client.ts'
import { ready, startRole } from '../helpers/deployment.ts'
import { eventually } from '../helpers/eventually.ts'
import { createLongLivedService, type LongLivedKind, openLongLived, openMany } from '../helpers/long-lived.ts'
import { serve } from '../helpers/serve.ts'
import { temporaryFolder } from '../helpers/temporary-folder.ts'

/** For each kind. `npm run bench:soak` has 5,000 of each. */
const COUNT = 1000
const DEVICES = 5

test(`${COUNT} WebSockets and ${COUNT} event streams of one user end with a logout of all devices`, {
  timeout: 300_000,
}, async (t) => {
  const { server, closeCodes } = createLongLivedService()
  const service = await serve(t, server)
  const common = {
    FEED_TOKEN: 'a feed token that only the tests know',
    DATA_DIR: temporaryFolder(t),
    LOG_LEVEL: 'info',
  }
  const issuer = await startRole(t, 'issuer', {
    ...common,
    ISSUER_URL: 'http://issuer.example',
    ISSUER_PORT: '0',
    HASH_MEMORY_KIB: '7168',
    HASH_TIME: '5',
    RATE_LIMITS: 'off',
  })
  const sidecar = await startRole(t, 'sidecar', {
    ...common,
    ISSUER_URL: 'http://issuer.example',
    ISSUER_INTERNAL_URL: issuer.url,
    SIDECAR_PORT: '0',
    SIDECAR_ADMIN_PORT: '0',
    UPSTREAM: service,
  })
  await ready(sidecar.adminUrl)
  const [mine, others] = [await register(issuer.url), await register(issuer.url)]
  const devices = await Promise.all(Array.from({ length: DEVICES }, () => login(issuer.url, mine)))
  const bystander = await login(issuer.url, others)

  const kindOf = (n: number): LongLivedKind => (n % 2 ? 'websocket' : 'events')
  const kept = await openMany(20, (n) => openLongLived(sidecar.url, kindOf(n), bystander.access_token))
  const all = await openMany(2 * COUNT, (n) =>
    openLongLived(sidecar.url, kindOf(n), devices[Math.floor(n / 2) % DEVICES]!.access_token),
  )
  t.teardown(() => {
    for (const one of [...all, ...kept]) one.destroy()
  })
  t.equal(all.filter((one) => one.isOpen()).length, 2 * COUNT)

  t.match(await logout(issuer.url, devices[0]!.access_token, { all: true }), { status: 200 })
  const answeredAt = performance.now()
  const ends = await Promise.all(all.map(({ ended }) => ended))
  const codes = (kind: LongLivedKind) => new Set(ends.filter((_, i) => all[i]!.kind === kind).map(({ code }) => code))
  t.same([...codes('websocket')], [4401])
  t.same([...codes('events')], [0])
  await eventually(() => closeCodes.get(4401) === COUNT, { within: 60_000, message: 'the service has the same code' })
  t.same([...closeCodes], [[4401, COUNT]])
  t.comment(`measured: ${(Math.max(...ends.map(({ atMs }) => atMs)) - answeredAt).toFixed(0)} ms from logout's answer`)

  t.ok(kept.every((one) => one.isOpen()))
  // A bystander's connections are those that are left, on both sides.
  await eventually(
    async () => {
      const left = await new Promise<number>((done) => server.getConnections((_, count) => done(count)))
      return left === kept.length
    },
    { within: 60_000 },
  )
  t.equal(await statusThrough(sidecar.url, devices[1]!.access_token), 401)
})
