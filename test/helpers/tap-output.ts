/** What tap counted. A file that failed as a whole (it threw, timed out or had no test) counts as one failure. */
export interface Totals {
  passed: number
  failed: number
  skipped: number
}

export interface TapReader {
  /** Takes one line of tap's output, in order. */
  line(text: string): void
  /** The numbers of tap's own summary; undefined while there is none. */
  totals(): Totals | undefined
  /** Each skipped (or still-to-do) test: its file, its path of names and the reason. */
  skipped(): string[]
}

/**
 * Reads the TAP of a whole run, where each test file is a top-level subtest. Prints a line for each file with its time
 * and figures and, for a failed one, its failures with their diagnostics and whatever else the file printed.
 */
export function createTapReader(print: (line: string) => void): TapReader {
  let file = newFile(true)
  let totals: Totals | undefined
  const skipped: string[] = []

  return {
    totals: () => totals,
    skipped: () => skipped,
    line(text) {
      const top = resultLine.exec(text)
      if (top) {
        const [, not, name, time = '?'] = top
        print(`${not ? '✗' : '✓'} ${name}  ${time}`)
        if (not) for (const line of file.report) print(`    ${line}`)
        for (const figure of file.measured) print(`    ${figure}`)
        for (const test of file.skipped) {
          skipped.push(`${name} > ${test}`)
          print(`  - skipped: ${test}`)
        }
        file = newFile(true)
      } else if (/^# \{ total: .* \}$/.test(text)) totals = readSummary(text)
      else if (/^Bail out!/.test(text)) print(text)
      else if (text.startsWith('# Subtest: ')) file = newFile(false)
      else if (text.startsWith('    ') && !file.closed) readInFile(file, text.slice(4))
    },
  }
}

interface File {
  report: string[]
  skipped: string[]
  /** Comments of the form `measured: …`: figures worth reading even when all is well. */
  measured: string[]
  /** The subtests we are in, outermost first. */
  path: { indent: number; name: string; failures: number }[]
  /** Whether the diagnostics that may follow the last result are worth showing. */
  wantDiagnostics: boolean
  inDiagnostics: boolean
  /** Its result is out; what follows is the block that tells how its process was run. */
  closed: boolean
}

const newFile = (closed: boolean): File => ({
  report: [],
  skipped: [],
  measured: [],
  path: [],
  wantDiagnostics: false,
  inDiagnostics: false,
  closed,
})

const resultLine = /^(not )?ok \d+(?: - (.*?))?(?: # time=(\S+))?(?: # (SKIP|TODO)\b ?(.*?))?(?: \{)?$/

function readInFile(file: File, line: string): void {
  const text = line.trimStart()
  const indent = line.length - text.length
  if (file.inDiagnostics) {
    file.inDiagnostics = text !== '...'
    if (file.wantDiagnostics && file.inDiagnostics) file.report.push(line)
  } else if (text === '---') file.inDiagnostics = true
  else if (text.startsWith('# measured: ')) file.measured.push(text.slice(2))
  else if (text.startsWith('# Subtest: ')) {
    file.path.push({ indent, name: text.slice('# Subtest: '.length), failures: 0 })
  } else if (resultLine.test(text)) readResult(file, text, indent)
  else if (/^1\.\.\d+ # /.test(text)) file.report.push(text)
  else if (text !== '' && !/^(1\.\.\d+|# time=.*|\})$/.test(text)) file.report.push(line)
}

function readResult(file: File, text: string, indent: number): void {
  const [, not, name = '', , directive, reason] = resultLine.exec(text) ?? []
  const inner = file.path.at(-1)
  const subtest = inner?.indent === indent && inner.name === name ? file.path.pop() : undefined
  const path = [...file.path.map((test) => test.name), name].join(' > ')
  // A subtest that failed by what is inside of it has nothing to add.
  const failed = not !== undefined && !directive && !subtest?.failures
  if (directive) file.skipped.push(reason ? `${path} (${reason})` : path)
  if (failed) {
    file.report.push(`not ok: ${path}`)
    for (const test of file.path) test.failures++
  }
  file.wantDiagnostics = failed
}

function readSummary(line: string): Totals {
  const count = (name: string): number => Number(new RegExp(` ${name}: (\\d+)`).exec(line)?.[1] ?? 0)
  return { passed: count('pass'), failed: count('fail'), skipped: count('skip') + count('todo') }
}
