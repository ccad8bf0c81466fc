import { closeSync, openSync, readFileSync, renameSync, rmSync, statSync, truncateSync, writeSync } from 'node:fs'
import type { LinePlace } from './file-lines.ts'

/** How far an import has come. */
export interface ImportProgress extends LinePlace {
  imported: number
  /** Those that were there already, just so. */
  present: number
  refused: number
  /** Of how many of those imported something was left out, by what it is. */
  leftOut: Record<string, number>
}

export interface ImportState {
  /** Where it goes on: at the beginning, unless an earlier run on this very file was interrupted. */
  progress: ImportProgress
  /** Adds a line to the report. */
  refuse(line: number, reason: string): void
  /** To be called when all before this place is in the store. */
  save(progress: ImportProgress): void
  /** The import is complete: there is nothing to go on with. */
  finish(): void
  /** Leaves everything for the next run. */
  close(): void
}

const BEGINNING: Omit<ImportProgress, 'leftOut'> = { offset: 0, lines: 0, imported: 0, present: 0, refused: 0 }

/**
 * Keeps the state of an import beside its file, and the report of refused lines. Both are for the owner alone.
 * @param report the report's path
 * @param how the options by which it is read: with others a place means another, or lines come out otherwise
 * @throws the file system's error
 */
export function openImportState(file: string, report: string, how: string): ImportState {
  const path = `${file}.import-state.json`
  const { size, mtimeMs } = statSync(file)
  const kept = readState(path)
  // A file that has changed is another one; what is there already is found by the addresses.
  const goesOn = kept?.size === size && kept.mtimeMs === mtimeMs && kept.report === report && kept.how === how
  const progress: ImportProgress = goesOn ? kept.progress : { ...BEGINNING, leftOut: {} }
  let reportBytes = goesOn ? kept.reportBytes : 0
  const descriptor = openSync(report, 'a', 0o600)
  truncateSync(report, reportBytes)

  return {
    progress,
    refuse(line, reason) {
      reportBytes += writeSync(descriptor, `${JSON.stringify({ line, reason })}\n`)
    },
    save(progress) {
      const next = `${path}.next`
      const out = openSync(next, 'w', 0o600)
      writeSync(out, JSON.stringify({ size, mtimeMs, report, how, reportBytes, progress }))
      closeSync(out)
      renameSync(next, path)
    },
    finish() {
      closeSync(descriptor)
      rmSync(path, { force: true })
      if (reportBytes === 0) rmSync(report, { force: true })
    },
    close: () => closeSync(descriptor),
  }
}

interface KeptState {
  size: number
  mtimeMs: number
  report: string
  how: string
  reportBytes: number
  progress: ImportProgress
}

function readState(path: string): KeptState | undefined {
  try {
    const state = JSON.parse(readFileSync(path, 'utf8')) as KeptState
    const { reportBytes, progress } = state
    const counts = Object.keys(BEGINNING).map((name) => progress[name as 'lines'])
    const numbers = [reportBytes, ...counts, ...Object.values(progress.leftOut)]
    return numbers.every((value) => Number.isSafeInteger(value) && value >= 0) ? state : undefined
  } catch {
    return undefined
  }
}
