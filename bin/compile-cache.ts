import { existsSync } from 'node:fs'
import { enableCompileCache } from 'node:module'
import { join } from 'node:path'
import { makeFolder } from '../shared/make-folder.ts'

/** What stays up, in a folder of its own; the other commands may be run anywhere, and leave nothing behind. */
const SERVERS: ReadonlySet<string> = new Set(['start', 'issuer', 'sidecar', 'injector', 'demo'])

/**
 * Keeps compiled code between starts. Stripping the types of a hundred files costs 200 ms and 40 MB at every start; the
 * cache takes that away. It belongs to the data unless the environment names another place. The image has no types, and
 * switches it off.
 * @param command its name
 */
export function keepCompiledCode(env: NodeJS.ProcessEnv, command: string): void {
  if (env.NODE_COMPILE_CACHE || env.NODE_DISABLE_COMPILE_CACHE) return
  const folder = join(env.DATA_DIR || 'data', 'compile-cache')
  if (!SERVERS.has(command) && !existsSync(folder)) return
  try {
    // Node would make it itself, and where that can't be done it might never return.
    makeFolder(folder)
  } catch {
    // Whatever needs the data folder says what is wrong with it.
    return
  }
  enableCompileCache(folder)
}
