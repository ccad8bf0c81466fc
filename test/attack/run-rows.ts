import { randomUUID } from 'node:crypto'
import type { Deployment, Shot } from './deployment.ts'
import { broken, type Finding, notApplicable } from './judge.ts'
import { bare, ordinaryFields } from './requests.ts'
import { type AttackClass, missingNeed, type Row, WHAT_IS_NEEDED } from './row.ts'

export interface Result extends Finding {
  attackClass: AttackClass
  row: Row
  /** Milliseconds. */
  tookMs: number
}

export interface RunOptions {
  /** Asked before each row: the deployment, with a token that still lives. */
  deployment(): Promise<Deployment>
  /** Rows that begin after this instant (milliseconds since the epoch) are left out. */
  deadlineMs: number
  /** Told each result as soon as it and all before it are there. */
  onResult(result: Result): void
}

/**
 * Runs the rows of these classes in order. Slow ones are begun first and run beside the others, a few at once.
 * @returns the results in order
 */
export async function runRows(classes: readonly AttackClass[], options: RunOptions): Promise<Result[]> {
  const jobs = classes.flatMap((attackClass) => attackClass.rows.map((row) => ({ attackClass, row })))
  const slow = new Map<Row, Promise<Result>>()
  for (const { attackClass, row } of jobs) if (row.slow) slow.set(row, runRow(attackClass, row, options))
  const results: Result[] = []
  for (const { attackClass, row } of jobs) {
    const result = await (slow.get(row) ?? runRow(attackClass, row, options))
    results.push(result)
    options.onResult(result)
  }
  return results
}

/** Runs one row; what goes wrong on the way is a finding too. */
export async function runRow(
  attackClass: AttackClass,
  row: Row,
  options: Omit<RunOptions, 'onResult'>,
): Promise<Result> {
  const startedAt = performance.now()
  const finding = await find(row, options).catch((error: NodeJS.ErrnoException) =>
    broken(`no connection: ${error.code ?? error.message}`),
  )
  return { attackClass, row, ...finding, tookMs: performance.now() - startedAt }
}

async function find(row: Row, { deployment, deadlineMs }: Omit<RunOptions, 'onResult'>): Promise<Finding> {
  if (Date.now() > deadlineMs) return notApplicable('the time is up (--within)')
  const known = await deployment()
  const need = missingNeed(row, known)
  return need === undefined ? row.run(shotAt(known)) : notApplicable(WHAT_IS_NEEDED[need])
}

/** A deployment with what marks one row's bytes. */
function shotAt(deployment: Deployment): Shot {
  const shot = { ...deployment, marker: randomUUID().slice(0, 13), hidden: '' }
  const line = `GET ${deployment.path}?hidden-${shot.marker} HTTP/1.1`
  return { ...shot, hidden: bare(line, [`Host: ${deployment.host}`, ...ordinaryFields(shot)]) }
}
