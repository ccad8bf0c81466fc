import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { onPath, run } from './command.ts'
import { buildGoPrograms, type GoProgram } from './go.ts'
import { missingVariable, ServerUnavailable } from './sources.ts'

const HELM3 = '3.22.0'
const HELM4 = '4.3.1'

interface ChartTool {
  /** The environment variable that can name the program. */
  variable: string
  /** Names on the PATH. */
  names: string[]
  /** How it tells its version, and what that has to look like; without it any will do. */
  version?: { args: string[]; pattern: RegExp }
  source: GoProgram
}

/** What the charts are checked with. Both generations of Helm are called `helm`. */
const TOOLS = {
  helm3: {
    variable: 'TEST_HELM3_PROGRAM',
    names: ['helm3', 'helm'],
    version: { args: ['version', '--short'], pattern: /^v3\./m },
    source: {
      name: 'helm3',
      module: 'helm.sh/helm/v3',
      version: HELM3,
      path: 'cmd/helm',
      stamp: { 'helm.sh/helm/v3/internal/version.version': `v${HELM3}` },
    },
  },
  helm4: {
    variable: 'TEST_HELM4_PROGRAM',
    names: ['helm4', 'helm'],
    version: { args: ['version', '--short'], pattern: /^v4\./m },
    source: {
      name: 'helm4',
      module: 'helm.sh/helm/v4',
      version: HELM4,
      path: 'cmd/helm',
      stamp: { 'helm.sh/helm/v4/internal/version.version': `v${HELM4}` },
    },
  },
  'helm-unittest': {
    variable: 'TEST_HELM_UNITTEST_PROGRAM',
    names: ['helm-unittest', 'untt'],
    source: {
      name: 'helm-unittest',
      module: 'github.com/helm-unittest/helm-unittest',
      version: '1.1.2',
      path: 'cmd/helm-unittest',
      replace: { 'github.com/vmware-labs/yaml-jsonpath v0.3.2': 'github.com/helm-unittest/yaml-jsonpath v0.4.0' },
    },
  },
  kubeconform: {
    variable: 'TEST_KUBECONFORM_PROGRAM',
    names: ['kubeconform'],
    source: {
      name: 'kubeconform',
      module: 'github.com/yannh/kubeconform',
      version: '0.8.0',
      path: 'cmd/kubeconform',
    },
  },
} satisfies Record<string, ChartTool>

export type ChartToolName = keyof typeof TOOLS
export type ChartTools = Record<ChartToolName, string>

let found: Promise<ChartTools> | undefined

/**
 * The programs that check the charts: each named by its variable, on the PATH, or built from its Go module.
 * @throws ServerUnavailable
 */
export function findChartTools(): Promise<ChartTools> {
  found ??= find()
  return found
}

async function find(): Promise<ChartTools> {
  if (process.env[missingVariable]?.split(',').includes('helm')) throw new ServerUnavailable("Helm can't be had here")
  const entries = Object.entries<ChartTool>(TOOLS)
  const files: Record<string, string> = {}
  for (const [name, tool] of entries) {
    const file = await given(tool)
    if (file !== undefined) files[name] = file
  }
  const absent = entries.filter(([name]) => files[name] === undefined).map(([, { source }]) => source)
  if (absent.length > 0) {
    try {
      const folder = await buildGoPrograms(absent)
      for (const { name } of absent) files[name] = join(folder, name)
    } catch (error) {
      const hints = absent.map(({ name }) => `${name} (${TOOLS[name as ChartToolName].variable})`)
      throw new ServerUnavailable(
        `the tools for charts can't be had here. Install, or name by their variables: ${hints.join(', ')}. Tried:\n- PATH: not found\n- Go modules: ${(error as Error).message}`,
      )
    }
  }
  return files as ChartTools
}

/** The program that a variable names or that is on the PATH, in the generation that is wanted. */
async function given({ variable, names, version }: ChartTool): Promise<string | undefined> {
  const named = process.env[variable]
  if (named) {
    if (!existsSync(named)) throw new Error(`${variable}: ${named}: no such file`)
    return named
  }
  for (const file of names.map(onPath)) {
    if (file === undefined) continue
    if (version === undefined) return file
    const told = await run(file, version.args).catch(() => '')
    if (version.pattern.test(told)) return file
  }
  return undefined
}
