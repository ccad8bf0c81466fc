import { randomUUID } from 'node:crypto'
import { readNames } from './new-user.ts'
import { costProblem, parseHash } from './password-hash.ts'
import { DEFAULT_ROLE, MAX_ROLES_OF_USER } from './role.ts'
import { SUPERUSER_ROLE, type User } from './user.ts'

/** The fields of a user in a file that is imported or exported. Times are ISO 8601. */
export const RECORD_FIELDS = [
  'id',
  'email',
  'username',
  'password_hash',
  'roles',
  'tier',
  'is_active',
  'is_verified',
  'created_at',
  'updated_at',
  'last_login',
] as const

export type RecordField = (typeof RECORD_FIELDS)[number]

export interface ImportRules {
  nowMs: number
  /** The roles there are. */
  roles: ReadonlySet<string>
  /** Whether a line may make a superuser. */
  superusers: boolean
}

export type ReadUserRecord = { ok: true; user: User } | { ok: false; reason: string }

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[1-8][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/
const TIER = /^[A-Za-z0-9][A-Za-z0-9:_.-]{0,49}$/
const TIME = /^\d{4}-\d\d-\d\d(?:T\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?(?:Z|[+-]\d\d:\d\d))?$/
const DAY_MS = 86_400_000

/**
 * Reads one user of an import. `email` and `password_hash` are needed; what else is missing is as at registration.
 * @returns the user, or what is wrong in words that repeat nothing of the record
 */
export function readUserRecord(record: unknown, rules: ImportRules): ReadUserRecord {
  if (typeof record !== 'object' || record === null || Array.isArray(record)) return refuse('not an object')
  const fields = new Map(Object.entries(record).filter(([, value]) => value !== null))
  if (Object.keys(record).some((name) => !RECORD_FIELDS.includes(name as RecordField))) {
    return refuse(`a field that is none of ${RECORD_FIELDS.join(', ')}`)
  }
  const {
    email,
    username,
    password_hash: passwordHash,
    ...rest
  } = Object.fromEntries(fields) as Partial<Record<RecordField, unknown>>
  if (typeof email !== 'string') return refuse('email: is needed')
  if (username !== undefined && typeof username !== 'string') return refuse('username: not a text')
  const names = readNames({ email, username: username ?? null })
  if (!names.ok) return refuse(names.errors.join('; '))
  if (typeof passwordHash !== 'string') return refuse('password_hash: is needed')
  const parsed = parseHash(passwordHash)
  if (!parsed) return refuse('password_hash: not one of Argon2, bcrypt or PBKDF2 in a form that is known here')
  const dear = costProblem(parsed)
  if (dear !== undefined) return refuse(`password_hash: ${dear}`)
  const read = readRest(rest, rules)
  if ('reason' in read) return refuse(read.reason)
  // Names were read from both, so nothing of them is missing.
  return { ok: true, user: { ...(names.names as Pick<User, 'email'>), ...read, passwordHash, epoch: 0 } as User }
}

function refuse(reason: string): ReadUserRecord {
  return { ok: false, reason }
}

type Rest = Omit<User, 'email' | 'emailKey' | 'username' | 'usernameKey' | 'passwordHash' | 'epoch'>

function readRest(rest: Partial<Record<RecordField, unknown>>, rules: ImportRules): Rest | { reason: string } {
  const { id = randomUUID(), tier = 'free', roles = [DEFAULT_ROLE], is_active = true, is_verified = false } = rest
  if (typeof id !== 'string' || !UUID.test(id)) return { reason: 'id: not a UUID' }
  if (typeof tier !== 'string' || !TIER.test(tier)) return { reason: 'tier: not the name of a tier' }
  const problem = rolesProblem(roles, rules)
  if (problem !== undefined) return { reason: problem }
  if (typeof is_active !== 'boolean') return { reason: 'is_active: not true or false' }
  if (typeof is_verified !== 'boolean') return { reason: 'is_verified: not true or false' }
  const createdAt = readTime(rest.created_at, rules.nowMs)
  const updatedAt = readTime(rest.updated_at, rules.nowMs)
  const lastLogin = readTime(rest.last_login, rules.nowMs)
  if ([createdAt, updatedAt, lastLogin].includes(undefined)) {
    return { reason: 'created_at, updated_at, last_login: not a time, or one to come' }
  }
  return {
    id,
    tier,
    roles: [...new Set(roles as string[])],
    isActive: is_active,
    isVerified: is_verified,
    createdAt: createdAt ?? rules.nowMs,
    updatedAt: updatedAt ?? rules.nowMs,
    lastLogin: lastLogin ?? null,
  }
}

function rolesProblem(roles: unknown, { roles: known, superusers }: ImportRules): string | undefined {
  if (!Array.isArray(roles) || roles.length > MAX_ROLES_OF_USER) return `roles: at most ${MAX_ROLES_OF_USER} names`
  if (!roles.every((role) => typeof role === 'string' && known.has(role))) return 'roles: one that there is not'
  return roles.includes(SUPERUSER_ROLE) && !superusers
    ? 'roles: superusers are not imported unless asked for'
    : undefined
}

/** @returns null for none, `undefined` for what is no time */
function readTime(value: unknown, nowMs: number): number | null | undefined {
  if (value === undefined) return null
  const ms = typeof value === 'string' && TIME.test(value) ? Date.parse(value) : Number.NaN
  return ms >= 0 && ms < nowMs + DAY_MS ? ms : undefined
}

/** A user as {@link readUserRecord} reads them. @param withHash whether the password hash is to be in it */
export function userRecord(user: User, withHash: boolean): Partial<Record<RecordField, unknown>> {
  const time = (ms: number | null) => (ms === null ? null : new Date(ms).toISOString())
  return {
    id: user.id,
    email: user.email,
    username: user.username,
    ...(withHash && { password_hash: user.passwordHash }),
    roles: user.roles,
    tier: user.tier,
    is_active: user.isActive,
    is_verified: user.isVerified,
    created_at: time(user.createdAt),
    updated_at: time(user.updatedAt),
    last_login: time(user.lastLogin),
  }
}
