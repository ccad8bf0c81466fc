import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import { test } from 'tap'
import { stringify } from 'yaml'
import { temporaryFolder } from '../helpers/temporary-folder.ts'
import { run } from '../servers/command.ts'
import { findChartTools } from '../servers/helm.ts'
import { missingChartTools } from '../servers/kubeconform.ts'
import { startRedis } from '../servers/redis.ts'
import { ciValues, prepareCharts, render } from './charts.ts'
import { type KubernetesObject, objectOf, objectsOf } from './objects.ts'

// The stores that the issuer's chart runs itself, for trials.

const skip = await missingChartTools()
const folderOf = skip ? undefined : await prepareCharts()
const TRIAL = ciValues('issuer').find((file) => file.endsWith('/trial-values.yaml'))!
const NAME = 'sallyport-issuer'
const STORES = { mongodb: 27017, redis: 6379, kafka: 9092 }

const rendered = async (args: string[] = []) => objectsOf(await render(folderOf!('issuer'), { files: [TRIAL], args }))
const decoded = (secret: KubernetesObject, key: string) => Buffer.from(secret.data![key]!, 'base64').toString()

test('each store lets in the issuer only, and the issuer gets out to it only', { skip }, async (t) => {
  const objects = await rendered()
  const issuer = objectOf(objects, 'Deployment').spec.template.metadata.labels
  const { egress } = objectOf(objects, 'NetworkPolicy', NAME).spec
  const peers = egress.slice(1).map(({ to, ports }: { to: object[]; ports: object[] }) => ({ to, ports }))
  t.equal(peers.length, 3)
  for (const [store, port] of Object.entries(STORES)) {
    const { ingress, egress: out } = objectOf(objects, 'NetworkPolicy', `${NAME}-${store}`).spec
    t.same(out, [], `${store} calls nobody`)
    t.same(ingress[0].ports, [{ protocol: 'TCP', port }])
    t.match(issuer, ingress[0].from[0].podSelector.matchLabels)
    t.equal(ingress[0].from.length, store === 'kafka' ? 2 : 1, store)
    const { labels } = objectOf(objects, 'StatefulSet', `${NAME}-${store}`).spec.template.metadata
    const { spec } = objectOf(objects, 'Service', `${NAME}-${store}`)
    t.match(labels, spec.selector)
    const own = peers.filter(({ ports }: { ports: { port: number }[] }) => ports[0]!.port === port)
    t.same(own, [{ ports: [{ protocol: 'TCP', port }], to: [{ podSelector: { matchLabels: spec.selector } }] }])
    t.equal(spec.ports[0].port, port)
  }
})

test('the addresses lead to the Services, with the passwords that the stores have', { skip }, async (t) => {
  const objects = await rendered()
  const secret = objectOf(objects, 'Secret', `${NAME}-stores`)
  const mongo = new URL(decoded(secret, 'MONGO_URL'))
  t.match(mongo, { hostname: `${NAME}-mongodb`, port: '27017', password: decoded(secret, 'mongodb-password') })
  t.equal(mongo.searchParams.get('directConnection'), 'true', 'its member is called 127.0.0.1')
  t.match(new URL(decoded(secret, 'REDIS_URL')), {
    hostname: `${NAME}-redis`,
    password: decoded(secret, 'redis-password'),
  })
  t.match(decoded(secret, 'redis-login.conf'), `requirepass ${decoded(secret, 'redis-password')}`)
  t.match(decoded(secret, 'mongodb-keyfile'), /^[A-Za-z0-9]{6,1024}$/)
  t.equal(Buffer.from(decoded(secret, 'kafka-cluster'), 'base64url').length, 16, 'a UUID as Kafka writes them')
  t.equal(secret.metadata.annotations?.['helm.sh/resource-policy'], 'keep', 'its volumes stay as well')
  const { data } = objectOf(objects, 'ConfigMap', NAME)
  t.match(data, { KAFKA_BROKERS: `${NAME}-kafka.auth.svc:9092`, MONGO_URL_FILE: '/run/secrets/stores/MONGO_URL' })
  const properties = objectOf(objects, 'ConfigMap', `${NAME}-kafka`).data!['server.properties']
  t.match(properties, `advertised.listeners=PLAINTEXT://${NAME}-kafka.auth.svc:9092`)
})

