import { statSync } from 'node:fs'
import type { Clock } from '../shared/clock.ts'
import { fileLines, type Line } from './adapters/file-lines.ts'
import { type ImportProgress, type ImportState, openImportState } from './adapters/import-state.ts'
import { openKeycloakUsers } from './adapters/keycloak-lines.ts'
import { csvReader, type ReadLine, readJsonLine } from './adapters/user-lines.ts'
import type { Audit, Roles, Users } from './domain/ports.ts'
import type { User } from './domain/user.ts'
import { type ImportRules, readUserRecord } from './domain/user-record.ts'

export interface ImportPorts {
  users: Users
  roles: Roles
  audit: Audit
  clock: Clock
}

export interface ImportOptions {
  file: string
  /** `keycloak`: a realm export. */
  format: 'csv' | 'jsonl' | 'keycloak'
  /** Whether users of such an export who have a second factor may come without it. */
  dropSecondFactors?: boolean
  /** Where refused lines are reported. */
  report: string
  /** More refused lines than this, and it is likely the wrong file: the import stops. */
  maxRefused: number
  /** Whether lines may make superusers. */
  superusers: boolean
  /** Stops it after the lines that are being written. */
  signal: AbortSignal
  /** Told after every batch. @param size what `progress.offset` has come to at the end */
  onProgress(progress: ImportProgress, size: number): void
}

export type Imported = ImportProgress & { complete: boolean; resumed: boolean }

/** A hash is at most 300 bytes, an address 255, a name 200: bytes. */
const MAX_LINE_BYTES = 16 * 1024
/** How many users are written at once. */
const BATCH = 500

/**
 * Imports users from a file, a line each, in batches. It can be interrupted at any point and run again: it goes on
 * where it was, and a user who is there already, with this very password hash, is counted and left alone.
 * @throws StoreUnavailable, the file system's error, Error for a file that can't be one of users
 */
export async function importUsers(ports: ImportPorts, options: ImportOptions): Promise<Imported> {
  const { file, format, report, signal, onProgress, maxRefused, superusers, dropSecondFactors = false } = options
  const state = openImportState(file, report, JSON.stringify({ format, superusers, dropSecondFactors }))
  const { progress } = state
  const resumed = progress.offset > 0
  try {
    const roles = new Set((await ports.roles.all()).map(({ name }) => name))
    const rules: ImportRules = { nowMs: ports.clock.now(), roles, superusers }
    const { size, lines: all, readLine } = await openSource(options, progress)
    for await (const lines of inBatches(all)) {
      await importBatch(ports, lines, readLine, rules, state)
      onProgress(progress, size)
      if (progress.refused > maxRefused) throw new Error(`more than ${maxRefused} lines were refused; see ${report}`)
      if (signal.aborted) break
    }
    const complete = progress.offset === size
    if (complete) state.finish()
    else state.close()
    const { imported, present, refused } = progress
    ports.audit.record('users_imported', { imported, present, refused, complete })
    return { ...progress, complete, resumed }
  } catch (error) {
    state.close()
    throw error
  }
}

interface Source {
  /** What `progress.offset` has come to at the end. */
  size: number
  /** Those that are left. */
  lines: AsyncIterable<Line>
  readLine: ReadLine
}

async function openSource(
  { file, format, dropSecondFactors }: ImportOptions,
  progress: ImportProgress,
): Promise<Source> {
  if (format === 'keycloak') {
    const { count, lines } = openKeycloakUsers(file, dropSecondFactors ?? false)
    return { size: count, lines: lines(progress), readLine: readJsonLine }
  }
  const readLine = format === 'csv' ? await readHeader(file, progress) : readJsonLine
  return { size: statSync(file).size, lines: fileLines(file, progress, MAX_LINE_BYTES), readLine }
}

/** The first line names the fields. */
async function readHeader(file: string, progress: ImportProgress): Promise<ReadLine> {
  for await (const { text, end } of fileLines(file, { offset: 0, lines: 0 }, MAX_LINE_BYTES)) {
    const reader = text === undefined ? undefined : csvReader(text)
    if (!reader) break
    if (progress.offset === 0) Object.assign(progress, { offset: end, lines: 1 })
    return reader
  }
  throw new Error(`${file}: the first line has to name the fields, such as email,password_hash`)
}

async function* inBatches(lines: AsyncIterable<Line>): AsyncGenerator<Line[]> {
  let batch: Line[] = []
  for await (const line of lines) {
    batch.push(line)
    if (batch.length < BATCH) continue
    yield batch
    batch = []
  }
  if (batch.length > 0) yield batch
}

/** Writes what is right in these lines, reports the rest, and notes that they are done. */
async function importBatch(
  { users }: ImportPorts,
  lines: Line[],
  readLine: ReadLine,
  rules: ImportRules,
  { progress, refuse, save }: ImportState,
): Promise<void> {
  const outcomes = lines.map((line) => ({ line, read: readUser(line, readLine, rules) }))
  const found = outcomes.flatMap(({ read }) => (read?.ok ? [read.user] : []))
  const inserted = await users.insertMany(found)
  const next = inserted.values()
  for (const { line, read } of outcomes) {
    if (read === undefined) continue
    const result = read.ok ? next.next().value! : undefined
    if (read.ok && result?.ok) {
      progress.imported++
      for (const name of line.leftOut ?? []) progress.leftOut[name] = (progress.leftOut[name] ?? 0) + 1
    } else if (read.ok && (await isPresent(users, read.user))) progress.present++
    else {
      progress.refused++
      refuse(line.number, read.ok ? `${(result as { taken: string }).taken}: another user has it` : read.reason)
    }
  }
  const last = lines.at(-1)!
  progress.offset = last.end
  progress.lines = last.number
  save(progress)
}

/** @returns `undefined` for an empty line */
function readUser({ text, refused }: Line, readLine: ReadLine, rules: ImportRules) {
  if (refused !== undefined) return { ok: false, reason: refused } as const
  if (text === undefined) return { ok: false, reason: `not UTF-8, or longer than ${MAX_LINE_BYTES} bytes` } as const
  if (text.trim() === '') return undefined
  const record = readLine(text)
  return record === undefined ? ({ ok: false, reason: 'cannot be read' } as const) : readUserRecord(record, rules)
}

/** By an earlier run, which may have ended before it could note that. */
async function isPresent(users: Users, { emailKey, passwordHash }: User): Promise<boolean> {
  return (await users.byEmailKey(emailKey))?.passwordHash === passwordHash
}
