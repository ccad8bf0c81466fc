import { createHash } from 'node:crypto'
import { setImmediate } from 'node:timers/promises'
import { createProgressBar } from '../../bin/progress-bar.ts'
import { type Names, newUser, readNames } from '../../issuer/domain/new-user.ts'
import type { Users } from '../../issuer/domain/ports.ts'
import { SUPERUSER_ROLE, type User } from '../../issuer/domain/user.ts'

const BATCH = 1000
/** A million in a year, up to now: lists are read from the newest on. */
const APART_MS = 30_000

export const seedEmail = (i: number): string => `seed${String(i).padStart(8, '0')}@example.com`
export const ADMIN_EMAIL = 'seed-administrator@example.com'

/** The same user for the same number, whenever it is asked for: to fill a store again changes nothing. */
function seedUser(i: number, passwordHash: string, firstCreatedMs: number): User {
  const createdAt = firstCreatedMs + i * APART_MS
  const names = namesOf(seedEmail(i), i % 2 === 0 ? undefined : `seed${i}`)
  return { ...newUser(names, passwordHash, createdAt), id: seedId(String(i)), tier: i % 100 === 0 ? 'premium' : 'free' }
}

/** Puts the administrator there who reads the lists. */
export async function seedAdministrator(users: Users, passwordHash: string): Promise<void> {
  const user = newUser(namesOf(ADMIN_EMAIL), passwordHash, Date.now())
  await users.insertMany([{ ...user, id: seedId('administrator'), roles: [...user.roles, SUPERUSER_ROLE] }])
}

/**
 * Fills a store up to a number of users, in batches, from where an interruption left it.
 * @param plan `planned`: how many there will be in the end; `within`: how long it may take, in milliseconds
 * @returns how many there are now, how many of them are new, and how long that took: seconds
 */
export async function seedUsers(
  users: Users,
  { count, planned, passwordHash, within }: { count: number; planned: number; passwordHash: string; within: number },
) {
  const bar = createProgressBar(process.stderr)
  const begin = performance.now()
  const from = await firstMissing(users, count)
  const firstCreatedMs = (await users.byId(seedId('0')))?.createdAt ?? Date.now() - planned * APART_MS
  let at = from
  while (at < count && performance.now() - begin < within) {
    const many = Array.from({ length: Math.min(BATCH, count - at) }, (_, n) =>
      seedUser(at + n, passwordHash, firstCreatedMs),
    )
    const results = await users.insertMany(many)
    const refused = results.find((result) => !result.ok && result.taken !== 'id')
    if (refused)
      throw new Error(`there is another user with the address or name of one of these: ${JSON.stringify(refused)}`)
    at += many.length
    const seconds = (performance.now() - begin) / 1000
    bar.update(at / count, `${at} of ${count} users, ${Math.round((at - from) / seconds)} a second`)
    // SQLite's calls never wait: the bar and signals get their turn here.
    await setImmediate()
  }
  bar.end()
  return { users: at, added: at - from, seconds: (performance.now() - begin) / 1000 }
}

/** The first number of a batch that is not there: batches come in order, and an interrupted one is done again. */
async function firstMissing(users: Users, count: number): Promise<number> {
  let low = 0
  let high = Math.ceil(count / BATCH)
  while (low < high) {
    const middle = Math.floor((low + high) / 2)
    const last = Math.min((middle + 1) * BATCH, count) - 1
    if (await users.byId(seedId(String(last)))) low = middle + 1
    else high = middle
  }
  return Math.min(low * BATCH, count)
}

function seedId(name: string): string {
  const hex = createHash('sha256').update(`seed ${name}`).digest('hex')
  return hex.replace(/^(.{8})(.{4}).(.{3}).(.{3})(.{12}).*$/, '$1-$2-4$3-8$4-$5')
}

function namesOf(email: string, username?: string): Names {
  const read = readNames(username === undefined ? { email } : { email, username })
  if (!read.ok) throw new Error(read.errors.join('; '))
  return { username: null, usernameKey: null, ...read.names } as Names
}
