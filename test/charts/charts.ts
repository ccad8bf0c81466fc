import { cpSync, globSync, mkdtempSync, readdirSync, readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { run } from '../servers/command.ts'
import { findChartTools } from '../servers/helm.ts'
import { guardFolder } from '../servers/watchdog.ts'

export const chartsFolder = join(import.meta.dirname, '../../charts')
export const chartNames = readdirSync(chartsFolder, { withFileTypes: true })
  .filter((entry) => entry.isDirectory())
  .map(({ name }) => name)
  .sort()

/** Those that render something by themselves. */
export const applications = chartNames.filter((chart) => {
  return !/^type: library$/m.test(readFileSync(join(chartsFolder, chart, 'Chart.yaml'), 'utf8'))
})

/** The versions of Kubernetes that the charts are for: what each Chart.yaml begins with, and the newest with schemas. */
export const OLDEST = '1.25.0'
export const NEWEST = '1.37.0'

export type Helm = 'helm3' | 'helm4'

/** Values files that a chart has for its own tests. */
export function ciValues(chart: string): string[] {
  return globSync('ci/*-values.yaml', { cwd: join(chartsFolder, chart) })
    .map((name) => join(chartsFolder, chart, name))
    .sort()
}

/**
 * A copy of charts with their dependencies in place, which Helm puts into the charts' folders. It goes with the process.
 * @param more folders of other charts, such as fixtures
 */
export async function prepareCharts(more: readonly string[] = []): Promise<(chart: string) => string> {
  const folder = temporaryFolder()
  for (const chart of chartNames) cpSync(join(chartsFolder, chart), join(folder, chart), { recursive: true })
  for (const path of more) cpSync(path, join(folder, path.split('/').at(-1)!), { recursive: true })
  for (const chart of readdirSync(folder)) {
    if (globSync('Chart.yaml', { cwd: join(folder, chart) }).length > 0) {
      await helm('helm3', ['dependency', 'update', '--skip-refresh', join(folder, chart)])
    }
  }
  return (chart) => join(folder, chart)
}

/** Runs Helm without anything that this user has configured for it. Throws an error with what it said if it fails. */
export async function helm(generation: Helm, args: string[]): Promise<string> {
  const tools = await findChartTools()
  const folder = helmHome()
  return run(tools[generation], args, {
    timeout: 300_000,
    env: {
      HELM_CACHE_HOME: join(folder, 'cache'),
      HELM_CONFIG_HOME: join(folder, 'config'),
      HELM_DATA_HOME: join(folder, 'data'),
      KUBECONFIG: join(folder, 'none'),
    },
  })
}

let home: string | undefined

function helmHome(): string {
  home ??= temporaryFolder()
  return home
}

function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'sallyport-charts-'))
  guardFolder(folder)
  return folder
}

export interface RenderOptions {
  helm?: Helm
  /** Values files. */
  files?: string[]
  /** Of the cluster, such as `1.29.0`; by default the newest. */
  kubeVersion?: string
  /** As for `--set` and its kin: `['--set', 'a.b=c']`. */
  args?: string[]
}

/** What a chart renders to. Throws an error with Helm's words if it doesn't. */
export function render(chart: string, options: RenderOptions): Promise<string> {
  const { helm: generation = 'helm3', files = [], kubeVersion = NEWEST, args = [] } = options
  const values = files.flatMap((file) => ['-f', file])
  const release = ['sallyport', chart, '--namespace', 'auth', '--kube-version', kubeVersion]
  return helm(generation, ['template', ...release, ...values, ...args])
}
