import { randomUUID } from 'node:crypto'
import { mkdir, open, readFile, rename, rm } from 'node:fs/promises'
import { dirname } from 'node:path'
import { LEEWAY_S } from '../../shared/clock.ts'
import { parseJwks, toJwk } from '../../shared/jwks.ts'
import type { VerificationKey } from '../../shared/jws.ts'
import type { Log } from '../../shared/log.ts'

export interface KeptKeys {
  keys: VerificationKey[]
  /** When the issuer gave them: milliseconds. */
  fetchedAtMs: number
}

/** Ids of keys that are not to be believed whoever offers them, each with when that may be forgotten: seconds. */
export type RevokedKeys = ReadonlyMap<string, number>

/** The last good key set on disk: public keys, when the issuer gave them, and what was revoked. */
export interface KeyFile {
  /** @returns no set when there is none, it can't be read, or it is older than `maxAgeMs` (milliseconds) */
  read(nowMs: number, maxAgeMs: number): Promise<{ set: KeptKeys | undefined; revoked: RevokedKeys }>
  /** Replaces the file as a whole. That it can't be written is logged and no more: it is only needed at a cold start. */
  write(set: KeptKeys, revoked: RevokedKeys): Promise<void>
}

/** @param path none: nothing is kept */
export function createKeyFile(path: string | undefined, log: Log): KeyFile {
  const nothing = { set: undefined, revoked: new Map<string, number>() }
  let written = ''
  return {
    async read(nowMs, maxAgeMs) {
      if (path === undefined) return nothing
      try {
        const { fetchedAtMs, jwks, revoked = [] } = JSON.parse(await readFile(path, 'utf8'))
        const ageMs = nowMs - fetchedAtMs
        const keys = parseJwks(jwks)
        const usable = Number.isSafeInteger(fetchedAtMs) && ageMs <= maxAgeMs && ageMs >= -LEEWAY_S * 1000
        const set = usable && keys && keys.length > 0 ? { keys, fetchedAtMs } : undefined
        return { set, revoked: readRevoked(revoked) }
      } catch (err) {
        if ((err as NodeJS.ErrnoException).code !== 'ENOENT') log.warn({ err, path }, 'the kept keys cannot be read')
        return nothing
      }
    },
    async write({ keys, fetchedAtMs }, revoked) {
      if (path === undefined) return
      const temporary = `${path}.${randomUUID()}`
      try {
        await mkdir(dirname(path), { recursive: true, mode: 0o700 })
        const file = await open(temporary, 'wx', 0o600)
        try {
          const jwks = { keys: keys.map(toJwk) }
          await file.writeFile(JSON.stringify({ fetchedAtMs, jwks, revoked: [...revoked] }))
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

/** @throws for anything else than pairs of texts and numbers: without it the keys of the file are not used either */
function readRevoked(pairs: unknown): RevokedKeys {
  if (!Array.isArray(pairs)) throw new TypeError('the revoked keys are not a list')
  const valid = pairs.every(
    (pair) => Array.isArray(pair) && pair.length === 2 && typeof pair[0] === 'string' && Number.isSafeInteger(pair[1]),
  )
  if (!valid) throw new TypeError('the revoked keys are malformed')
  return new Map(pairs)
}
