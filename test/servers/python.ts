import { join } from 'node:path'
import { installDebian } from './apt.ts'
import { run, runFetching } from './command.ts'

/** Makes a virtual environment in `folder`. */
export async function virtualEnvironment(folder: string): Promise<void> {
  const create = (): Promise<string> => run('python3', ['-m', 'venv', folder])
  try {
    await create()
  } catch {
    // Debian keeps venv in a package of its own.
    await installDebian(['python3-venv'])
    await create()
  }
}

/** Installs with the pip of the virtual environment in `folder`. @param args of `pip install` */
export async function pipInstall(folder: string, args: string[]): Promise<void> {
  await runFetching(join(folder, 'bin/python'), ['-m', 'pip', 'install', '-q', '--disable-pip-version-check', ...args])
}
