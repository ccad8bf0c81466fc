import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'tap'
import { parse } from 'yaml'
import { addProcessMetrics, createMetrics } from '../../shared/metrics.ts'
import { chartsFolder } from './charts.ts'

const ISSUER = join(chartsFolder, 'issuer')
const DOCUMENTED = readFileSync(join(chartsFolder, '../docs/metrics.md'), 'utf8')

interface Metric {
  type: string
  labels: string[]
}

async function knownMetrics(): Promise<Map<string, Metric>> {
  const known = new Map<string, Metric>()
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
const WORDS = /^(sum|max|min|avg|count|by|rate|increase|time|histogram_quantile|on|without)$/

/** The metrics in an expression, each with the labels that are asked of something in it. */
function usedIn(expr: string): { metrics: string[]; labels: string[] } {
  const bare = expr.replace(/"[^"]*"/g, '').replace(/\[[^\]]*\]/g, '')
  const selected = [...bare.matchAll(/(\w+)\s*(?:=~|!~|!=|=(?!=))/g)].map(([, label]) => label!)
  const grouped = [...bare.matchAll(/\bby \(([^)]*)\)/g)].flatMap(([, list]) =>
    list!.split(',').map((label) => label.trim()),
  )
  const names = bare.replace(/\{[^}]*\}/g, '').replace(/\bby \([^)]*\)/g, '')
  const metrics = [...names.matchAll(/\b[a-z]\w+/g)].map(([name]) => name).filter((name) => !WORDS.test(name))
  return { metrics, labels: [...selected, ...grouped] }
}

async function expressions(): Promise<{ where: string; expr: string }[]> {
  const dashboard = JSON.parse(readFileSync(join(ISSUER, 'dashboards/sallyport.json'), 'utf8'))
  const alerts = parse(readFileSync(join(ISSUER, 'alerts.yaml'), 'utf8'))
  return [
    ...dashboard.panels.flatMap((panel: { title: string; targets?: { expr: string }[] }) =>
      (panel.targets ?? []).map(({ expr }) => ({ where: `panel ${panel.title}`, expr })),
    ),
    ...alerts.groups.flatMap(({ rules }: { rules: { alert: string; expr: string }[] }) =>
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
      if (metric?.type === 'counter') t.match(expr, /rate\(|increase\(/, `${where}: ${name} only grows`)
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

test('every metric to alert on, as docs/metrics.md has them, has an alert', async (t) => {
  const [, list = ''] = /What to alert on:\n\n([\s\S]*?)\n\n/.exec(DOCUMENTED) ?? []
  const names = [...list.matchAll(/`([a-z]\w+)/g)].map(([, name]) => name!)
  t.ok(names.length > 5)
  const alerted = (await expressions())
    .filter(({ where }) => where.startsWith('alert'))
    .flatMap(({ expr }) => usedIn(expr).metrics)
  for (const name of names) t.ok(alerted.includes(name), name)
})

test('each panel has a place and an id of its own', async (t) => {
  const { panels } = JSON.parse(readFileSync(join(ISSUER, 'dashboards/sallyport.json'), 'utf8'))
  const places = panels.map(({ gridPos: { x, y } }: { gridPos: { x: number; y: number } }) => `${x} ${y}`)
  t.equal(new Set(places).size, panels.length)
  t.equal(new Set(panels.map(({ id }: { id: number }) => id)).size, panels.length)
})
