import { type Lifecycle, pause } from '../../shared/lifecycle.ts'
import type { Log } from '../../shared/log.ts'
import { counter, gauge, type Metrics } from '../../shared/metrics.ts'
import { SettingsError } from '../../shared/settings.ts'
import { createRouteTable, type RouteTable } from '../domain/routes.ts'
import { locatedText, parseRoutesContent, type RoutesContent, readRoutesContent } from './routes-content.ts'

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
  let last = await readRoutesContent(path)
  const first = parseRoutesContent(last)
  if (!first.ok) throw new SettingsError(first.problems.map((found) => `ROUTES_FILE: ${path}:${locatedText(found)}`))
  onRoutes(createRouteTable(first.routes))

  let right = true
  const reloads = observe(options.metrics, () => right)
  const reload = (content: RoutesContent) => {
    const parsed = parseRoutesContent(content)
    right = parsed.ok
    reloads.inc({ outcome: right ? 'applied' : 'refused' })
    if (!parsed.ok) {
      const problems = parsed.problems.map(locatedText)
      log.error({ path, problems }, 'the routes file has problems; the rules before stay in force')
      return
    }
    onRoutes(createRouteTable(parsed.routes))
    log.info({ path, routes: parsed.routes.length }, 'the routes file was read again')
  }

  const watch = async () => {
    let seen = last
    for (await pause(everyMs, signal); !signal.aborted; await pause(everyMs, signal)) {
      const content = await readRoutesContent(path)
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

function isSame(a: RoutesContent, b: RoutesContent): boolean {
  return 'text' in a ? 'text' in b && a.text === b.text : 'error' in b && a.error === b.error
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
