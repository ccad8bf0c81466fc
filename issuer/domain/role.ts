import { SUPERUSER_ROLE } from './user.ts'

/** A name for a set of permissions. Times are milliseconds since the Unix epoch. */
export interface Role {
  /** Unique; what users and the `roles` claim name it by. */
  name: string
  description: string
  /** Sorted, each once. Not asked of the superuser, who has every permission. */
  permissions: string[]
  createdAt: number
  updatedAt: number
}

export type RoleChange = Partial<Pick<Role, 'description' | 'permissions' | 'updatedAt'>>

/** What every user gets at registration. */
export const DEFAULT_ROLE = 'subscriber'

/** The roles that the migrations create: they can't be deleted, and the superuser can't be changed either. */
export const BUILT_IN_ROLES: readonly string[] = [DEFAULT_ROLE, 'viewer', 'admin', SUPERUSER_ROLE]

export const MAX_ROLE_CHARACTERS = 50
export const MAX_ROLE_DESCRIPTION = 200
/** All of them are read at once, and held in every issuer. */
export const MAX_ROLES = 200
/** They are in every access token. */
export const MAX_ROLES_OF_USER = 20

// No comma, which separates them in the identity header, and nothing that looks like another name.
const NAME = /^[a-z0-9][a-z0-9:_.-]*$/

/** Whether this can be the name of a role. */
export function isRoleName(text: string): boolean {
  return text.length <= MAX_ROLE_CHARACTERS && NAME.test(text)
}

/** A role as it is shown. Times are ISO 8601. */
export function publicRole({ name, description, permissions, createdAt, updatedAt }: Role) {
  return {
    name,
    description,
    permissions,
    built_in: BUILT_IN_ROLES.includes(name),
    created_at: new Date(createdAt).toISOString(),
    updated_at: new Date(updatedAt).toISOString(),
  }
}
