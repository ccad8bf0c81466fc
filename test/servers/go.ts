import { copyFileSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { arch, platform } from 'node:os'
import { join } from 'node:path'
import { cached } from './cache.ts'
import { onPath, run, runFetching } from './command.ts'

/** A program that is built from a Go module. */
export interface GoProgram {
  /** What the program is called in the cache. */
  name: string
  module: string
  version: string
  /** The package in the module that is the program, such as `cmd/helm`. */
  path: string
  /** Values for the linker to set (`-X`), such as the version the program tells. */
  stamp?: Record<string, string>
  /** Replacements that the module's own go.mod has: they hold only in the module that is built. */
  replace?: Record<string, string>
  /** More lines of the same kind, made from the text of the module's own go.mod. */
  directives?: (goMod: string) => string[]
}

/** On two slow cores the largest takes minutes. */
const BUILD_TIMEOUT_MS = 1_800_000

/**
 * Builds programs into the cache, all that are wanted together: they share most of what they are made of. Modules and
 * objects (a gigabyte) go when the programs are there.
 * @param cost what is said beforehand of the time and the disk it takes
 * @returns the folder with the programs under their names
 */
export async function buildGoPrograms(programs: readonly GoProgram[], cost?: string): Promise<string> {
  const names = programs.map(({ name, version }) => `${name}-${version}`)
  const what = `${names.join(', ')} (Go modules${cost ? `; ${cost}` : ''})`
  return cached(`go-${names.join('_')}-${platform()}-${arch()}`, what, async (folder) => {
    const go = findGo()
    const work = join(folder, 'work')
    try {
      for (const program of programs) renameSync(await build(go, program, work), join(folder, program.name))
    } finally {
      rmSync(work, { recursive: true, force: true })
    }
  })
}

/**
 * Puts files of a Go module into the cache.
 * @param files paths in the module by the names they are given
 * @returns the folder with the files
 */
export async function goModuleFiles(module: string, version: string, files: Record<string, string>): Promise<string> {
  const name = `${module.split('/').at(-1)}-${version}`
  return cached(`go-files-${name}`, `files of ${name} (Go module)`, async (folder) => {
    const go = findGo()
    const work = join(folder, 'work')
    mkdirSync(work)
    try {
      const told = await runFetching(go, ['mod', 'download', '-json', `${module}@v${version}`], {
        cwd: work,
        env: environment(work),
      })
      const { Dir } = JSON.parse(told.slice(told.indexOf('{'))) as { Dir: string }
      for (const [as, path] of Object.entries(files)) copyFileSync(join(Dir, path), join(folder, as))
    } finally {
      rmSync(work, { recursive: true, force: true })
    }
  })
}

/** TEST_GO_PROGRAM, on the PATH, or where Go's own installation puts it, which many a PATH does not name. */
function findGo(): string {
  const installed = '/usr/local/go/bin/go'
  const found = process.env.TEST_GO_PROGRAM ?? onPath('go') ?? installed
  if (!existsSync(found)) throw new Error('go is not on the PATH (https://go.dev/doc/install)')
  return found
}

/** Through a module of our own: `go install` refuses a module whose go.mod replaces another. */
async function build(
  command: string,
  { name, module, version, path, stamp = {}, replace = {}, directives }: GoProgram,
  work: string,
) {
  process.stderr.write(`  ${name} ${version} …\n`)
  const folder = join(work, name)
  mkdirSync(folder, { recursive: true })
  // With a version of Go from 1.17 on, what modules require of each other is read only as far as it is needed.
  const go = /^go(\d+\.\d+)/.exec(await run(command, ['env', 'GOVERSION']))?.[1] ?? '1.24'
  const replacements = Object.entries(replace).map(([from, to]) => `replace ${from} => ${to}`)
  const env = environment(work)
  const own = directives ? directives(await goModOf(command, module, version, folder, env)) : []
  writeFileSync(
    join(folder, 'go.mod'),
    [`module build/${name}`, `go ${go}`, `require ${module} v${version}`, ...replacements, ...own, ''].join('\n'),
  )
  const linker = ['-s', '-w', ...Object.entries(stamp).map(([key, value]) => `-X ${key}=${value}`)].join(' ')
  const output = join(folder, name)
  const target = `${module}/${path}`
  await runFetching(command, ['build', '-mod=mod', '-trimpath', '-ldflags', linker, '-o', output, target], {
    cwd: folder,
    timeout: BUILD_TIMEOUT_MS,
    env,
  })
  return output
}

/** The text of a module's own go.mod. */
async function goModOf(command: string, module: string, version: string, cwd: string, env: Record<string, string>) {
  const told = await runFetching(command, ['list', '-m', '-f', '{{.GoMod}}', `${module}@v${version}`], { cwd, env })
  // Before the path there may be lines about what was fetched.
  return readFileSync(told.trim().split('\n').at(-1)!, 'utf8')
}

/** All that Go fetches and makes goes into the work folder, and nothing of the user's is looked at. */
function environment(work: string): Record<string, string> {
  return {
    CGO_ENABLED: '0',
    GOPATH: join(work, 'path'),
    GOMODCACHE: join(work, 'modules'),
    GOCACHE: join(work, 'objects'),
    GOWORK: 'off',
    GOTOOLCHAIN: 'local',
    // Without the first the folder could not be deleted again.
    GOFLAGS: `${process.env.GOFLAGS ?? ''} -modcacherw -buildvcs=false`.trim(),
  }
}
