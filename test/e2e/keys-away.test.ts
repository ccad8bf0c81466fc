import { generateKeyPairSync } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { test } from 'tap'
import { signJws } from '../../shared/jws.ts'
import { call, claimsOf, login, register, statusThrough } from '../helpers/client.ts'
import { startDeployment } from '../helpers/deployment.ts'
import { missingProduction, productionServers } from '../helpers/production.ts'
import { startRecordingUpstream } from '../helpers/recording-upstream.ts'

test('the issuer away: known keys go on, an unknown one is 503 with one fetch a cooldown', {
  skip: missingProduction,
}, async (t) => {
  const upstream = await startRecordingUpstream(t)
  const deployment = await startDeployment(t, { ...(await productionServers()), upstream: upstream.url, sidecars: 0 })
  const issuer = deployment.issuers[0]!
  const { access_token: token } = await login(issuer.url, await register(issuer.url))

  // Between sidecar and issuer: answers as the issuer does until `away`, and counts who asks for keys.
  let away = false
  let keyFetches = 0
  const relay: RequestListener = async (request, response) => {
    if (request.url === '/.well-known/jwks.json') keyFetches++
    if (away) return request.socket.destroy()
    const answer = await fetch(`${issuer.url}${request.url}`)
    response.writeHead(answer.status, { 'content-type': answer.headers.get('content-type') ?? 'text/plain' })
    response.end(await answer.text())
  }
  const server = createServer(relay).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  const sidecar = await deployment.startSidecar({
    ISSUER_INTERNAL_URL: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    FEED_TOKEN: '',
    JWKS_COOLDOWN: '60s',
  })
  while ((await call(`${sidecar.adminUrl}/readyz`)).status !== 200);
  t.equal(await statusThrough(sidecar.url, token), 200)

  away = true
  const before = keyFetches
  const strangers = Array.from({ length: 50 }, (_, i) => {
    const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    const key = { kid: `stranger-${i}`, alg: 'ES256' as const, key: publicKey, privateKey }
    return signJws(key, 'at+jwt', claimsOf(token))
  })
  const answers = await Promise.all(strangers.map((stranger) => call(`${sidecar.url}/`, { token: stranger })))
  t.same([...new Set(answers.map(({ status }) => status))], [503], 'no verdict is possible')
  t.ok(answers.every(({ headers }) => Number(headers['retry-after']) > 0))
  t.ok(keyFetches - before <= 1, `${keyFetches - before} fetches for 50 unknown keys`)
  t.equal(await statusThrough(sidecar.url, token), 200, 'a known key goes on')
  t.equal(upstream.requests.length, 2, 'nothing of the strangers reached the service')
})
