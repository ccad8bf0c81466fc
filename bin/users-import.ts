import { existsSync } from 'node:fs'
import { openAdministration } from '../issuer/administration.ts'
import { exportUsers } from '../issuer/export-users.ts'
import { importUsers } from '../issuer/import-users.ts'
import { integer } from '../shared/settings.ts'
import { checkSettings } from './known-settings.ts'
import { createProgressBar } from './progress-bar.ts'

export interface ImportUsersOptions {
  format?: string
  report?: string
  maxRefused: string
  superusers?: boolean
  dropSecondFactors?: boolean
}

const COUNT = integer(0, 10_000_000)
/** Some lines were refused; everything else is done. */
const EXIT_REFUSED = 2
const EXIT_INTERRUPTED = 130

/** Imports users from a file. Exit code 2 when lines were refused, 130 when it was interrupted. */
export async function importUsersFrom(
  env: NodeJS.ProcessEnv,
  file: string,
  options: ImportUsersOptions,
): Promise<void> {
  const maxRefused = COUNT.read(options.maxRefused)
  if (maxRefused === undefined) throw new Error(`--max-refused: ${options.maxRefused} is not ${COUNT.expects}`)
  const format = options.format ?? formatOf(file)
  if (format === undefined) {
    throw new Error(
      '--format: is needed, for the name of the file does not end as one of these does: csv, jsonl or keycloak',
    )
  }
  if (format !== 'csv' && format !== 'jsonl' && format !== 'keycloak') {
    throw new Error(`--format: ${format} is none of csv, jsonl, keycloak`)
  }
  const report = options.report ?? `${file}.refused.jsonl`
  checkSettings(env, ['issuer'])
  const bar = createProgressBar(process.stderr)
  const began = performance.now()
  const result = await withStores(env, ({ stores, audit, clock, signal }) =>
    importUsers(
      { users: stores.users, roles: stores.roles, audit, clock },
      {
        file,
        format,
        report,
        maxRefused,
        superusers: options.superusers ?? false,
        dropSecondFactors: options.dropSecondFactors ?? false,
        signal,
        onProgress({ offset, lines, imported, refused }, size) {
          const rate = Math.round((imported / (performance.now() - began)) * 1000)
          bar.update(
            size === 0 ? 1 : offset / size,
            `${lines} lines, ${imported} imported, ${refused} refused, ${rate}/s`,
          )
        },
      },
    ).finally(() => bar.end()),
  )
  const { imported, present, refused, lines, leftOut, complete, resumed } = result
  const counts = { lines, imported, present, refused, ...(format === 'keycloak' && { left_out: leftOut }) }
  process.stdout.write(`${JSON.stringify({ ...counts, complete, resumed })}\n`)
  if (refused > 0) process.stderr.write(`refused lines are in ${report}\n`)
  if (!complete) process.stderr.write('interrupted; the same command goes on from here\n')
  process.exitCode = !complete ? EXIT_INTERRUPTED : refused > 0 ? EXIT_REFUSED : 0
}

function formatOf(file: string): string | undefined {
  if (/\.csv$/i.test(file)) return 'csv'
  if (/\.json$/i.test(file)) return 'keycloak'
  return /\.(jsonl|ndjson)$/i.test(file) ? 'jsonl' : undefined
}

export interface ExportUsersOptions {
  withPasswordHashes?: boolean
  force?: boolean
}

/** Exports all users into a file that only its owner can read. */
export async function exportUsersTo(env: NodeJS.ProcessEnv, file: string, options: ExportUsersOptions): Promise<void> {
  if (existsSync(file) && !options.force) throw new Error(`${file} is there already; --force replaces it`)
  checkSettings(env, ['issuer'])
  const bar = createProgressBar(process.stderr)
  const users = await withStores(env, ({ stores, audit, signal }) =>
    exportUsers(
      { users: stores.users, audit },
      {
        file,
        withHashes: options.withPasswordHashes ?? false,
        signal,
        onProgress: (count) => bar.update(undefined, `${count} users`),
      },
    ).finally(() => bar.end()),
  )
  process.stdout.write(`${JSON.stringify({ users })}\n`)
}

type Opened = Awaited<ReturnType<typeof openAdministration>> & { signal: AbortSignal }

/** Opens the stores; Ctrl-C and SIGTERM stop the work in order. */
async function withStores<T>(env: NodeJS.ProcessEnv, work: (opened: Opened) => Promise<T>): Promise<T> {
  const stop = new AbortController()
  const onSignal = () => stop.abort(new Error('interrupted'))
  process.once('SIGINT', onSignal).once('SIGTERM', onSignal)
  const administration = await openAdministration(env)
  try {
    return await work({ ...administration, signal: stop.signal })
  } finally {
    process.removeListener('SIGINT', onSignal).removeListener('SIGTERM', onSignal)
    await administration.close()
  }
}
