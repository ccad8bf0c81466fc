import { randomUUID } from 'node:crypto'
import { open, readFile, rename, rm } from 'node:fs/promises'
import { dirname } from 'node:path'
import { LEEWAY_S } from '../../shared/clock.ts'
import { parseJwks, toJwk } from '../../shared/jwks.ts'
import type { VerificationKey } from '../../shared/jws.ts'
import { expected, type Log } from '../../shared/log.ts'
import { makeFolder } from '../../shared/make-folder.ts'

export interface KeptKeys {
  keys: VerificationKey[]
  /** When the issuer gave them: milliseconds. */
  fetchedAtMs: number
}

/** Ids of keys that are not to be believed whoever offers them, each with when that may be forgotten: seconds. */
export type RevokedKeys = ReadonlyMap<string, number>

/** The last good key set on disk: public keys, whose they are, when the issuer gave them, and what was revoked. */
export interface KeyFile {
  /**
   * What cannot be used is as if it was not there, but for a line in the log.
   * @returns no set when there is none, it can't be read, is another issuer's or older than `maxAgeMs` (milliseconds)
   */
  read(nowMs: number, maxAgeMs: number): Promise<KeptContent>
  /** Replaces the file as a whole. That it can't be written is logged and no more: it is only needed at a cold start. */
  write(set: KeptKeys, revoked: RevokedKeys): Promise<void>
}

interface KeptContent {
  set: KeptKeys | undefined
  revoked: RevokedKeys
}

/**
 * @param path none: nothing is kept
 * @param issuer whose keys they are, as its tokens name it; those of another are never used
 */
export function createKeyFile(path: string | undefined, issuer: string, log: Log): KeyFile {
  const nothing = { set: undefined, revoked: new Map<string, number>() }
  let written = ''
  return {
    async read(nowMs, maxAgeMs) {
      if (path === undefined) return nothing
      const text = await readFile(path, 'utf8').catch((err: NodeJS.ErrnoException) => {
        if (err.code !== 'ENOENT') log.warn({ err: expected(err), path }, 'the kept keys cannot be read')
      })
      if (text === undefined) return nothing
      const content = readContent(text, issuer)
      const reason = typeof content === 'string' ? content : unfit(content.set, nowMs, maxAgeMs)
      if (reason) log.warn({ path, reason }, 'the kept keys are not used')
      if (typeof content === 'string') return nothing
      return reason ? { ...content, set: undefined } : content
    },
    async write({ keys, fetchedAtMs }, revoked) {
      if (path === undefined) return
      const temporary = `${path}.${randomUUID()}`
      try {
        makeFolder(dirname(path))
        const file = await open(temporary, 'wx', 0o600)
        try {
          const jwks = { keys: keys.map(toJwk) }
          await file.writeFile(JSON.stringify({ issuer, fetchedAtMs, jwks, revoked: [...revoked] }))
          await file.sync()
        } finally {
          await file.close()
        }
        await rename(temporary, path)
        written = ''
      } catch (err) {
        await rm(temporary, { force: true }).catch(() => {})
        const problem = String((err as NodeJS.ErrnoException).code)
        if (written !== problem) log.warn({ err: expected(err), path }, 'the keys cannot be kept for a cold start')
        written = problem
      }
    },
  }
}

const MAX_SHOWN = 200

/** @returns what is wrong with it, for the log, when it is not what `write` writes for this issuer */
function readContent(text: string, issuer: string): { set: KeptKeys; revoked: RevokedKeys } | string {
  let content: Record<string, unknown> | null
  try {
    content = JSON.parse(text)
  } catch {
    return 'not JSON: truncated or changed'
  }
  const { issuer: whose, fetchedAtMs, jwks, revoked = [] } = content ?? {}
  const keys = parseJwks(jwks)
  const isWhole = typeof whose === 'string' && Number.isSafeInteger(fetchedAtMs) && isRevokedList(revoked)
  // Without the revoked keys the others are not to be believed either.
  if (!isWhole || !keys) return 'malformed, or of an earlier version'
  if (whose !== issuer) return `of another issuer: ${whose.slice(0, MAX_SHOWN)}`
  return { set: { keys, fetchedAtMs: fetchedAtMs as number }, revoked: new Map(revoked) }
}

function unfit({ keys, fetchedAtMs }: KeptKeys, nowMs: number, maxAgeMs: number): string | undefined {
  if (keys.length === 0) return 'no key in it can be used'
  const ageMs = nowMs - fetchedAtMs
  if (ageMs > maxAgeMs) return 'too old'
  return ageMs < -LEEWAY_S * 1000 ? 'from the future' : undefined
}

function isRevokedList(pairs: unknown): pairs is [kid: string, exp: number][] {
  return (
    Array.isArray(pairs) &&
    pairs.every(
      (pair) =>
        Array.isArray(pair) && pair.length === 2 && typeof pair[0] === 'string' && Number.isSafeInteger(pair[1]),
    )
  )
}
