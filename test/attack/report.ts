import type { Verdict } from './judge.ts'
import type { Result } from './run-rows.ts'

export interface Counts {
  held: number
  BROKEN: number
  'not applicable': number
}

export function countsOf(results: readonly Result[]): Counts {
  const counts: Counts = { held: 0, BROKEN: 0, 'not applicable': 0 }
  for (const { verdict } of results) counts[verdict]++
  return counts
}

const LABELS: Record<Verdict, string> = { held: 'held   ', BROKEN: 'BROKEN ', 'not applicable': 'n/a    ' }

/** The lines for one result; the class is announced with its first row. */
export function resultLines({ attackClass, row, verdict, observed }: Result): string[] {
  const known = attackClass.known.length > 0 ? ` (${attackClass.known.join(', ')})` : ''
  const title = [``, `${attackClass.title}${known}`, `must hold: ${attackClass.holds}`]
  const line = `  ${LABELS[verdict]} ${row.sent}: ${observed}${verdict === 'BROKEN' ? ` [expected: ${row.expected}]` : ''}`
  return row === attackClass.rows[0] ? [...title, line] : [line]
}

/** How it ended, and what would let more rows run. */
export function summaryLines(results: readonly Result[]): string[] {
  const counts = countsOf(results)
  const reasons = new Map<string, number>()
  for (const { verdict, observed } of results) {
    if (verdict === 'not applicable') reasons.set(observed, (reasons.get(observed) ?? 0) + 1)
  }
  return [
    '',
    ...[...reasons].map(([reason, count]) => `not applicable, ${count}: ${reason}`),
    ...results.flatMap(({ attackClass, row, verdict, observed }) =>
      verdict === 'BROKEN' ? [`BROKEN: ${attackClass.id}: ${row.sent}: ${observed}`] : [],
    ),
    `${counts.held} held, ${counts.BROKEN} BROKEN, ${counts['not applicable']} not applicable`,
  ]
}

/** Everything, for programs. */
export function reportObject(url: string, results: readonly Result[]): object {
  return {
    url,
    counts: countsOf(results),
    rows: results.map(({ attackClass, row, verdict, observed, tookMs }) => ({
      class: attackClass.id,
      known: attackClass.known,
      sent: row.sent,
      expected: row.expected,
      observed,
      verdict,
      took_ms: Math.round(tookMs),
    })),
  }
}
