import { join } from 'node:path'
import { test } from 'tap'
import { checkSettings } from '../../bin/known-settings.ts'
import { topicConfig } from '../../shared/kafka.ts'
import { call } from '../helpers/client.ts'
import { startRole } from '../helpers/deployment.ts'
import { temporaryFolder } from '../helpers/temporary-folder.ts'
import { missingChartTools } from '../servers/kubeconform.ts'
import { ciValues, prepareCharts, render } from './charts.ts'
import { objectOf, objectsOf } from './objects.ts'
import { withFiles } from './secret-files.ts'

const skip = await missingChartTools()
const folderOf = skip ? undefined : await prepareCharts()

const fileOf = (name: string) => ciValues('issuer').find((file) => file.endsWith(`/${name}-values.yaml`))!
const rendered = async (name: string, args: string[] = []) =>
  objectsOf(await render(folderOf!('issuer'), { files: [fileOf(name)], args }))

for (const file of ciValues('issuer')) {
  const name = /([\w-]+)-values\.yaml$/.exec(file)![1]!
  test(`${name}: the program accepts the settings, and every file they name is in a volume`, { skip }, async (t) => {
    const objects = await rendered(name)
    const env = objectOf(objects, 'ConfigMap', 'sallyport-issuer').data!
    t.doesNotThrow(() => checkSettings(withFiles(temporaryFolder(t), env), ['issuer']))
    const { spec } = objectOf(objects, 'Deployment').spec.template
    for (const [setting, path] of Object.entries(env).filter(([setting]) => setting.endsWith('_FILE'))) {
      const mount = spec.containers[0].volumeMounts.find(({ mountPath }: { mountPath: string }) =>
        path.startsWith(`${mountPath}/`),
      )
      const volume = spec.volumes.find((one: { name: string }) => one.name === mount?.name)
      const items: { path: string }[] | undefined = (volume?.secret ?? volume?.configMap)?.items
      const own = path.slice(mount?.mountPath.length + 1)
      t.ok(items === undefined ? volume : items.some((item) => item.path === own), `${setting} is ${path}`)
    }
  })
}

test('production: several issuers that a drain of nodes, an upgrade and an outage of Redis leave useful', {
  skip,
}, async (t) => {
  const objects = await rendered('production')
  const { spec } = objectOf(objects, 'Deployment')
  t.equal(spec.replicas, 3)
  t.match(spec.strategy, { type: 'RollingUpdate', rollingUpdate: { maxUnavailable: 0 } })
  t.equal(objectOf(objects, 'PodDisruptionBudget').spec.maxUnavailable, 1)
  t.equal(spec.template.spec.topologySpreadConstraints.length, 2)
  t.equal(objectOf(objects, 'Service', 'sallyport-issuer-feed').spec.publishNotReadyAddresses, true)
  t.equal(objectOf(objects, 'Service', 'sallyport-issuer').spec.publishNotReadyAddresses, undefined)
  t.notOk(objects.some(({ kind }) => kind === 'PersistentVolumeClaim'))
  const job = objectOf(objects, 'Job')
  t.equal(job.metadata.annotations?.['helm.sh/hook'], 'pre-install,pre-upgrade')
  t.same(job.spec.template.spec.containers[0].args, ['migrate'])
  const map = job.spec.template.spec.containers[0].envFrom[0].configMapRef.name
  t.same(objectOf(objects, 'ConfigMap', map).data, objectOf(objects, 'ConfigMap', 'sallyport-issuer').data)
})

test('the Job that migrates reaches the stores and nothing else, and nobody reaches it', { skip }, async (t) => {
  const objects = await rendered('production')
  const { metadata, spec } = objectOf(objects, 'NetworkPolicy', 'sallyport-issuer-migrate')
  const { labels } = objectOf(objects, 'Job').spec.template.metadata
  t.match(labels, spec.podSelector.matchLabels)
  t.notMatch(labels, objectOf(objects, 'NetworkPolicy', 'sallyport-issuer').spec.podSelector.matchLabels)
  t.same(spec.ingress, [])
  t.same(
    spec.egress.flatMap(({ ports }: { ports: { port: number }[] }) => ports.map(({ port }) => port)),
    [53, 53, 27017, 6380],
    'DNS, MongoDB, Redis; not Kafka, not mail',
  )
  t.equal(metadata.annotations?.['helm.sh/hook'], 'pre-install,pre-upgrade')
  const weight = (name: string) => Number(objectOf(objects, name).metadata.annotations?.['helm.sh/hook-weight'])
  t.ok(Number(metadata.annotations?.['helm.sh/hook-weight']) < weight('Job'), 'it is there before the Job')
  const open = await rendered('production', ['--set', 'networkPolicy.enabled=false'])
  t.equal(open.filter(({ kind }) => kind === 'NetworkPolicy').length, 0)
})

test('embedded: one issuer at a time, on a volume that outlives the release', { skip }, async (t) => {
  const objects = await rendered('embedded')
  const { spec } = objectOf(objects, 'Deployment')
  t.equal(spec.strategy.type, 'Recreate')
  const claim = objectOf(objects, 'PersistentVolumeClaim')
  t.equal(claim.metadata.annotations?.['helm.sh/resource-policy'], 'keep')
  t.match(spec.template.spec.volumes[0], { persistentVolumeClaim: { claimName: claim.metadata.name } })
  t.same(spec.template.spec.initContainers[0].args, ['migrate'])
})

test('another setting means other Pods', { skip }, async (t) => {
  const checksum = async (args: string[]) =>
    objectOf(await rendered('embedded', args), 'Deployment').spec.template.metadata.annotations['checksum/config']
  const before = await checksum([])
  t.equal(await checksum([]), before)
  t.not(await checksum(['--set', 'settings.ACCESS_TOKEN_TTL=4m']), before)
})

test('the topic is as the issuer makes it itself', { skip }, async (t) => {
  for (const replicas of [1, 3]) {
    const objects = await rendered('production', ['--set', `kafka.strimziTopic.replicas=${replicas}`])
    const { spec } = objectOf(objects, 'KafkaTopic')
    t.same(
      Object.fromEntries(Object.entries(spec.config).map(([name, value]) => [name, String(value)])),
      Object.fromEntries(topicConfig(300, replicas).map(({ name, value }) => [name, value])),
    )
    t.match(spec, { partitions: 1, replicas, topicName: 'sallyport.revocations' })
  }
})

test('the Ingress has all that is public and nothing that is not', { skip }, async (t) => {
  const { url } = await startRole(t, 'issuer', { ISSUER_PORT: '0', DATA_DIR: join(temporaryFolder(t), 'data') })
  const { paths } = (await call<{ paths: Record<string, unknown> }>(`${url}/openapi.json`)).body
  const { spec } = objectOf(await rendered('production'), 'Ingress')
  const prefixes: string[] = spec.rules[0].http.paths.map(({ path }: { path: string }) => path)
  const isPublic = (path: string) => prefixes.some((prefix) => path === prefix || path.startsWith(`${prefix}/`))
  const internal = /^\/(revocations|livez|readyz|health|metrics)(\/|$)/
  const all = Object.keys(paths)
  t.ok(all.length > 20)
  for (const path of [...all, '/openapi.json', '/docs', '/metrics', '/livez', '/readyz', '/health', '/revocations']) {
    t.equal(isPublic(path), !internal.test(path), path)
  }
})
