import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { test } from 'tap'
import { Agent } from 'undici'
import { call, type Login, PASSWORD, statusThrough } from '../helpers/client.ts'
import { ready, startRole } from '../helpers/deployment.ts'
import { eventually } from '../helpers/eventually.ts'
import { startNode } from '../helpers/process.ts'
import { startRecordingUpstream } from '../helpers/recording-upstream.ts'
import { temporaryFolder } from '../helpers/temporary-folder.ts'
import { uniqueName } from '../helpers/unique-name.ts'
import { createAuthority } from '../servers/certificates.ts'
import { onPath } from '../servers/command.ts'
import { SERVER_PASSWORD, secureServers, USER } from '../servers/secure.ts'
import { missing } from '../servers/shared.ts'

type Env = Record<string, string>

const PROGRAM = fileURLToPath(new URL('../../bin/sallyport.ts', import.meta.url))
const skip = onPath('openssl') ? await missing('mongo', 'redis', 'kafka') : 'there is no openssl'
const MASTER_KEY = 'a master key that only the tests know and no one else'
const FEED_TOKEN = 'a feed token that only the tests know'

test('TLS and a login to MongoDB, Redis and Kafka, HTTPS on the issuer', { skip }, async (t) => {
  const folder = temporaryFolder(t)
  const authority = await createAuthority(folder)
  const stranger = await createAuthority(folder, 'stranger')
  const servers = secureServers(t, authority, folder)
  const [mongo, redis, kafka] = await Promise.all([servers.mongo(), servers.redis(), servers.kafka()])
  const { certFile, keyFile } = await authority.issue('issuer')
  const upstream = await startRecordingUpstream(t)

  const secret = (name: string, value: string) => {
    const file = join(folder, name)
    writeFileSync(file, `${value}\n`)
    return file
  }
  // Every secret comes from a file, as it would in a container.
  const base: Env = {
    ISSUER_URL: 'https://issuer.example',
    ISSUER_PORT: '0',
    ISSUER_TLS_CERT_FILE: certFile,
    ISSUER_TLS_KEY_FILE: keyFile,
    MONGO_URL_FILE: secret('mongo-url', mongo),
    MONGO_CA_FILE: authority.caFile,
    REDIS_URL_FILE: secret('redis-url', redis),
    REDIS_CA_FILE: authority.caFile,
    REDIS_PREFIX: 'tls:',
    MASTER_KEY_FILE: secret('master-key', MASTER_KEY),
    FEED_TOKEN_FILE: secret('feed-token', FEED_TOKEN),
    KAFKA_BROKERS: kafka,
    KAFKA_TOPIC: uniqueName('revocations'),
    KAFKA_TLS: 'on',
    KAFKA_CA_FILE: authority.caFile,
    KAFKA_SASL_MECHANISM: 'scram-sha-512',
    KAFKA_SASL_USERNAME: USER,
    KAFKA_SASL_PASSWORD_FILE: secret('kafka-password', SERVER_PASSWORD),
    HASH_MEMORY_KIB: '7168',
    HASH_TIME: '5',
    // An answer says whether the broker has acknowledged it, which may take its time.
    PUBLISH_TIMEOUT: '10s',
  }
  const agent = new Agent({ connect: { ca: authority.ca } })
  t.teardown(() => agent.destroy())
  const sidecarEnv = (issuerUrl: string): Env => ({
    ...Object.fromEntries(Object.entries(base).filter(([name]) => /^(ISSUER_URL|KAFKA_|FEED_)/.test(name))),
    ISSUER_INTERNAL_URL: issuerUrl,
    ISSUER_CA_FILE: authority.caFile,
    UPSTREAM: upstream.url,
    DIGEST_INTERVAL: '1s',
    SIDECAR_PORT: '0',
    SIDECAR_ADMIN_PORT: '0',
    DATA_DIR: join(temporaryFolder(t), 'sidecar'),
  })

  for (const mechanism of ['scram-sha-512', 'scram-sha-256', 'plain']) {
    await t.test(`a login, a call, a logout; Kafka by ${mechanism}`, async (t) => {
      const issuer = await startRole(t, 'issuer', { ...base, KAFKA_SASL_MECHANISM: mechanism })
      t.match(issuer.url, /^https:/)
      await eventually(async () => (await call(`${issuer.url}/readyz`, { agent })).status === 200, { within: 60_000 })
      const sidecar = await startRole(t, 'sidecar', { ...sidecarEnv(issuer.url), KAFKA_SASL_MECHANISM: mechanism })
      await ready(sidecar.adminUrl)
      await eventually(
        async () => {
          const { text } = (await call<{ text: string }>(`${sidecar.adminUrl}/metrics`)).body
          return (
            /^revocation_feed_kafka_complete 1$/m.test(text) && /comparisons_total\{outcome="equal"\} [1-9]/.test(text)
          )
        },
        { within: 60_000, message: 'Kafka is read, and the list compared with that of the issuer' },
      )

      const credentials = { email: `${uniqueName('user')}@example.com`, password: PASSWORD }
      t.equal((await call(`${issuer.url}/auth/register`, { json: credentials, agent })).status, 201)
      const login = await call<Login>(`${issuer.url}/auth/login`, {
        json: { ...credentials, transport: 'body' },
        agent,
      })
      t.equal(login.status, 200)
      const token = login.body.access_token
      t.equal(await statusThrough(sidecar.url, token), 200)
      const logout = await call(`${issuer.url}/auth/logout`, { json: {}, token, agent })
      t.match(logout, { status: 200, body: { propagated: true } }, 'Kafka has acknowledged it')
      await eventually(async () => (await statusThrough(sidecar.url, token)) === 401)
      const logs = JSON.stringify([issuer.log(), sidecar.log()])
      for (const text of [
        SERVER_PASSWORD,
        encodeURIComponent(SERVER_PASSWORD),
        MASTER_KEY,
        FEED_TOKEN,
        credentials.email,
      ])
        t.notOk(logs.includes(text))
    })
  }

  t.test('a wrong password, or an authority that nobody trusts, is said clearly', async (t) => {
    const wrong = (url: string) => url.replace(encodeURIComponent(SERVER_PASSWORD), 'wrong-password')
    const without = (...names: string[]) => Object.fromEntries(names.map((name) => [name, '']))
    const rows: [what: string, more: Env, reason: RegExp][] = [
      [
        'MongoDB, password',
        { MONGO_URL_FILE: '', MONGO_URL: wrong(mongo) },
        /MongoDB is not available.*|uthentication failed/,
      ],
      ['MongoDB, authority', { MONGO_CA_FILE: stranger.caFile }, /unable to verify|self-signed|issuer certificate/],
      ['Redis, password', { REDIS_URL_FILE: '', REDIS_URL: wrong(redis) }, /WRONGPASS/],
      ['Redis, authority', { REDIS_CA_FILE: stranger.caFile }, /unable to verify|self-signed|issuer certificate/],
      ['Redis, the usual authorities', without('REDIS_CA_FILE'), /unable to verify|self-signed|issuer certificate/],
      [
        'Kafka, password',
        { ...without('KAFKA_SASL_PASSWORD_FILE'), KAFKA_SASL_PASSWORD: 'wrong-password' },
        /SASL SCRAM.*failed/,
      ],
      ['Kafka, authority', { KAFKA_CA_FILE: stranger.caFile }, /unable to verify|self-signed|issuer certificate/],
      ['Kafka, no TLS', { ...without('KAFKA_CA_FILE'), KAFKA_TLS: 'off' }, /Kafka cannot be used/],
    ]
    for (const [what, more, reason] of rows) {
      const child = startNode(t, PROGRAM, { args: ['issuer'], env: { ...base, ...more } })
      // Where the machine stands still the first attempt may just have taken too long: the next one to a store says why.
      const states = '^(?=.*"level":(?:40|50))(?=.*(?:is not available yet|Kafka cannot be used|no connection))'
      const [line] = await child.waitForLine(new RegExp(`${states}(?=.*(?:${reason.source})).*`), 90_000)
      t.match(line, reason, what)
      t.notMatch(child.stdout(), /wrong-password|se:cr@t/, what)
      await child.kill()
    }
    const issuer = await startRole(t, 'issuer', base)
    const untrusting = await startRole(t, 'sidecar', { ...sidecarEnv(issuer.url), ISSUER_CA_FILE: stranger.caFile })
    await eventually(() => JSON.stringify(untrusting.log()).includes('keys of the issuer cannot be fetched'))
    t.match(JSON.stringify(untrusting.log()), /unable to verify|self-signed|issuer certificate/)
    t.equal(await statusThrough(untrusting.url, 'x.y.z'), 401)
  })

  t.test('the command line, over TLS as well', async (t) => {
    const child = startNode(t, PROGRAM, { args: ['migrate'], env: base })
    t.match(await child.waitForExit(90_000), { code: 0 }, child.stderr())
    t.equal(child.stdout(), 'MongoDB, Redis: up to date\n')
    const issuer = await startRole(t, 'issuer', base)
    await eventually(async () => (await call(`${issuer.url}/readyz`, { agent })).status === 200, { within: 60_000 })
    const env = { ...base, ISSUER_PORT: new URL(issuer.url).port }
    const health = startNode(t, PROGRAM, { args: ['health'], env })
    t.match(await health.waitForExit(90_000), { code: 0 }, health.stderr())
    const stuck = startNode(t, PROGRAM, { args: ['users', 'list'], env: { ...base, MONGO_CA_FILE: stranger.caFile } })
    t.match(await stuck.waitForExit(90_000), { code: 1 })
    t.match(stuck.stderr(), /^sallyport: MongoDB is not available: .*(verify|certificate)/m)
  })
})
