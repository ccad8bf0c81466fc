/** A user as the store keeps it. Times are milliseconds since the Unix epoch. */
export interface User {
  /** UUID; the `sub` claim. */
  id: string
  /** As the user wrote it, NFC. The only address that mail goes to. */
  email: string
  /** The normal form of the address, unique: what two spellings of one address have in common. */
  emailKey: string
  /** At most 50 characters, or none. */
  username: string | null
  /** The normal form of the user name, unique among those that have one. */
  usernameKey: string | null
  /** A PHC string. */
  passwordHash: string
  /** Counts up when every session of the user ends; a token or session with a lower one is dead. */
  epoch: number
  roles: string[]
  tier: string
  isActive: boolean
  isVerified: boolean
  createdAt: number
  updatedAt: number
  lastLogin: number | null
}

/** What a change may touch; the rest is changed by use cases of its own. */
export type UserChange = Partial<
  Pick<
    User,
    | 'email'
    | 'emailKey'
    | 'username'
    | 'usernameKey'
    | 'passwordHash'
    | 'roles'
    | 'tier'
    | 'isActive'
    | 'isVerified'
    | 'updatedAt'
    | 'lastLogin'
  >
>

/** The role with every permission. */
export const SUPERUSER_ROLE = 'superuser'

/** A user as it is shown: never a hash, a key or an epoch. Times are ISO 8601. */
export function publicUser(user: User) {
  return {
    id: user.id,
    email: user.email,
    username: user.username,
    tier: user.tier,
    roles: user.roles,
    is_active: user.isActive,
    is_verified: user.isVerified,
    is_admin: user.roles.includes(SUPERUSER_ROLE),
    created_at: new Date(user.createdAt).toISOString(),
    updated_at: new Date(user.updatedAt).toISOString(),
    last_login: user.lastLogin === null ? null : new Date(user.lastLogin).toISOString(),
  }
}
