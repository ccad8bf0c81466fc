import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'tap'
import { parse } from 'yaml'
import { addProcessMetrics, createMetrics } from '../../shared/metrics.ts'
import { missingChartTools } from '../servers/kubeconform.ts'
import { chartsFolder, ciValues, prepareCharts, render } from './charts.ts'
import { objectOf, objectsOf } from './objects.ts'

const skip = await missingChartTools()
const folderOf = skip ? undefined : await prepareCharts()

const ISSUER = join(chartsFolder, 'issuer')
const ALERTS = [join(ISSUER, 'alerts.yaml'), join(chartsFolder, 'injector/alerts.yaml')]
const DOCUMENTED = readFileSync(join(chartsFolder, '../docs/metrics.md'), 'utf8')

interface Metric {
  type: string
  labels: string[]
}

async function knownMetrics(): Promise<Map<string, Metric>> {
  const known = new Map<string, Metric>(Object.entries(OF_KUBERNETES))
  for (const [, name, type, labels] of DOCUMENTED.matchAll(/^\| `(\w+)` \| (\w+) \| (.*?) \|/gm)) {
    const before = known.get(name!)?.labels ?? []
    known.set(name!, {
      type: type!,
      labels: [...before, ...[...labels!.matchAll(/`(\w+)`/g)].map(([, label]) => label!)],
    })
  }
  const process = createMetrics()
  await addProcessMetrics(process)
  for (const { name, type } of await process.getMetricsAsJSON()) known.set(name, { type: String(type), labels: [] })
  return known
}

/** Labels that Prometheus adds. */
const TARGET_LABELS = ['namespace', 'pod', 'le']
const WORDS =
  /^(sum|max|min|avg|count|by|rate|increase|time|histogram_quantile|on|without|and|or|unless|offset|absent)$/
/** Metrics of API servers (kubernetes.io/docs/reference/instrumentation/metrics), which tell of what the injector can't. */
const OF_KUBERNETES: Record<string, Metric> = {
  apiserver_admission_webhook_fail_open_count: { type: 'counter', labels: ['name', 'type'] },
  apiserver_admission_webhook_rejection_count: {
    type: 'counter',
    labels: ['error_type', 'name', 'operation', 'rejection_code', 'type'],
  },
}

/** The metrics in an expression, each with the labels that are asked of something in it. */
function usedIn(expr: string): { metrics: string[]; labels: string[] } {
  const bare = expr.replace(/"[^"]*"/g, '').replace(/\[[^\]]*\]/g, '')
  const selected = [...bare.matchAll(/(\w+)\s*(?:=~|!~|!=|=(?!=))/g)].map(([, label]) => label!)
  const grouped = [...bare.matchAll(/\b(?:by|on) \(([^)]*)\)/g)].flatMap(([, list]) =>
    list!.split(',').map((label) => label.trim()),
  )
  const names = bare.replace(/\{[^}]*\}/g, '').replace(/\b(?:by|on) \([^)]*\)/g, '')
  const metrics = [...names.matchAll(/\b[a-z]\w+/g)].map(([name]) => name).filter((name) => !WORDS.test(name))
  return { metrics, labels: [...selected, ...grouped] }
}

async function expressions(): Promise<{ where: string; expr: string }[]> {
  const dashboard = JSON.parse(readFileSync(join(ISSUER, 'dashboards/sallyport.json'), 'utf8'))
  const groups = ALERTS.flatMap((file) => parse(readFileSync(file, 'utf8')).groups)
  return [
    ...dashboard.panels.flatMap((panel: { title: string; targets?: { expr: string }[] }) =>
      (panel.targets ?? []).map(({ expr }) => ({ where: `panel ${panel.title}`, expr })),
    ),
    ...groups.flatMap(({ rules }: { rules: { alert: string; expr: string }[] }) =>
      rules.map(({ alert, expr }) => ({ where: `alert ${alert}`, expr })),
    ),
  ]
}

