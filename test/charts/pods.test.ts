import { basename } from 'node:path'
import { test } from 'tap'
import { missingChartTools } from '../servers/kubeconform.ts'
import { applications, ciValues, prepareCharts, render } from './charts.ts'
import { type KubernetesObject, objectsOf } from './objects.ts'

// What holds for every Pod that a chart makes, whatever the values.

const skip = await missingChartTools()
const folderOf = skip ? undefined : await prepareCharts()
const nameOf = ({ kind, metadata }: KubernetesObject) => `${kind} ${metadata.name}`

/** Objects of the charts, rendered once. */
const rendered: { chart: string; file: string; objects: KubernetesObject[] }[] = []
if (!skip) {
  for (const chart of applications) {
    for (const path of ciValues(chart)) {
      const objects = objectsOf(await render(folderOf!(chart), { files: [path] }))
      rendered.push({ chart, file: basename(path), objects })
    }
  }
}

// biome-ignore lint/suspicious/noExplicitAny: as loosely as tests look at objects.
type Spec = any

/** The specs of Pods among objects, each with the labels it has. */
function podsOf(objects: readonly KubernetesObject[]) {
  return objects.flatMap((object) => {
    const template = object.kind === 'Pod' ? object : object.spec?.template
    if (template?.spec?.containers === undefined) return []
    const { spec, metadata } = template as { spec: Spec; metadata: KubernetesObject['metadata'] }
    const containers: Spec[] = [...spec.containers, ...(spec.initContainers ?? [])]
    return [{ object, spec, labels: metadata.labels ?? {}, containers }]
  })
}

/** Images that are not Sallyport's: stores for trials. */
const isForeign = ({ name }: { name: string }) => ['mongodb', 'redis', 'kafka'].includes(name)
const VOLUMES = ['configMap', 'csi', 'emptyDir', 'secret', 'persistentVolumeClaim']

test('every Pod is of Pod Security’s level «restricted», and has no token of the API server', { skip }, async (t) => {
  for (const { chart, file, objects } of rendered) {
    for (const { object, spec, containers } of podsOf(objects)) {
      const name = `${chart} ${file}: ${nameOf(object)}`
      t.equal(spec.automountServiceAccountToken, false, `${name}: no token`)
      t.notOk(spec.hostNetwork || spec.hostPID || spec.hostIPC || spec.securityContext?.sysctls, name)
      for (const { name: volume, ...source } of spec.volumes ?? []) {
        t.ok(VOLUMES.includes(Object.keys(source)[0]!), `${name}: volume ${volume}`)
      }
      for (const container of containers) {
        const security = { ...spec.securityContext, ...container.securityContext }
        const expected = {
          runAsNonRoot: true,
          readOnlyRootFilesystem: true,
          allowPrivilegeEscalation: false,
          capabilities: { drop: ['ALL'] },
          seccompProfile: { type: 'RuntimeDefault' },
        }
        t.match(security, expected, `${name}, ${container.name}`)
        t.not(security.runAsUser, 0)
        t.notOk(security.privileged || security.capabilities.add)
        t.notOk(
          (container.ports ?? []).some(({ hostPort }: Spec) => hostPort),
          `${name}: hostPort`,
        )
        t.ok(container.resources?.requests?.cpu && container.resources?.limits?.memory, `${name}: resources`)
        if (!isForeign(container)) {
          t.notMatch(JSON.stringify(container.command ?? []), /"(sh|bash|\/bin\/sh)"/, `${name}: no shell`)
        }
      }
    }
  }
})

test('secrets are in values of none, and in objects only where the chart has to make them', { skip }, async (t) => {
  for (const { chart, file, objects } of rendered) {
    const names = objects.filter(({ kind }) => kind === 'Secret').map(({ metadata }) => metadata.name)
    const expected = file === 'trial-values.yaml' ? ['sallyport-issuer-stores'] : []
    if (chart !== 'injector') t.same(names, expected, `${chart} ${file}`)
    for (const { containers } of podsOf(objects)) {
      for (const { env = [] } of containers) {
        for (const { name, value } of env) {
          if (name !== 'FORWARD_TOKEN')
            t.notMatch(name, /(TOKEN|PASSWORD|SECRET|KEY)$/, `${chart} ${file}: ${name}=${value}`)
        }
      }
    }
  }
})

test('whatever goes on running is asked whether it has started, is of use, and lives', { skip }, async (t) => {
  for (const { chart, file, objects } of rendered) {
    for (const { object, spec } of podsOf(objects)) {
      if (object.kind === 'Job' || object.kind === 'Pod') continue
      const native = (spec.initContainers ?? []).filter(({ restartPolicy }: Spec) => restartPolicy === 'Always')
      for (const container of [...spec.containers, ...native]) {
        const name = `${chart} ${file}: ${nameOf(object)}, ${container.name}`
        t.ok(container.livenessProbe, `${name}: livenessProbe`)
        // Behind a sidecar that is not ready nobody is asked anyway.
        if (container.name !== 'service') t.ok(container.readinessProbe, `${name}: readinessProbe`)
        if (container.name !== 'redis') t.ok(container.startupProbe, `${name}: startupProbe`)
      }
    }
  }
})

