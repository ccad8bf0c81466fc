/**
 * What the routes of this issuer ask for, each with what it allows. Roles may name any other permission as well: those
 * end up in the `scope` of access tokens, for the services to ask for.
 */
export const PERMISSIONS = {
  'users:read': 'see users and their sessions',
  'users:write': 'change users: profile, verification, tier, status and roles',
  'users:delete': 'delete users for good',
  'sessions:end': 'end the sessions of users',
  'roles:read': 'see roles',
  'roles:write': 'create, change and delete roles',
  'clients:read': 'see service clients',
  'clients:write': 'create, change and delete service clients',
  'tokens:introspect': 'ask what a token is worth',
  'keys:read': 'see signing keys',
  'keys:write': 'rotate and revoke signing keys',
} as const

export type Permission = keyof typeof PERMISSIONS

export const MAX_PERMISSION_CHARACTERS = 64

// A part of what RFC 6749 section 3.3 allows in a scope: what needs no escape in a path, a header or a shell.
const NAME = /^[a-z0-9][a-z0-9:_.-]*$/

/** Whether this can be the name of a permission. */
export function isPermissionName(text: string): boolean {
  return text.length <= MAX_PERMISSION_CHARACTERS && NAME.test(text)
}

/** Each once, in the order in which tokens and answers name them. */
export function sortedPermissions(permissions: Iterable<string>): string[] {
  return [...new Set(permissions)].sort()
}
