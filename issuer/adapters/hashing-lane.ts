import { randomBytes } from 'node:crypto'
import { hash } from '@node-rs/argon2'
import { gauge, histogram, type Metrics } from '../../shared/metrics.ts'
import { type HashCost, isAffordable, parseHash } from '../domain/password-hash.ts'
import { HashingOverloaded, type PasswordHasher } from '../domain/ports.ts'
import { lowerPoolPriority } from './thread-priority.ts'
import { verifyHash } from './verify-hash.ts'

export interface HashingLaneOptions {
  cost: HashCost
  /** How many are hashed at once. */
  concurrency: number
  /** How many may wait beyond that. */
  queue: number
  /** How long one may wait for its turn: milliseconds. */
  deadlineMs: number
  metrics: Metrics
}

// The package's `Algorithm` is a const enum, which type stripping can't import.
const ARGON2ID = 2

/**
 * Argon2id in a lane of its own. Hashing runs on libuv's few threads; without a bound a storm of logins would take all
 * of them, and the memory with them, and keep files and name look-ups of everyone else waiting. Imported hashes name
 * their own memory: together they take no more than as many of today's, but for one that needs more than that alone.
 */
export async function createHashingLane(options: HashingLaneOptions): Promise<PasswordHasher> {
  const { cost, metrics } = options
  const seconds = histogram(
    metrics,
    'password_hash_seconds',
    'How long hashing a password took, without the wait before it.',
    ['operation'],
    [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5],
  )
  const { take, enter, isFull } = createLane(options)
  const run = <T>(operation: string, memoryKib: number, work: () => Promise<T>) =>
    take(memoryKib, async () => {
      const stop = seconds.startTimer({ operation })
      try {
        return await work()
      } finally {
        stop()
      }
    })
  const parameters = {
    algorithm: ARGON2ID,
    memoryCost: cost.memoryKib,
    timeCost: cost.time,
    parallelism: cost.parallelism,
  }
  // Nobody knows its password, so checking against it is the same work for nothing.
  const nobody = await hash(randomBytes(32), parameters)
  const nobodyParsed = parseHash(nobody)!
  // Only now: the pool's threads begin with its first work.
  lowerPoolPriority()

  return {
    hash: (password) => run('hash', cost.memoryKib, () => hash(password, parameters)),
    async verify(stored, password) {
      const parsed = stored === undefined ? undefined : parseHash(stored)
      const usable = parsed !== undefined && isAffordable(parsed)
      const [text, known] = usable ? [stored!, parsed] : [nobody, nobodyParsed]
      const memoryKib = 'memoryKib' in known ? known.memoryKib : 0
      const matches = await run('verify', memoryKib, () => verifyHash(text, known, password))
      return usable && matches
    },
    needsRehash(stored) {
      const parsed = parseHash(stored)
      if (parsed?.scheme !== 'argon2id') return true
      const { memoryKib, time, parallelism } = parsed
      return memoryKib !== cost.memoryKib || time !== cost.time || parallelism !== cost.parallelism
    },
    enter,
    fullForS: () => (isFull() ? retryAfterS(options) : undefined),
  }
}

/** By then everyone who waits now has had a turn or was sent away. */
function retryAfterS({ deadlineMs }: HashingLaneOptions): number {
  return Math.ceil(deadlineMs / 1000)
}

/**
 * At most `concurrency` at once, and no more memory than so many of today's cost take, in order of arrival; the queue is
 * bounded, and so is the wait in it. Its places are also how many requests may be on their way to it.
 */
function createLane(options: HashingLaneOptions) {
  const { cost, concurrency, queue, deadlineMs, metrics } = options
  const budgetKib = concurrency * cost.memoryKib
  const waiting = new Set<{ memoryKib: number; begin(): void }>()
  let running = 0
  let usedKib = 0
  let entered = 0
  gauge(metrics, 'password_hash_queue', 'Passwords that wait to be hashed.', () => waiting.size)
  gauge(metrics, 'password_hash_running', 'Passwords being hashed.', () => running)

  const overloaded = () => new HashingOverloaded(retryAfterS(options))
  const fits = (memoryKib: number) => running === 0 || (running < concurrency && usedKib + memoryKib <= budgetKib)
  const isLaneFull = () => running >= concurrency && waiting.size >= queue
  const isFull = () => entered >= concurrency + queue || isLaneFull()

  const enter = () => {
    if (isFull()) throw overloaded()
    entered++
    let inside = true
    return () => {
      if (inside) entered--
      inside = false
    }
  }

  /** Nobody overtakes: one that needs much would wait for ever. */
  const next = () => {
    for (const one of waiting) {
      if (!fits(one.memoryKib)) return
      one.begin()
    }
  }

  const occupy = (memoryKib: number) => {
    running++
    usedKib += memoryKib
  }

  const turn = (memoryKib: number) =>
    new Promise<void>((resolve, reject) => {
      const one = {
        memoryKib,
        begin() {
          clearTimeout(timer)
          waiting.delete(one)
          occupy(memoryKib)
          resolve()
        },
      }
      const timer = setTimeout(() => {
        waiting.delete(one)
        reject(overloaded())
        next()
      }, deadlineMs)
      waiting.add(one)
    })

  const take = async <T>(memoryKib: number, work: () => Promise<T>): Promise<T> => {
    if (waiting.size === 0 && fits(memoryKib)) occupy(memoryKib)
    else if (waiting.size >= queue) throw overloaded()
    else await turn(memoryKib)
    try {
      return await work()
    } finally {
      running--
      usedKib -= memoryKib
      next()
    }
  }
  return { take, enter, isFull }
}
