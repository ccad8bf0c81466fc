import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { type Test, test } from 'tap'
import { WebSocket, WebSocketServer } from 'ws'
import { startIssuer } from '../../../issuer/main.ts'
import { createLog } from '../../../shared/log.ts'
import { startSidecar } from '../../../sidecar/main.ts'
import { login, logout, refresh, register, statusThrough } from '../../helpers/client.ts'
import { temporaryFolder } from '../../helpers/temporary-folder.ts'

const log = createLog('test', 'silent')
const TOKEN_MS = 60_000

/** An issuer and a service; the clock of the sidecars goes as fast as it is told to. */
async function start(t: Test) {
  let aheadMs = 0
  const clock = { now: () => Date.now() + aheadMs }
  const common = { FEED_TOKEN: randomBytes(16).toString('hex') }
  const issuer = await startIssuer(
    {
      ...common,
      ISSUER_PORT: '0',
      DATA_DIR: temporaryFolder(t),
      ACCESS_TOKEN_TTL: `${TOKEN_MS}ms`,
      HASH_MEMORY_KIB: '7168',
      HASH_TIME: '5',
    },
    { log },
  )
  t.teardown(issuer.close)
  const service = new WebSocketServer({ port: 0, host: '127.0.0.1' })
  await once(service, 'listening')
  t.teardown(() => {
    for (const socket of service.clients) socket.terminate()
    service.close()
  })
  const credentials = await register(issuer.url)
  return {
    issuer,
    log: () => login(issuer.url, credentials),
    advance(ms: number) {
      aheadMs += ms
    },
    async sidecar(env: Record<string, string>) {
      const sidecar = await startSidecar(
        {
          ...common,
          SIDECAR_PORT: '0',
          SIDECAR_ADMIN_PORT: '0',
          DRAIN_DEADLINE: '0ms',
          DATA_DIR: temporaryFolder(t),
          ISSUER_URL: issuer.url,
          UPSTREAM: `http://127.0.0.1:${(service.address() as AddressInfo).port}`,
          ...env,
        },
        { log, clock },
      )
      t.teardown(sidecar.close)
      await sidecar.ready
      return sidecar
    },
  }
}

async function openSocket(t: Test, { url }: { url: string }, token: string, path = '/') {
  const socket = new WebSocket(url.replace('http', 'ws') + path, { headers: { authorization: `Bearer ${token}` } })
  t.teardown(() => socket.terminate())
  const closed = new Promise<string>((resolve) => {
    socket.once('close', (code, reason) => resolve(`${code} ${reason}`))
  })
  await once(socket, 'open')
  return { socket, closed }
}

test('STREAM_GRACE: what is open outlives its token by that, a logout ends it at once, a refresh leaves it', async (t) => {
  const place = await start(t)
  // The clock is to jump, and a jump is not to look like an outage of the feed.
  const [strict, lenient] = await Promise.all([
    place.sidecar({ MAX_STALENESS: '1h' }),
    place.sidecar({ MAX_STALENESS: '1h', STREAM_GRACE: '10m' }),
  ])
  const [mine, others] = [await place.log(), await place.log()]
  const ended = await openSocket(t, strict, mine.access_token)
  const [gone, kept] = [
    await openSocket(t, lenient, mine.access_token),
    await openSocket(t, lenient, others.access_token),
  ]
  place.advance(TOKEN_MS + 6000)
  t.equal(await ended.closed, '4401 token expired')
  t.equal(await statusThrough(lenient.url, mine.access_token), 401, 'it opens nothing new')
  const renewed = await refresh(place.issuer.url, mine.refresh_token)
  t.equal(renewed.status, 200)
  t.same(
    [gone, kept].map(({ socket }) => socket.readyState),
    [WebSocket.OPEN, WebSocket.OPEN],
  )
  t.equal((await logout(place.issuer.url, renewed.body.access_token)).status, 200)
  t.equal(await gone.closed, '4401 token revoked')
  t.equal(kept.socket.readyState, WebSocket.OPEN)
  place.advance(600_000)
  t.equal(await kept.closed, '4401 token expired')
})

test('STREAM_GRACE holds only while a revocation would be heard of', async (t) => {
  const place = await start(t)
  const sidecar = await place.sidecar({ MAX_STALENESS: '1h', STREAM_GRACE: '24h' })
  const { closed } = await openSocket(t, sidecar, (await place.log()).access_token)
  await place.issuer.close()
  let isOpen = true
  const end = closed.then((words) => {
    isOpen = false
    return words
  })
  place.advance(TOKEN_MS + 6000)
  // Two sweeps and more: the token is over, the feed is away, and what it said last still counts.
  await new Promise((resolve) => setTimeout(resolve, 1500))
  t.ok(isOpen)
  place.advance(3_600_000)
  t.equal(await end, '4401 token expired')
})

test('what is open ends when nobody could tell of a logout any more, but where the route says staleness: open', async (t) => {
  const place = await start(t)
  const ROUTES_FILE = join(temporaryFolder(t), 'routes.yaml')
  writeFileSync(ROUTES_FILE, 'routes: [{ path: /open, staleness: open }, { path: /public, access: public }]')
  const sidecar = await place.sidecar({ MAX_STALENESS: '20s', ROUTES_FILE })
  const { access_token } = await place.log()
  const [ended, kept, nobodys] = await Promise.all([
    openSocket(t, sidecar, access_token),
    openSocket(t, sidecar, access_token, '/open'),
    openSocket(t, sidecar, access_token, '/public'),
  ])
  await place.issuer.close()
  place.advance(21_000)
  t.equal(await ended.closed, '1013 revocations stale')
  t.equal(await statusThrough(sidecar.url, access_token), 503, 'as whoever asks now is told')
  t.same(
    [kept, nobodys].map(({ socket }) => socket.readyState),
    [WebSocket.OPEN, WebSocket.OPEN],
  )
  place.advance(TOKEN_MS)
  t.equal(await kept.closed, '4401 token expired')
  t.equal(nobodys.socket.readyState, WebSocket.OPEN)
})