test('passwords outlive upgrades', { skip }, async (t) => {
  const secret = objectOf(await rendered(), 'Secret', `${NAME}-stores`)
  const there = { ...secret, metadata: { ...secret.metadata, namespace: 'auth' } }
  const suite = {
    suite: 'upgrades',
    templates: ['stores/secret.yaml'],
    release: { name: 'sallyport', namespace: 'auth' },
    values: [TRIAL],
    tests: [
      {
        it: 'keeps what is there',
        kubernetesProvider: {
          scheme: { 'v1/Secret': { gvr: { version: 'v1', resource: 'secrets' }, namespaced: true } },
          objects: [there],
        },
        asserts: Object.entries(secret.data!).map(([key, value]) => ({ equal: { path: `data["${key}"]`, value } })),
      },
    ],
  }
  writeFileSync(join(folderOf!('issuer'), 'tests/stores_test.yaml'), stringify(suite))
  const tools = await findChartTools()
  const said = await run(tools['helm-unittest'], ['--file', 'tests/stores_test.yaml', folderOf!('issuer')], {
    timeout: 300_000,
  })
  t.match(said, /Tests: +1 passed, 1 total/)
})

test('a real Redis takes its configuration, and asks for the password', { skip, timeout: 300_000 }, async (t) => {
  const objects = await rendered()
  const folder = temporaryFolder(t)
  const secrets = join(folder, 'secrets')
  mkdirSync(secrets)
  const secret = objectOf(objects, 'Secret', `${NAME}-stores`)
  writeFileSync(join(secrets, 'redis-login.conf'), decoded(secret, 'redis-login.conf'))
  const file = join(folder, 'redis.conf')
  const text = objectOf(objects, 'ConfigMap', `${NAME}-redis`).data!['redis.conf']!
  // Where it listens and keeps its data is the test's, and comes after.
  const moved = text.replace('/run/secrets/stores', secrets).replace(/^(port|bind|dir) .*$/gm, '')
  writeFileSync(file, moved)
  const redis = await startRedis(['--include', file])
  t.teardown(() => redis.stop())
  const url = new URL(redis.url)
  const stranger = new Redis(redis.url, { lazyConnect: true, retryStrategy: null })
  stranger.on('error', () => undefined)
  t.teardown(() => stranger.disconnect())
  await t.rejects(stranger.get('a'), /NOAUTH/)
  url.password = decoded(secret, 'redis-password')
  const known = new Redis(url.href)
  t.teardown(() => known.disconnect())
  t.equal(await known.set('a', 'b'), 'OK')
  t.same(await known.config('GET', 'appendonly'), ['appendonly', 'yes'])
  t.same(await known.config('GET', 'maxmemory-policy'), ['maxmemory-policy', 'noeviction'])
})

for (const [set, says] of [
  ['mongodb.enabled=false', /mongodb\.deploy\.enabled: needs mongodb\.enabled/],
  ['redis.url=redis://redis', /redis\.url: not together with redis\.deploy\.enabled/],
  ['mongodb.ca.secret=ca', /mongodb\.ca: not together/],
  ['kafka.brokers={kafka:9092}', /kafka\.brokers: not together/],
  ['kafka.tls=true', /kafka\.deploy\.enabled: has neither TLS nor a login/],
  ['migration.mode=job', /migration\.mode: job runs before the store/],
] as const) {
  test(`refused: ${set}`, { skip }, async (t) => {
    await t.rejects(rendered(['--set', set]), { message: says })
  })
}
