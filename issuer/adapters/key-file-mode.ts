import { statSync } from 'node:fs'
import type { Log } from '../../shared/log.ts'

/** Users other than the owner. */
const OTHERS = 0o077

/** Says so when others than its owner may read a file with a private key. @param path none: it did not come from a file */
export function checkKeyFileMode(path: string | undefined, log: Log): void {
  if (!path) return
  const mode = statSync(path, { throwIfNoEntry: false })?.mode ?? 0
  if (mode & OTHERS) {
    log.warn({ path, mode: (mode & 0o777).toString(8) }, 'others may read the file of SIGNING_KEY; chmod 600 it')
  }
}
