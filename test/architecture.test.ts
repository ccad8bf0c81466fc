import { globSync, readFileSync } from 'node:fs'
import { dirname, join, normalize, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { test } from 'tap'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const SOURCES = ['bin', 'issuer', 'sidecar', 'shared'].flatMap((folder) =>
  globSync(`${folder}/**/*.ts`, { cwd: ROOT }).map((file) => file.replaceAll('\\', '/')),
)

/** Where a file belongs, and so what it may import. First match. */
const FLOORS: [name: string, pattern: RegExp][] = [
  ['bin', /^bin\//],
  ['shared', /^shared\//],
  ['issuer/domain', /^issuer\/domain\//],
  ['issuer/http', /^issuer\/http\//],
  ['issuer/adapters', /^issuer\/adapters\//],
  ['issuer/settings', /^issuer\/(settings|setting-kinds)\.ts$/],
  ['issuer/wiring', /^issuer\/[^/]+\.ts$/],
  ['injector/domain', /^sidecar\/injector\/domain\//],
  ['injector', /^sidecar\/injector\//],
  ['sidecar/domain', /^sidecar\/domain\//],
  ['sidecar/proxy', /^sidecar\/proxy\//],
  ['sidecar/feeds', /^sidecar\/feeds\//],
  ['sidecar/settings', /^sidecar\/settings\.ts$/],
  ['sidecar/wiring', /^sidecar\/[^/]+\.ts$/],
]

/** Imports only run down; a floor not named here is closed to the one that asks. */
const MAY_IMPORT: Record<string, string[]> = {
  bin: ['bin', 'issuer/wiring', 'issuer/settings', 'sidecar/wiring', 'sidecar/settings', 'injector', 'shared'],
  shared: ['shared'],
  'issuer/domain': ['issuer/domain', 'shared'],
  'issuer/http': ['issuer/http', 'issuer/domain', 'shared'],
  'issuer/adapters': ['issuer/adapters', 'issuer/domain', 'shared'],
  'issuer/settings': ['issuer/settings', 'issuer/domain', 'shared'],
  'issuer/wiring': ['issuer/wiring', 'issuer/settings', 'issuer/http', 'issuer/adapters', 'issuer/domain', 'shared'],
  'injector/domain': ['injector/domain', 'shared'],
  injector: ['injector', 'injector/domain', 'sidecar/settings', 'shared'],
  'sidecar/domain': ['sidecar/domain', 'shared'],
  'sidecar/proxy': ['sidecar/proxy', 'sidecar/domain', 'shared'],
  'sidecar/feeds': ['sidecar/feeds', 'sidecar/domain', 'shared'],
  'sidecar/settings': ['sidecar/domain', 'shared'],
  'sidecar/wiring': [
    'sidecar/wiring',
    'sidecar/settings',
    'sidecar/proxy',
    'sidecar/feeds',
    'sidecar/domain',
    'shared',
  ],
}

/** What a domain file may take from outside: computations, no I/O and no framework. */
const PURE_MODULES = /^(node:(crypto|url|net)|lru-cache|jose)$/

const IMPORT =
  /(?:^|\n)\s*(?:import|export)\s[^'"`;]*?from\s*['"]([^'"]+)['"]|(?:^|\n)\s*import\s*['"]([^'"]+)['"]|import\(\s*['"]([^'"]+)['"]\s*\)/g

function importsOf(file: string): string[] {
  const text = readFileSync(join(ROOT, file), 'utf8')
  return [...text.matchAll(IMPORT)].map((match) => (match[1] ?? match[2] ?? match[3]) as string)
}

function resolved(file: string, specifier: string): string | undefined {
  if (!specifier.startsWith('.')) return undefined
  return relative(ROOT, normalize(join(ROOT, dirname(file), specifier))).replaceAll('\\', '/')
}

function floorOf(file: string): string | undefined {
  return FLOORS.find(([, pattern]) => pattern.test(file))?.[0]
}

test('imports only run down', async (t) => {
  t.ok(SOURCES.length > 30, 'the sources are found')
  for (const file of SOURCES) {
    const floor = floorOf(file)
    if (!floor) {
      t.fail(`${file} is on no floor`)
      continue
    }
    const wrong = importsOf(file)
      .map((specifier) => resolved(file, specifier))
      .filter((target) => target !== undefined && /\.ts$/.test(target))
      .filter((target) => !MAY_IMPORT[floor]!.includes(floorOf(target!) ?? 'outside'))
    t.same(wrong, [], `${file} reaches only what is below it`)
  }
})

test('the domain does no I/O and knows no framework', async (t) => {
  for (const file of SOURCES.filter((name) => name.includes('/domain/'))) {
    const wrong = importsOf(file).filter((name) => !name.startsWith('.') && !PURE_MODULES.test(name))
    t.same(wrong, [], file)
  }
})

test('no file is in an import circle, type-only imports included', async (t) => {
  const graph = new Map(
    SOURCES.map((file) => [file, importsOf(file).flatMap((name) => resolved(file, name) ?? [])] as const),
  )
  const done = new Set<string>()
  const circles: string[] = []
  const visit = (file: string, path: string[]) => {
    if (path.includes(file)) return circles.push([...path.slice(path.indexOf(file)), file].join(' -> '))
    if (done.has(file)) return
    for (const next of graph.get(file) ?? []) visit(next, [...path, file])
    done.add(file)
  }
  for (const file of SOURCES) visit(file, [])
  t.same(circles, [])
})

test('every relative import names a file that exists', async (t) => {
  for (const file of SOURCES) {
    const missing = importsOf(file)
      .map((specifier) => resolved(file, specifier))
      .filter((target) => target !== undefined && /\.ts$/.test(target) && !SOURCES.includes(target))
    t.same(missing, [], file)
  }
})
