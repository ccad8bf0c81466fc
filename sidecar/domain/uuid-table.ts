import { randomInt } from 'node:crypto'

/**
 * A map from UUIDs to the second from which each may be forgotten, in typed arrays: 27 to 36 bytes an entry instead of
 * the 150 of a `Map` of strings. Open addressing with linear probing, in shards small enough that neither growing nor
 * sweeping one is ever felt.
 */
export interface UuidTable {
  /**
   * Keeps the later time of a UUID that is already there.
   * @param uuid for which {@link isUuid} holds
   * @param exp seconds since the epoch; counts as at most 2^32 - 1, in the year 2106
   * @returns whether it was not there before
   */
  add(uuid: string, exp: number): boolean
  /** False for every text that is no UUID in lower case. */
  has(uuid: string): boolean
  /** The second from which it may be forgotten; 0 when it is not there. */
  until(uuid: string): number
  /** Removes what is over at `nowS`, in one sixteenth of the table at each call. */
  sweep(nowS: number): void
  /**
   * All UUIDs whose time `covers` wants, in batches that cost a fraction of a millisecond each; some are empty. Between
   * two batches the table may be changed: what was there before and still is comes once.
   */
  batches(covers: (exp: number) => boolean): Iterable<[uuid: string, exp: number][]>
  readonly size: number
}

/** Whether this is the one spelling the table holds: 36 characters, lower case. */
export function isUuid(text: string): boolean {
  return /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(text)
}

interface Shard {
  size: number
  /** Four words a slot. */
  keys: Uint32Array
  /** One a slot; 0 marks an empty one. */
  exps: Uint32Array
}

const SHARDS = 256
const SHARDS_A_SWEEP = 16
const SLOTS_A_BATCH = 512
const MIN_SLOTS = 8
const MAX_EXP = 0xffffffff
// Load stays between these but for deletions: with 0.7 a miss looks at six slots on average. After growing or shrinking
// it is the middle one.
const [MIN_LOAD, NEW_LOAD, MAX_LOAD] = [0.35, 0.56, 0.7]

const createShard = (slots: number): Shard => ({
  size: 0,
  keys: new Uint32Array(4 * slots),
  exps: new Uint32Array(slots),
})

export function createUuidTable(): UuidTable {
  const shards = Array.from({ length: SHARDS }, () => createShard(MIN_SLOTS))
  // Nobody outside can tell which UUIDs share a slot.
  const seed = randomInt(2 ** 32)
  let size = 0
  let sweptTo = 0

  const resized = (shard: Shard): Shard => {
    const larger = createShard(Math.max(MIN_SLOTS, Math.ceil(shard.size / NEW_LOAD)))
    shard.exps.forEach((exp, slot) => {
      if (exp !== 0) put(larger, shard.keys, 4 * slot, seed, exp)
    })
    return larger
  }

  const until = (uuid: string): number => {
    if (!parse(uuid)) return 0
    const hashed = hash(parsed, 0, seed)
    const shard = shards[hashed >>> 24]!
    return shard.exps[find(shard, parsed, 0, hashed)]!
  }

  return {
    add(uuid, exp) {
      if (!parse(uuid)) throw new TypeError('not a UUID in lower case')
      const index = hash(parsed, 0, seed) >>> 24
      const end = Math.max(1, Math.min(Math.ceil(exp), MAX_EXP))
      if (!put(shards[index]!, parsed, 0, seed, end)) return false
      size++
      if (shards[index]!.size > MAX_LOAD * shards[index]!.exps.length) shards[index] = resized(shards[index]!)
      return true
    },
    has: (uuid) => until(uuid) !== 0,
    until,
    sweep(nowS) {
      for (let n = 0; n < SHARDS_A_SWEEP; n++, sweptTo = (sweptTo + 1) % SHARDS) {
        const shard = shards[sweptTo]!
        const before = shard.size
        for (let slot = 0; slot < shard.exps.length; slot++) {
          // Removing an entry can move a later one into its place.
          while (shard.exps[slot] !== 0 && shard.exps[slot]! <= nowS) remove(shard, slot, seed)
        }
        size -= before - shard.size
        const { length } = shard.exps
        if (length > MIN_SLOTS && shard.size < MIN_LOAD * length) shards[sweptTo] = resized(shard)
      }
    },
    *batches(covers) {
      for (const shard of shards) {
        // Entries move within their shard whenever it grows, or one of them is removed.
        const [keys, exps] = [shard.keys.slice(), shard.exps.slice()]
        for (let start = 0; start < exps.length; start += SLOTS_A_BATCH) {
          const batch: [string, number][] = []
          for (let slot = start; slot < Math.min(start + SLOTS_A_BATCH, exps.length); slot++) {
            const exp = exps[slot]!
            if (exp !== 0 && covers(exp)) batch.push([format(keys, 4 * slot), exp])
          }
          yield batch
        }
      }
    },
    get size() {
      return size
    },
  }
}

