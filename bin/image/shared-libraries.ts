import { execFileSync } from 'node:child_process'
import { realpathSync } from 'node:fs'

/** The files a program or an addon of Node's is linked with, the dynamic loader included, from what `ldd` prints. */
export function parseLdd(output: string): string[] {
  const missing = /^\s*(\S+) => not found$/m.exec(output)?.[1]
  if (missing) throw new Error(`the shared library ${missing} is not here`)
  return [...output.matchAll(/^\s*(?:\S+ => )?(\/\S+) \(0x/gm)].map((match) => match[1] as string)
}

/** All that these files need to be loaded, each path once. */
export function sharedLibraries(files: string[]): string[] {
  return [...new Set(files.flatMap((file) => parseLdd(execFileSync('ldd', [file], { encoding: 'utf8' }))))].sort()
}

/** A Debian package, as its package manager tells of it. */
export interface DebianPackage {
  name: string
  version: string
  architecture: string
  source: string
  /** Its entry in the database of installed packages. */
  status: string
}

const dpkgQuery = (...args: string[]) => execFileSync('dpkg-query', args, { encoding: 'utf8' })

/** The packages that libraries come from, each once. */
export function packagesOf(libraries: string[]): DebianPackage[] {
  const names = new Set(libraries.map(packageOf))
  return [...names].sort().map((name) => {
    const format = ['Package', 'Version', 'Architecture', 'source:Package'].map((field) => `$\{${field}}\n`).join('')
    const [short, version, architecture, source] = dpkgQuery('--show', `--showformat=${format}`, name).split('\n')
    if (!short || !version || !architecture || !source) throw new Error(`dpkg-query tells too little of ${name}`)
    return { name: short, version, architecture, source, status: dpkgQuery('--status', name) }
  })
}

function packageOf(library: string): string {
  const path = realpathSync(library)
  // Of a release whose /lib has become a link to /usr/lib, some packages still name the first.
  for (const name of [path, path.replace(/^\/usr/, '')]) {
    try {
      return dpkgQuery('--search', name).split(': ')[0] as string
    } catch {
      // Not by this name.
    }
  }
  throw new Error(`no Debian package has ${path}`)
}
