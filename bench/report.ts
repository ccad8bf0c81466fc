/** The middle one; of an even number the upper of the two. */
export function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN
}

/** Rows as text in columns: the first to the left, figures to the right. The first row is the head. */
export function table(rows: readonly (readonly string[])[]): string {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)))
  const line = (row: readonly string[]) =>
    row.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!))).join('  ')
  const [head, ...body] = rows.map(line)
  return [head, '-'.repeat(head!.length), ...body].join('\n')
}

export function say(line = ''): void {
  process.stdout.write(`${line}\n`)
}

/** `-` where it is not known. */
export const megabytes = (bytes: number | undefined): string => (bytes === undefined ? '-' : (bytes / 1e6).toFixed(0))

/** How long requests of one kind took: milliseconds. */
export interface Latency {
  count: number
  p50: number
  p95: number
  p99: number
}

export function latencyOf(ms: readonly number[]): Latency {
  const sorted = Float64Array.from(ms).sort()
  const percentile = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0
  return { count: ms.length, p50: percentile(0.5), p95: percentile(0.95), p99: percentile(0.99) }
}
