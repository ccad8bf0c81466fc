import { generateKeyPairSync, type KeyObject, sign } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Test, test } from 'tap'
import { parse } from 'yaml'
import { startIssuer } from '../../issuer/main.ts'
import { createLog } from '../../shared/log.ts'
import { startSidecar } from '../../sidecar/main.ts'
import { call, claimsOf, login, logout, register } from '../helpers/client.ts'
import { eventually } from '../helpers/eventually.ts'
import { startRecordingUpstream } from '../helpers/recording-upstream.ts'
import { temporaryFolder } from '../helpers/temporary-folder.ts'
import { envoy } from '../servers/envoy.ts'
import { nginx } from '../servers/nginx.ts'
import { missingReverseProxy, startReverseProxy } from '../servers/reverse-proxy.ts'

const PAGE = readFileSync(new URL('../../docs/coming-from.md', import.meta.url), 'utf8')
const log = createLog('test', 'silent')

/** Issuer, sidecar with a service behind it, and what guarded that service until now. */
async function deploy(t: Test) {
  const [service, old] = [await startRecordingUpstream(t), await startRecordingUpstream(t)]
  const folder = temporaryFolder(t)
  const FEED_TOKEN = 'a feed token that only the tests know'
  const hashing = { HASH_MEMORY_KIB: '7168', HASH_TIME: '5' }
  const data = { ISSUER_PORT: '0', DATA_DIR: join(folder, 'issuer') }
  const issuer = await startIssuer({ ...data, FEED_TOKEN, ...hashing }, { log })
  t.teardown(issuer.close)
  const sidecar = await startSidecar(
    {
      SIDECAR_PORT: '0',
      SIDECAR_ADMIN_PORT: '0',
      FEED_TOKEN,
      ISSUER_URL: issuer.url,
      UPSTREAM: service.url,
      DATA_DIR: join(folder, 'sidecar'),
    },
    { log },
  )
  t.teardown(sidecar.close)
  await sidecar.ready
  return { service, old, issuer, sidecar }
}

/** @param ofOld credentials that the old way takes */
async function checkSideBySide(
  t: Test,
  url: string,
  { service, old, issuer }: Awaited<ReturnType<typeof deploy>>,
  ofOld: (string | undefined)[],
) {
  const ask = async (authorization?: string) =>
    (await call(`${url}/orders?page=2`, { headers: authorization === undefined ? {} : { authorization } })).status

  const { access_token: token } = await login(issuer.url, await register(issuer.url))
  for (const scheme of ['Bearer', 'bearer', 'BEARER']) t.equal(await ask(`${scheme} ${token}`), 200, scheme)
  t.match(service.requests.at(-1), { target: '/orders?page=2', headers: { 'x-user-id': claimsOf(token).sub } })
  t.equal(old.requests.length, 0)

  for (const authorization of ofOld) t.equal(await ask(authorization), 200, authorization ?? 'no credential')
  t.equal(old.requests.length, ofOld.length)

  const before = service.requests.length
  t.equal(await ask(`Bearer ${token.slice(0, -4)}AAAA`), 401, 'what looks like ours is checked by ours')
  t.match(await logout(issuer.url, token), { status: 200 })
  const isRefused = async () => (await ask(`Bearer ${token}`)) === 401
  t.ok(await eventually(isRefused, { within: 60_000, message: 'a revoked token' }))
  t.equal(old.requests.length, ofOld.length, 'and is not tried the other way')
  t.ok(service.requests.length >= before)
  return ask
}

/** As Keycloak writes the head of its tokens. */
function oldToken(key?: KeyObject): string {
  const part = (text: string) => Buffer.from(text).toString('base64url')
  const claims = { iss: 'https://old.example', sub: 'ada', exp: Math.floor(Date.now() / 1000) + 300 }
  const input = `${part('{"alg":"RS256","typ" : "JWT","kid" : "old"}')}.${part(JSON.stringify(claims))}`
  return `${input}.${key ? sign('sha256', Buffer.from(input), key).toString('base64url') : 'x'}`
}

