import { readFile } from 'node:fs/promises'
import { parseDocument } from 'yaml'
import { type Lifecycle, pause } from '../../shared/lifecycle.ts'
import type { Log } from '../../shared/log.ts'
import { counter, gauge, type Metrics } from '../../shared/metrics.ts'
import { SettingsError } from '../../shared/settings.ts'
import { type ParsedRoutes, parseRoutes } from '../domain/route-document.ts'
import { createRouteTable, type RouteTable } from '../domain/routes.ts'

export interface RoutesFileOptions {
  /** The file; YAML or JSON, which is YAML too. */
  path: string
  /** Told of the rules at the start and after each change that is right. */
  onRoutes(table: RouteTable): void
  log: Log
  metrics: Metrics
  lifecycle: Lifecycle
  /** How often the file is looked at: milliseconds. */
  everyMs?: number
}

const MAX_BYTES = 1024 * 1024

/**
 * Reads the routes file, and again whenever it changes. Its content is compared, not watched for: that holds on every
 * file system and for the links that Kubernetes exchanges in a mounted ConfigMap. A new content counts once it is the
 * same at two looks in a row, so that nothing half written is taken for the rules; a new content with problems leaves the
 * old rules in force.
 * @throws SettingsError with every problem, when the first content has any
 */
export async function startRoutesFile(options: RoutesFileOptions): Promise<void> {
  const { path, onRoutes, log, lifecycle, everyMs = 1000 } = options
  const { signal } = lifecycle
  let last = await read(path)
  const first = parseContent(last)
  if (!first.ok) throw new SettingsError(first.problems.map((problem) => `ROUTES_FILE: ${path}: ${problem}`))
  onRoutes(createRouteTable(first.routes))

  let right = true
  const reloads = observe(options.metrics, () => right)
  const reload = (content: Content) => {
    const parsed = parseContent(content)
    right = parsed.ok
    reloads.inc({ outcome: right ? 'applied' : 'refused' })
    if (!parsed.ok) {
      log.error({ path, problems: parsed.problems }, 'the routes file has problems; the rules before stay in force')
      return
    }
    onRoutes(createRouteTable(parsed.routes))
    log.info({ path, routes: parsed.routes.length }, 'the routes file was read again')
  }

  const watch = async () => {
    let seen = last
    for (await pause(everyMs, signal); !signal.aborted; await pause(everyMs, signal)) {
      const content = await read(path)
      if (!isSame(content, last) && isSame(content, seen)) {
        last = content
        reload(content)
      }
      seen = content
    }
  }
  const watching = watch()
  lifecycle.onClose('routes file', () => watching)
}

type Content = { text: string } | { error: string }

async function read(path: string): Promise<Content> {
  try {
    const bytes = await readFile(path)
    return bytes.length > MAX_BYTES
      ? { error: `the file has more than ${MAX_BYTES} bytes` }
      : { text: new TextDecoder('utf-8', { fatal: true }).decode(bytes) }
  } catch (error) {
    return { error: `the file cannot be read (${(error as NodeJS.ErrnoException).code})` }
  }
}

function isSame(a: Content, b: Content): boolean {
  return 'text' in a ? 'text' in b && a.text === b.text : 'error' in b && a.error === b.error
}

function parseContent(content: Content): ParsedRoutes {
  if ('error' in content) return { ok: false, problems: [content.error] }
  const document = parseDocument(content.text, { prettyErrors: true })
  const problems = [...document.errors, ...document.warnings].map(({ message }) => message.split('\n', 1)[0]!)
  if (problems.length > 0) return { ok: false, problems }
  try {
    return parseRoutes(document.toJS())
  } catch (error) {
    // An alias without its anchor, or so many that they would fill the memory.
    return { ok: false, problems: [(error as Error).message] }
  }
}

function observe(metrics: Metrics, right: () => boolean) {
  gauge(
    metrics,
    'routes_file_right',
    'Whether the routes file, as it is now, is in force: 1, or has problems: 0.',
    () => Number(right()),
  )
  return counter(metrics, 'routes_reloads_total', 'Changes of the routes file, by outcome.', ['outcome'])
}