/** The slot of a key, or the empty one where it would be. */
function find({ keys, exps }: Shard, key: Uint32Array, at: number, hashed: number): number {
  let slot = home(hashed, exps.length)
  while (
    exps[slot] !== 0 &&
    (keys[4 * slot] !== key[at] ||
      keys[4 * slot + 1] !== key[at + 1] ||
      keys[4 * slot + 2] !== key[at + 2] ||
      keys[4 * slot + 3] !== key[at + 3])
  ) {
    slot = slot + 1 === exps.length ? 0 : slot + 1
  }
  return slot
}

function put(shard: Shard, key: Uint32Array, at: number, seed: number, exp: number): boolean {
  const { keys, exps } = shard
  const slot = find(shard, key, at, hash(key, at, seed))
  if (exps[slot] !== 0) {
    exps[slot] = Math.max(exps[slot]!, exp)
    return false
  }
  for (let i = 0; i < 4; i++) keys[4 * slot + i] = key[at + i]!
  exps[slot] = exp
  shard.size++
  return true
}

/** Empties a slot and moves back what was only here because the slot was taken, so that no search ends too early. */
function remove(shard: Shard, slot: number, seed: number): void {
  const { keys, exps } = shard
  const slots = exps.length
  let hole = slot
  for (let next = slot; ; ) {
    next = next + 1 === slots ? 0 : next + 1
    if (exps[next] === 0) break
    const wanted = home(hash(keys, 4 * next, seed), slots)
    // An entry stays if the slot it wanted lies behind the hole, the table being a ring.
    if (hole < next ? wanted > hole && wanted <= next : wanted > hole || wanted <= next) continue
    for (let i = 0; i < 4; i++) keys[4 * hole + i] = keys[4 * next + i]!
    exps[hole] = exps[next]!
    hole = next
  }
  exps[hole] = 0
  shard.size--
}

/** The eight highest bits choose the shard, the others the slot. */
function home(hashed: number, slots: number): number {
  return Math.floor(((hashed & 0xffffff) * slots) / 0x1000000)
}

function hash(key: Uint32Array, at: number, seed: number): number {
  let h = seed
  for (let i = 0; i < 4; i++) {
    h = Math.imul(h ^ key[at + i]!, 0x9e3779b1)
    h ^= h >>> 15
  }
  h = Math.imul(h, 0x85ebca6b)
  return h ^ (h >>> 13)
}

const parsed = new Uint32Array(4)

// The value of each UTF-16 code unit as a hexadecimal digit, negative for what is none.
const DIGITS = new Int8Array(0x10000).fill(-1)
for (const [value, digit] of [...'0123456789abcdef'].entries()) DIGITS[digit.charCodeAt(0)] = value

/** Reads a UUID into `parsed`; false when it is none. */
function parse(text: string): boolean {
  if (text.length !== 36) return false
  const a = digits(text, 0)
  const b = digits(text, 4)
  const c = digits(text, 9)
  const d = digits(text, 14)
  const e = digits(text, 19)
  const f = digits(text, 24)
  const g = digits(text, 28)
  const h = digits(text, 32)
  parsed[0] = (a << 16) | b
  parsed[1] = (c << 16) | d
  parsed[2] = (e << 16) | f
  parsed[3] = (g << 16) | h
  return (
    (a | b | c | d | e | f | g | h) >= 0 &&
    isHyphen(text, 8) &&
    isHyphen(text, 13) &&
    isHyphen(text, 18) &&
    isHyphen(text, 23)
  )
}

function isHyphen(text: string, at: number): boolean {
  return text.charCodeAt(at) === 0x2d
}

/** Four digits as a number, negative when one of them is no digit. */
function digits(text: string, at: number): number {
  return (
    (DIGITS[text.charCodeAt(at)]! << 12) |
    (DIGITS[text.charCodeAt(at + 1)]! << 8) |
    (DIGITS[text.charCodeAt(at + 2)]! << 4) |
    DIGITS[text.charCodeAt(at + 3)]!
  )
}

// A table, for a million are formatted at a time.
const HEX = Array.from({ length: 0x100 }, (_, byte) => byte.toString(16).padStart(2, '0'))

function format(key: Uint32Array, at: number): string {
  const [a, b, c, d] = [key[at]!, key[at + 1]!, key[at + 2]!, key[at + 3]!]
  return `${high(a)}${low(a)}-${high(b)}-${low(b)}-${high(c)}-${low(c)}${high(d)}${low(d)}`
}

function high(word: number): string {
  return HEX[word >>> 24]! + HEX[(word >>> 16) & 0xff]!
}

function low(word: number): string {
  return HEX[(word >>> 8) & 0xff]! + HEX[word & 0xff]!
}