function example(language: string): string {
  const [, block] = new RegExp(`^\`\`\`${language}\\n([\\s\\S]*?)^\`\`\`$`, 'm').exec(PAGE) ?? []
  if (block === undefined) throw new Error(`no example in ${language}`)
  return block
}

test('old and new side by side behind nginx', { skip: await missingReverseProxy(nginx) }, async (t) => {
  const deployment = await deploy(t)
  const { old, sidecar } = deployment
  const proxy = await startReverseProxy(nginx, (port) =>
    [
      [/listen 8088;/, `listen 127.0.0.1:${port};`] as const,
      [/127\.0\.0\.1:4180/, new URL(old.url).host] as const,
      [/127\.0\.0\.1:8080/, new URL(sidecar.url).host] as const,
    ].reduce((text, [what, by]) => {
      if (!what.test(text)) throw new Error(`the example has no ${what}`)
      return text.replace(what, by)
    }, example('nginx')),
  )
  t.teardown(() => proxy.stop())
  await checkSideBySide(t, proxy.url, deployment, [undefined, `Bearer ${oldToken()}`, 'Basic eDp5'])
})

test('old and new side by side behind Envoy, of which jwt_authn checks the old', {
  skip: await missingReverseProxy(envoy),
}, async (t) => {
  const deployment = await deploy(t)
  const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const { routes } = parse(example('yaml')) as { routes: { match: object }[] }
  const keys = [{ ...publicKey.export({ format: 'jwk' }), kid: 'old', alg: 'RS256', use: 'sig' }]
  const type = (name: string) => ({ '@type': `type.googleapis.com/envoy.extensions.filters.${name}` })
  const jwtAuthn = {
    ...type('http.jwt_authn.v3.JwtAuthentication'),
    providers: { old: { issuer: 'https://old.example', local_jwks: { inline_string: JSON.stringify({ keys }) } } },
    rules: [{ match: routes[0]!.match }, { match: { prefix: '/' }, requires: { provider_name: 'old' } }],
  }
  const manager = {
    ...type('network.http_connection_manager.v3.HttpConnectionManager'),
    stat_prefix: 'public',
    route_config: { virtual_hosts: [{ name: 'service', domains: ['*'], routes }] },
    http_filters: [
      { name: 'envoy.filters.http.jwt_authn', typed_config: jwtAuthn },
      { name: 'envoy.filters.http.router', typed_config: type('http.router.v3.Router') },
    ],
  }
  const socket = (port: string | number) => ({ socket_address: { address: '127.0.0.1', port_value: Number(port) } })
  const cluster = (name: string, url: string) => ({
    name,
    connect_timeout: '1s',
    load_assignment: {
      cluster_name: name,
      endpoints: [{ lb_endpoints: [{ endpoint: { address: socket(new URL(url).port) } }] }],
    },
  })
  const proxy = await startReverseProxy(envoy, (port) => {
    const filters = [{ name: 'envoy.filters.network.http_connection_manager', typed_config: manager }]
    const listeners = [{ name: 'public', address: socket(port), filter_chains: [{ filters }] }]
    const clusters = [cluster('sallyport', deployment.sidecar.url), cluster('old', deployment.old.url)]
    return JSON.stringify({ static_resources: { listeners, clusters } })
  })
  t.teardown(() => proxy.stop())
  const ask = await checkSideBySide(t, proxy.url, deployment, [`Bearer ${oldToken(privateKey)}`])
  const before = deployment.old.requests.length
  for (const authorization of [undefined, `Bearer ${oldToken()}`]) t.equal(await ask(authorization), 401)
  t.equal(deployment.old.requests.length, before, 'the old way goes on checking')
})

test('the beginning of our tokens is the one that the page tells', async (t) => {
  const [, written = ''] = /\^bearer \+(\S+)"/.exec(PAGE) ?? []
  t.equal(Buffer.from('{"alg":"ES256","typ":"at+jwt","kid":').toString('base64url'), written)
})
