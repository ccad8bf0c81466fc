/** One metric of a `/metrics` answer, without its values. */
export interface ExposedMetric {
  name: string
  type: string
  help: string
  /** Those that its samples carry. */
  labels: string[]
}

/** Reads the Prometheus text format; Node's and the process's own metrics are left out. */
export function readMetrics(text: string): ExposedMetric[] {
  const metrics = new Map<string, ExposedMetric>()
  for (const line of text.split('\n')) {
    const [, kind, name = '', rest = ''] = /^# (HELP|TYPE) (\S+) (.*)$/.exec(line) ?? []
    if (kind === 'HELP') metrics.set(name, { name, type: '', help: rest, labels: [] })
    else if (kind === 'TYPE') metrics.get(name)!.type = rest
    const [, sample, labels = ''] = /^([a-z_]+?)(?:_bucket|_sum|_count)?\{(.*)\} /.exec(line) ?? []
    const metric = sample === undefined ? undefined : metrics.get(sample)
    if (!metric) continue
    const names = [...labels.matchAll(/(\w+)="/g)].map(([, label]) => label!).filter((label) => label !== 'le')
    metric.labels = [...new Set([...metric.labels, ...names])]
  }
  return [...metrics.values()].filter(({ name }) => !/^(process|nodejs)_/.test(name))
}