test('dashboard and alerts ask for metrics and labels that there are', async (t) => {
  const known = await knownMetrics()
  const all = await expressions()
  t.ok(all.length > 40)
  for (const { where, expr } of all) {
    const { metrics, labels } = usedIn(expr)
    t.ok(metrics.length > 0, `${where} asks for something`)
    const found = metrics.map((name) => {
      const base = name.replace(/_(bucket|sum|count)$/, '')
      const metric = known.get(name) ?? (known.get(base)?.type === 'histogram' ? known.get(base) : undefined)
      t.ok(metric, `${where}: ${name}`)
      const isPresence = new RegExp(`(absent\\(|\\bon \\([^)]*\\) )${name}`).test(expr)
      if (metric?.type === 'counter' && !isPresence) {
        t.match(expr, /rate\(|increase\(/, `${where}: ${name} only grows`)
      }
      return metric
    })
    for (const label of labels) {
      t.ok(
        TARGET_LABELS.includes(label) || found.some((metric) => metric?.labels.includes(label)),
        `${where}: ${label}`,
      )
    }
  }
})

test('what every second program calls the same is asked of issuers only', async (t) => {
  const asking = (await expressions()).filter(({ expr }) => expr.includes('http_request_duration_seconds'))
  t.ok(asking.length > 2)
  for (const { where, expr } of asking) {
    const times = expr.split('http_request_duration_seconds').length
    t.equal(expr.split(/\]\) and on \(namespace, pod\) signing_keys\)/).length, times, where)
  }
})

test('every metric to alert on, as docs/metrics.md has them, has an alert', async (t) => {
  const [, list = ''] = /What to alert on:\n\n([\s\S]*?)\n\n/.exec(DOCUMENTED) ?? []
  const names = [...list.matchAll(/`([a-z]\w+)/g)].map(([, name]) => name!)
  t.ok(names.length > 5)
  const alerted = (await expressions())
    .filter(({ where }) => where.startsWith('alert'))
    .flatMap(({ expr }) => usedIn(expr).metrics)
  for (const name of names) t.ok(alerted.includes(name), name)
})

for (const [chart, monitored] of [
  ['issuer', ['--set', 'serviceMonitor.enabled=true']],
  ['injector', ['--set', 'podMonitor.enabled=true', '--set-json', 'networkPolicy.metricsFrom=[{"podSelector":{}}]']],
] as const) {
  test(`${chart}: the alerts are what alerts.yaml has; without a monitor, but for that nobody is seen`, {
    skip,
  }, async (t) => {
    const files = ciValues(chart).filter((file) => /(embedded|minimal)-values/.test(file))
    const groups = async (args: readonly string[]) => {
      const text = await render(folderOf!(chart), { files, args: ['--set', 'prometheusRule.enabled=true', ...args] })
      return objectOf(objectsOf(text), 'PrometheusRule').spec.groups
    }
    const whole = parse(readFileSync(join(chartsFolder, chart, 'alerts.yaml'), 'utf8')).groups
    t.same(await groups(monitored), whole)
    const seen = whole.map((group: { rules: { expr: string }[] }) => ({
      ...group,
      rules: group.rules.filter(({ expr }) => !expr.includes('absent(')),
    }))
    t.notSame(seen, whole)
    t.same(await groups([]), seen)
  })
}

test('each panel has a place and an id of its own', async (t) => {
  const { panels } = JSON.parse(readFileSync(join(ISSUER, 'dashboards/sallyport.json'), 'utf8'))
  const places = panels.map(({ gridPos: { x, y } }: { gridPos: { x: number; y: number } }) => `${x} ${y}`)
  t.equal(new Set(places).size, panels.length)
  t.equal(new Set(panels.map(({ id }: { id: number }) => id)).size, panels.length)
})

test('each alert says in words what is wrong and how bad it is, and no other has its name', async (t) => {
  const rules: { alert: string; labels?: object; annotations?: object }[] = ALERTS.flatMap((file) =>
    parse(readFileSync(file, 'utf8')).groups.flatMap(({ rules }: { rules: object[] }) => rules),
  )
  t.equal(new Set(rules.map(({ alert }) => alert)).size, rules.length)
  for (const { alert, labels, annotations } of rules) {
    t.match(labels, { severity: /^(critical|warning)$/ }, alert)
    t.match(annotations, { summary: /^[A-Z].*[^.]$/, description: /\.$/ }, alert)
  }
})

test('what is in no namespace of the dashboard is in none of its lists', async (t) => {
  const { templating } = JSON.parse(readFileSync(join(ISSUER, 'dashboards/sallyport.json'), 'utf8'))
  const { query } = templating.list.find(({ name }: { name: string }) => name === 'namespace').query
  const [, names = ''] = /__name__=~"([^"]*)"/.exec(query) ?? []
  const known = await knownMetrics()
  for (const name of names.split('|')) t.ok(known.has(name), name)
  t.equal(names.split('|').length, 3, 'one metric of each: sidecar, issuer, injector')
})
