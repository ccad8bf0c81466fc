import type { Clock } from '../../shared/clock.ts'
import type { RoleGrants } from './grants.ts'
import { newUser, readNewUser } from './new-user.ts'
import type { Audit, PasswordHasher, Users } from './ports.ts'
import type { User } from './user.ts'

export interface CreateUserInput {
  email: string
  username: string | undefined
  password: string
  /** Beside the one that everybody has. */
  roles: readonly string[]
  isVerified: boolean
}

export type CreatedUser = { ok: true; user: User } | { ok: false; errors: string[] }

/**
 * Creates a user for whoever has the machine, who may give any role.
 * @throws StoreUnavailable, HashingOverloaded
 */
export type CreateUser = (input: CreateUserInput) => Promise<CreatedUser>

export interface CreateUserPorts {
  users: Users
  roleGrants: RoleGrants
  hasher: PasswordHasher
  audit: Audit
  clock: Clock
}

export function createCreateUser({ users, roleGrants, hasher, audit, clock }: CreateUserPorts): CreateUser {
  return async ({ email, username, password, roles, isVerified }) => {
    const read = readNewUser({ email, username, password })
    const known = (await roleGrants.of(roles)).roles
    const errors = roles.filter((name) => !known.includes(name)).map((name) => `roles: there is no role ${name}`)
    if (!read.ok || errors.length > 0) return { ok: false, errors: [...(read.ok ? [] : read.errors), ...errors] }

    const created = newUser(read.names, await hasher.hash(read.password), clock.now())
    const user = { ...created, roles: [...new Set([...created.roles, ...roles])], isVerified }
    const inserted = await users.insert(user)
    if (!inserted.ok) return { ok: false, errors: [`${inserted.taken}: it is taken`] }
    audit.record('user_created', { sub: user.id, by: null, roles: user.roles.join(' ') })
    return { ok: true, user }
  }
}