test('Services, policies and budgets find the Pods they are for, and no others', { skip }, async (t) => {
  for (const { chart, file, objects } of rendered) {
    const pods = podsOf(objects).map(({ labels, object }) => ({ labels, name: nameOf(object) }))
    const selected = (labels: Record<string, string>) =>
      pods.filter((pod) => Object.entries(labels).every(([key, value]) => pod.labels[key] === value))
    for (const { kind, metadata, spec } of objects) {
      const selector =
        kind === 'Service'
          ? spec.selector
          : kind === 'NetworkPolicy'
            ? spec.podSelector.matchLabels
            : kind === 'PodDisruptionBudget'
              ? spec.selector.matchLabels
              : undefined
      if (selector === undefined || selector['sallyport/injected'] !== undefined) continue
      const names = selected(selector).map(({ name }) => name)
      t.equal(names.length, 1, `${chart} ${file}: ${kind} ${metadata.name} is for ${names.join(' and ')}`)
    }
  }
})

test('users and groups are left out where the platform assigns them', { skip }, async (t) => {
  const own = ['runAsUser', 'runAsGroup', 'fsGroup']
  const none = (prefix: string, names: string[], value: string) =>
    names.flatMap((name) => ['--set', `${prefix}${name}=${value}`])
  const rows = [
    { chart: 'issuer', file: 'trial', values: (value: string) => none('podSecurityContext.', own, value) },
    { chart: 'issuer', file: 'production', values: (value: string) => none('podSecurityContext.', own, value) },
    {
      chart: 'injector',
      file: 'minimal',
      values: (value: string) => [
        ...none('podSecurityContext.', own, value),
        ...none('sidecar.', ['runAsUser', 'runAsGroup'], value),
      ],
    },
    {
      chart: 'example',
      file: 'minimal',
      values: (value: string) => none('sidecar.', ['runAsUser', 'runAsGroup'], value),
    },
  ]
  for (const { chart, file, values } of rows) {
    const files = ciValues(chart).filter((path) => path.endsWith(`/${file}-values.yaml`))
    for (const helm of ['helm3', 'helm4'] as const) {
      for (const value of ['null', '0']) {
        const text = await render(folderOf!(chart), { files, helm, args: values(value) })
        t.notMatch(text, /runAsUser|runAsGroup|fsGroup:/, `${chart} ${file} ${helm}: ${value}`)
      }
    }
    const text = await render(folderOf!(chart), { files, args: values('1000680000') })
    t.match(text, /runAsUser: 1000680000\b/, 'large numbers stay what they are')
  }
})

test('a Pod has as long to end as what runs in it takes', { skip }, async (t) => {
  const seconds = (text: string | undefined) => Number(/^(\d+)s$/.exec(text ?? '')?.[1])
  for (const { chart, file, objects } of rendered) {
    const settings = objects.find(({ kind, data }) => kind === 'ConfigMap' && data?.SHUTDOWN_DEADLINE)?.data
    for (const { object, spec, containers } of podsOf(objects)) {
      if (object.kind === 'Job' || object.kind === 'Pod') continue
      for (const { name, env = [], lifecycle } of containers) {
        const of = (setting: string) => seconds(env.find((one: Spec) => one.name === setting)?.value)
        const needed =
          name === 'issuer' ? seconds(settings?.SHUTDOWN_DEADLINE) : of('DRAIN_DELAY') + of('DRAIN_DEADLINE')
        if (Number.isNaN(needed)) continue
        const slept = lifecycle?.preStop?.sleep?.seconds ?? 0
        t.ok(spec.terminationGracePeriodSeconds > needed + slept, `${chart} ${file}: ${nameOf(object)}, ${name}`)
      }
    }
  }
})

test('every object has the labels that all are to have, and no selector has them', { skip }, async (t) => {
  const files = ['trial-values.yaml', 'production-values.yaml', 'cert-manager-values.yaml']
  for (const { chart, file, objects } of rendered.filter((one) => files.includes(one.file))) {
    for (const object of objects) {
      t.equal(object.metadata.labels?.['cost-centre'], '4711', `${chart} ${file}: ${nameOf(object)}`)
      t.notMatch(JSON.stringify(object.spec?.selector ?? {}), /cost-centre/)
    }
    for (const { object, labels } of podsOf(objects)) t.equal(labels['cost-centre'], '4711', `Pod of ${nameOf(object)}`)
  }
})
