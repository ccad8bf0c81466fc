import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

/** The folder for what the tests fetch: outside the checkout, so that it outlives a clean clone. */
export function cacheFolder(): string {
  return (
    process.env.SALLYPORT_TEST_CACHE ?? join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'sallyport-test')
  )
}

/**
 * The folder `name` of the cache (the name carries the version). When it isn't there yet, `fill` is given an empty
 * folder to put the content in, which appears under its name only when that succeeded. Of several processes that want
 * the same entry at once, one fills it and the others wait. Prints progress to stderr.
 */
export async function cached(name: string, what: string, fill: (folder: string) => Promise<void>): Promise<string> {
  const entry = join(cacheFolder(), name)
  if (existsSync(entry)) return entry
  mkdirSync(cacheFolder(), { recursive: true })
  const unlock = await lock(`${entry}.lock`)
  try {
    if (existsSync(entry)) return entry
    await progress(`fetching ${what}`, async () => {
      const folder = mkdtempSync(`${entry}.partial-`)
      try {
        await fill(folder)
        if (!existsSync(entry)) renameSync(folder, entry)
        else rmSync(folder, { recursive: true, force: true })
      } catch (error) {
        rmSync(folder, { recursive: true, force: true })
        throw error
      }
    })
    return entry
  } finally {
    unlock()
  }
}

/** Says on stderr what is being done, and when it is done how long it took. */
export async function progress<T>(what: string, work: () => Promise<T>): Promise<T> {
  const start = performance.now()
  process.stderr.write(`${what} …\n`)
  try {
    const result = await work()
    process.stderr.write(`${what} … done in ${((performance.now() - start) / 1000).toFixed(1)} s\n`)
    return result
  } catch (error) {
    process.stderr.write(`${what} … failed\n`)
    throw error
  }
}

/** A lock file holding its owner's process id; one whose owner is gone is taken over. */
async function lock(file: string): Promise<() => void> {
  for (;;) {
    try {
      writeFileSync(file, String(process.pid), { flag: 'wx' })
      return () => rmSync(file, { force: true })
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    }
    if (!ownerLives(file)) rmSync(file, { force: true })
    else await sleep(200)
  }
}

function ownerLives(file: string): boolean {
  let owner: number
  try {
    owner = Number(readFileSync(file, 'utf8'))
  } catch {
    return false
  }
  // Created but not written yet: its owner is at it this very moment.
  if (owner === 0) return true
  try {
    process.kill(owner, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}
