import { execFileSync } from 'node:child_process'
import type { Sbom } from './sbom.ts'

const MAX_BYTES = 64 * 1024 * 1024

/** What npm says of all that the lock file of this folder names; it asks nobody. */
export function npmSbom(folder = '.'): Sbom {
  const args = ['sbom', '--package-lock-only', '--sbom-format=cyclonedx', '--offline', '--loglevel=error']
  return JSON.parse(execFileSync('npm', args, { cwd: folder, encoding: 'utf8', maxBuffer: MAX_BYTES }))
}
