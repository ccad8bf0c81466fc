import { globSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { progress } from './cache.ts'
import { onPath, run, runFetching } from './command.ts'

const isRoot = process.getuid?.() === 0
const env = { DEBIAN_FRONTEND: 'noninteractive', LC_ALL: 'C' }
const apt = (args: string[], cwd?: string): Promise<string> => runFetching('apt-get', ['-q', ...args], { cwd, env })

/**
 * Downloads a Debian package, and whatever it needs that this machine lacks, and unpacks it into a folder: nothing is
 * installed and no service is started.
 */
export async function unpackDebian(name: string, folder: string): Promise<void> {
  if (onPath('apt-get') === undefined) throw new Error('apt-get is not on the PATH')
  try {
    await download(name, folder)
  } catch (error) {
    // No package lists yet, as in a fresh container, or lists that are out of date.
    if (!isRoot) throw error
    await apt(['update'])
    await download(name, folder)
  }
  for (const file of readdirSync(folder).filter((file) => file.endsWith('.deb'))) {
    await run('dpkg', ['-x', file, '.'], { cwd: folder })
  }
}

async function download(name: string, folder: string): Promise<void> {
  const plan = await run('apt-get', ['-q', 'install', '--simulate', '--no-install-recommends', name], { env })
  const missing = [...plan.matchAll(/^Inst (\S+)/gm)].map((match) => match[1] as string)
  await apt(['download', ...new Set([name, ...missing])], folder)
}

/** The environment with which programs unpacked into `folder` find their libraries. */
export function unpackedEnvironment(folder: string): Record<string, string> {
  const libraries = globSync(['lib/*/', 'usr/lib/*/'], { cwd: folder }).map((path) => join(folder, path))
  return { LD_LIBRARY_PATH: libraries.join(':') }
}

/** The packages of one release don't run on another: the name for the cache, such as `debian-12`. */
export function distribution(): string {
  const release = readFileSync('/etc/os-release', 'utf8')
  const field = (name: string): string => new RegExp(`^${name}="?([\\w.-]+)`, 'm').exec(release)?.[1] ?? 'unknown'
  return `${field('ID')}-${field('VERSION_ID')}`
}

/** Installs Debian packages on this machine. Throws an error that names them if that is not possible here. */
export async function installDebian(names: string[]): Promise<void> {
  const list = names.join(' ')
  if (onPath('apt-get') === undefined || !isRoot) throw new Error(`please install ${list}`)
  await progress(`installing ${list}`, async () => {
    await apt(['update'])
    await apt(['install', '-o', 'DPkg::Lock::Timeout=300', '-y', '--no-install-recommends', ...names])
  })
}
