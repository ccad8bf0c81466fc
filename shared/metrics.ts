import { Counter, Gauge, Histogram, Registry } from 'prom-client'

/** Where the metrics of one process part are collected. One registry each, so that two parts can share a process. */
export type Metrics = Registry

export function createMetrics(): Metrics {
  return new Registry()
}

export function counter<L extends string>(metrics: Metrics, name: string, help: string, labels: readonly L[] = []) {
  return new Counter({ name, help, labelNames: labels, registers: [metrics] })
}

/** @param read gives the value at the time of the scrape, so that nothing has to be kept up to date in between */
export function gauge(metrics: Metrics, name: string, help: string, read: () => number) {
  return new Gauge({
    name,
    help,
    registers: [metrics],
    collect() {
      this.set(read())
    },
  })
}

/** As {@link gauge}, for several values of one label. */
export function gaugeBy(metrics: Metrics, name: string, help: string, label: string, read: () => Map<string, number>) {
  return new Gauge({
    name,
    help,
    labelNames: [label],
    registers: [metrics],
    collect() {
      this.reset()
      for (const [value, count] of read()) this.set({ [label]: value }, count)
    },
  })
}

/** @param buckets upper bounds, in the unit of the name (seconds) */
export function histogram<L extends string>(
  metrics: Metrics,
  name: string,
  help: string,
  labels: readonly L[],
  buckets: number[],
) {
  return new Histogram({ name, help, labelNames: labels, buckets, registers: [metrics] })
}

/** Memory, CPU and event-loop figures of the process, under the names that dashboards expect. */
export async function addProcessMetrics(metrics: Metrics): Promise<void> {
  const { collectDefaultMetrics } = await import('prom-client')
  collectDefaultMetrics({ register: metrics })
}
