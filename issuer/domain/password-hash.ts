/** The cost of an Argon2 hash. */
export interface HashCost {
  /** KiB. */
  memoryKib: number
  /** Passes. */
  time: number
  /** Lanes. */
  parallelism: number
}

/** A stored hash, as far as its text tells. Only Argon2id is made here; the others come with imported users. */
export type ParsedHash =
  | ({ scheme: 'argon2id' | 'argon2i' | 'argon2d' } & HashCost)
  /** @property rounds the work is two to the power of it */
  | { scheme: 'bcrypt'; rounds: number }
  | { scheme: 'pbkdf2'; digest: 'sha1' | 'sha256' | 'sha512'; iterations: number; salt: Buffer; key: Buffer }

// OWASP's equally strong settings for Argon2id run from 46 MiB with 1 pass to 7 MiB with 5; below their product and
// below the smallest memory lies nothing that anyone recommends.
const FLOOR_MEMORY_KIB = 7168
const FLOOR_WORK = FLOOR_MEMORY_KIB * 5

/** Whether hashes of this cost are strong enough to be made today. */
export function meetsHashFloor({ memoryKib, time }: HashCost): boolean {
  return memoryKib >= FLOOR_MEMORY_KIB && memoryKib * time >= FLOOR_WORK
}

// An imported hash names its own cost; one that asks for gigabytes or minutes would take the machine down at the next
// login. Each of these is a second or two of one core, more than anyone recommends; the memory fits into that of an
// issuer's container (the chart gives it 512 MiB).
const MAX_MEMORY_KIB = 256 * 1024
const MAX_WORK = 4 * 1024 * 1024
const MAX_PARALLELISM = 16
const MAX_ROUNDS = 14
const MAX_ITERATIONS = 5_000_000

/** Whether a hash of this cost may be checked at all. */
export function isAffordable(hash: ParsedHash): boolean {
  return costProblem(hash) === undefined
}

/** @returns why a hash of this cost may not be checked, in words that repeat nothing of it */
export function costProblem(hash: ParsedHash): string | undefined {
  if (hash.scheme === 'bcrypt') {
    return hash.rounds < 4 || hash.rounds > MAX_ROUNDS
      ? `bcrypt: a cost that is not from 4 to ${MAX_ROUNDS}`
      : undefined
  }
  if (hash.scheme === 'pbkdf2') {
    const { iterations } = hash
    return iterations < 1 || iterations > MAX_ITERATIONS ? `PBKDF2: not 1 to ${MAX_ITERATIONS} iterations` : undefined
  }
  const { memoryKib, time, parallelism } = hash
  if (memoryKib > MAX_MEMORY_KIB) return `Argon2: more than ${MAX_MEMORY_KIB} KiB of memory`
  if (memoryKib * time > MAX_WORK) return `Argon2: more than ${MAX_WORK} KiB in all its passes`
  // RFC 9106 section 3.1: eight blocks for each lane.
  const isPossible = time >= 1 && parallelism >= 1 && memoryKib >= 8 * parallelism
  return isPossible && parallelism <= MAX_PARALLELISM ? undefined : 'Argon2: parameters that are not possible'
}

const ARGON2 =
  /^\$(argon2(?:id|i|d))\$v=19\$m=([1-9]\d{0,9}),t=([1-9]\d{0,9}),p=([1-9]\d{0,2})\$([A-Za-z0-9+/]{11,86})\$([A-Za-z0-9+/]{16,172})$/
// $2x$ marks hashes of an implementation that was wrong.
const BCRYPT = /^\$2[aby]\$(\d\d)\$[./A-Za-z0-9]{53}$/
/** Django writes the salt as it is; passlib and PHC strings in a base64 of their own; Werkzeug hexadecimal digests. */
const PBKDF2_DJANGO = /^pbkdf2_(sha1|sha256|sha512)\$(\d{1,10})\$([^$\s]{1,128})\$([A-Za-z0-9+/]{22,128}={0,2})$/
const PBKDF2_PHC =
  /^\$pbkdf2(?:-(sha1|sha256|sha512))?\$(?:i=)?(\d{1,10})(?:,l=\d{1,3})?\$([A-Za-z0-9+/.]{2,172})\$([A-Za-z0-9+/.]{22,128})$/
const PBKDF2_WERKZEUG = /^pbkdf2:(sha1|sha256|sha512):(\d{1,10})\$([^$\s]{1,128})\$((?:[0-9a-f]{2}){16,64})$/

/** Reads a stored hash; `undefined` for everything else. */
export function parseHash(hash: string): ParsedHash | undefined {
  const argon2 = ARGON2.exec(hash)
  if (argon2) {
    const [, scheme, memory, time, parallelism, salt, key] = argon2 as unknown as [string, 'argon2id', ...string[]]
    if (![salt!, key!].every(isBase64)) return undefined
    return { scheme, memoryKib: Number(memory), time: Number(time), parallelism: Number(parallelism) }
  }
  const bcrypt = BCRYPT.exec(hash)
  if (bcrypt) return { scheme: 'bcrypt', rounds: Number(bcrypt[1]) }
  return parsePbkdf2(hash)
}

type Digest = 'sha1' | 'sha256' | 'sha512'

function parsePbkdf2(hash: string): ParsedHash | undefined {
  const of = (digest: string | undefined, iterations: string, salt: Buffer, key: Buffer): ParsedHash => ({
    scheme: 'pbkdf2',
    digest: (digest ?? 'sha1') as Digest,
    iterations: Number(iterations),
    salt,
    key,
  })
  const django = PBKDF2_DJANGO.exec(hash)
  if (django) return of(django[1], django[2]!, Buffer.from(django[3]!), Buffer.from(django[4]!, 'base64'))
  const werkzeug = PBKDF2_WERKZEUG.exec(hash)
  if (werkzeug) return of(werkzeug[1], werkzeug[2]!, Buffer.from(werkzeug[3]!), Buffer.from(werkzeug[4]!, 'hex'))
  const phc = PBKDF2_PHC.exec(hash)
  if (!phc) return undefined
  // Passlib writes `.` where base64 has `+`.
  const [salt, key] = [phc[3]!.replaceAll('.', '+'), phc[4]!.replaceAll('.', '+')]
  if (!isBase64(salt) || !isBase64(key)) return undefined
  return of(phc[1], phc[2]!, Buffer.from(salt, 'base64'), Buffer.from(key, 'base64'))
}

/** Whether this is the one way to write these bytes (RFC 4648 section 3.5), without padding: decoders throw on others. */
function isBase64(text: string): boolean {
  return Buffer.from(text, 'base64').toString('base64').replace(/=+$/, '') === text
}
