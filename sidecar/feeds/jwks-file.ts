import { randomUUID } from 'node:crypto'
import { mkdir, open, readFile, rename, rm } from 'node:fs/promises'
import { dirname } from 'node:path'
import { LEEWAY_S } from '../../shared/clock.ts'
import { parseJwks, toJwk } from '../../shared/jwks.ts'
import type { VerificationKey } from '../../shared/jws.ts'
import type { Log } from '../../shared/log.ts'

/** The last good key set on disk: public keys, and when the issuer gave them. */
export interface KeyFile {
  /** @returns nothing when there is none, it can't be read, or it is older than `maxAgeMs` (milliseconds) */
  read(nowMs: number, maxAgeMs: number): Promise<{ keys: VerificationKey[]; fetchedAtMs: number } | undefined>
  /** Replaces the file as a whole. That it can't be written is logged and no more: it is only needed at a cold start. */
  write(keys: VerificationKey[], fetchedAtMs: number): Promise<void>
}

/** @param path none: nothing is kept */
export function createKeyFile(path: string | undefined, log: Log): KeyFile {
  let written = ''
  return {
    async read(nowMs, maxAgeMs) {
      if (path === undefined) return undefined
      try {
        const { fetchedAtMs, jwks } = JSON.parse(await readFile(path, 'utf8'))
        const ageMs = nowMs - fetchedAtMs
        const keys = parseJwks(jwks)
        const usable = Number.isSafeInteger(fetchedAtMs) && ageMs <= maxAgeMs && ageMs >= -LEEWAY_S * 1000
        return usable && keys && keys.length > 0 ? { keys, fetchedAtMs } : undefined
      } catch (err) {
        if ((err as NodeJS.ErrnoException).code !== 'ENOENT') log.warn({ err, path }, 'the kept keys cannot be read')
        return undefined
      }
    },
    async write(keys, fetchedAtMs) {
      if (path === undefined) return
      const temporary = `${path}.${randomUUID()}`
      try {
        await mkdir(dirname(path), { recursive: true, mode: 0o700 })
        const file = await open(temporary, 'wx', 0o600)
        try {
          await file.writeFile(JSON.stringify({ fetchedAtMs, jwks: { keys: keys.map(toJwk) } }))
          await file.sync()
        } finally {
          await file.close()
        }
        await rename(temporary, path)
        written = ''
      } catch (err) {
        await rm(temporary, { force: true }).catch(() => {})
        const problem = String((err as NodeJS.ErrnoException).code)
        if (written !== problem) log.warn({ err, path }, 'the keys cannot be kept for a cold start')
        written = problem
      }
    },
  }
}
