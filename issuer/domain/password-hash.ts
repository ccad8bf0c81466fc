/** The cost of an Argon2 hash. */
export interface HashCost {
  /** KiB. */
  memoryKib: number
  /** Passes. */
  time: number
  /** Lanes. */
  parallelism: number
}

export interface ParsedHash extends HashCost {
  variant: string
}

// OWASP's equally strong settings for Argon2id run from 46 MiB with 1 pass to 7 MiB with 5; below their product and
// below the smallest memory lies nothing that anyone recommends.
const FLOOR_MEMORY_KIB = 7168
const FLOOR_WORK = FLOOR_MEMORY_KIB * 5

/** Whether hashes of this cost are strong enough to be made today. */
export function meetsHashFloor({ memoryKib, time }: HashCost): boolean {
  return memoryKib >= FLOOR_MEMORY_KIB && memoryKib * time >= FLOOR_WORK
}

// An imported hash names its own cost; one that asks for gigabytes would take the machine down at the next login.
const CEILING: HashCost = { memoryKib: 1024 * 1024, time: 20, parallelism: 16 }

/** Whether a hash of this cost may be checked at all. */
export function isAffordable({ memoryKib, time, parallelism }: HashCost): boolean {
  return memoryKib <= CEILING.memoryKib && time <= CEILING.time && parallelism <= CEILING.parallelism
}

const PHC =
  /^\$(argon2(?:id|i|d))\$v=19\$m=(\d{1,10}),t=(\d{1,10}),p=(\d{1,3})\$[A-Za-z0-9+/]{11,86}\$[A-Za-z0-9+/]{16,172}$/

/** Reads an Argon2 hash in the PHC string format; `undefined` for everything else. */
export function parseHash(hash: string): ParsedHash | undefined {
  const match = PHC.exec(hash)
  if (!match) return undefined
  const [, variant, memory, time, parallelism] = match
  return { variant: variant!, memoryKib: Number(memory), time: Number(time), parallelism: Number(parallelism) }
}
