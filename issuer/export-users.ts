import { once } from 'node:events'
import { createWriteStream, renameSync, rmSync } from 'node:fs'
import { finished } from 'node:stream/promises'
import type { Audit, Users } from './domain/ports.ts'
import type { UserPosition } from './domain/user-query.ts'
import { userRecord } from './domain/user-record.ts'

export interface ExportOptions {
  file: string
  /** Whether password hashes are in it. */
  withHashes: boolean
  /** Stops it; nothing is left then. */
  signal: AbortSignal
  onProgress(users: number): void
}

const PAGE = 500

/**
 * Writes all users to a file that only its owner can read, a line of JSON each, as `importUsers` reads them. The file
 * appears under its name when it is complete. Who comes or goes meanwhile may be in it or not.
 * @returns how many
 * @throws StoreUnavailable, the file system's error
 */
export async function exportUsers(
  { users, audit }: { users: Users; audit: Audit },
  { file, withHashes, signal, onProgress }: ExportOptions,
): Promise<number> {
  const partial = `${file}.partial`
  rmSync(partial, { force: true })
  const out = createWriteStream(partial, { flags: 'wx', mode: 0o600 })
  let count = 0
  try {
    await once(out, 'open')
    let after: UserPosition | undefined
    do {
      const page = await users.page({ order: 'created', limit: PAGE, ...(after && { after }) })
      const lines = page.users.map((user) => `${JSON.stringify(userRecord(user, withHashes))}\n`)
      if (!out.write(lines.join(''))) await once(out, 'drain')
      count += lines.length
      after = page.next
      onProgress(count)
      signal.throwIfAborted()
    } while (after)
    out.end()
    await finished(out)
    renameSync(partial, file)
    audit.record('users_exported', { users: count, with_hashes: withHashes })
    return count
  } catch (error) {
    out.destroy()
    rmSync(partial, { force: true })
    throw error
  }
}
