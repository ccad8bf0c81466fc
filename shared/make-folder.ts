import { mkdirSync, statSync } from 'node:fs'
import { dirname } from 'node:path'

/**
 * Makes a folder that its owner alone can read, and those above it; one that is there stays as it is. Node's own
 * `recursive` never returns where a folder that exists takes no others, as below `/proc` or at a link to nowhere.
 * @throws the file system's error, with `code` and the `path` that could not be made
 */
export function makeFolder(folder: string): void {
  const problem = make(folder)
  if (problem === undefined) return
  if (problem.code !== 'ENOENT') throw problem
  const above = dirname(folder)
  // Another process may have made it by now.
  if (!isFolder(above)) makeFolder(above)
  const again = make(folder)
  if (again) throw again
}

function make(folder: string): NodeJS.ErrnoException | undefined {
  try {
    mkdirSync(folder, { mode: 0o700 })
    return undefined
  } catch (error) {
    return isFolder(folder) ? undefined : (error as NodeJS.ErrnoException)
  }
}

function isFolder(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false
}
