import { BUILT_IN_ROLES, DEFAULT_ROLE } from './role.ts'
import type { RecordField } from './user-record.ts'

/** Roles that every realm has for its own purposes. */
const OF_KEYCLOAK = /^(?:default-roles-.*|offline_access|uma_authorization)$/
/** Its names are those of PHC strings. */
const PBKDF2 = /^pbkdf2(?:-sha256|-sha512)?$/
/** Credentials that say nothing about a second factor. */
const PASSWORDS = new Set<unknown>(['password', 'password-history'])

const LEFT_OUT = [
  'firstName',
  'lastName',
  'attributes',
  'groups',
  'clientRoles',
  'federatedIdentities',
  'clientConsents',
] as const
/** Whoever has it has to choose a password at the next login. */
const TEMPORARY = 'UPDATE_PASSWORD'
/** It asks for what `emailVerified` already says. */
const VERIFY = 'VERIFY_EMAIL'

export type ReadKeycloakUser =
  /** @property leftOut names of fields that have something in them that nothing here could become */
  { ok: true; record: Partial<Record<RecordField, unknown>>; leftOut: string[] } | { ok: false; reason: string }

/**
 * Reads one of the `users` of a Keycloak realm export (UserRepresentation of its REST API, with credentials) as a record
 * of ours, which is judged like any other. A password that somebody else has given, to be changed at the first login, is
 * refused: nothing here would demand that.
 * @param dropSecondFactors whether who has a second factor may come with the password alone
 * @returns the record, or why there is none, in words that repeat nothing of the user
 */
export function readKeycloakUser(value: unknown, dropSecondFactors: boolean): ReadKeycloakUser {
  if (!isObject(value)) return refuse('not an object')
  if (value.serviceAccountClientId !== undefined) {
    return refuse('a service account: `sallyport clients create` makes one that has a secret of its own')
  }
  const { id, email, username, enabled, emailVerified = false, createdTimestamp, realmRoles = [] } = value
  if (!Array.isArray(realmRoles) || !realmRoles.every(isText)) return refuse('realmRoles: not a list of names')
  const roles = realmRoles.filter((role) => !OF_KEYCLOAK.test(role))
  if (roles.some((role) => BUILT_IN_ROLES.includes(role))) {
    // What a name permits there and here has nothing in common.
    return refuse(`realmRoles: ${BUILT_IN_ROLES.join(', ')} mean something of their own here; give it another name`)
  }
  const actions = value.requiredActions ?? []
  if (!Array.isArray(actions) || !actions.every(isText)) return refuse('requiredActions: not a list of names')
  const credentials: unknown[] = Array.isArray(value.credentials) ? value.credentials : []
  const hasMore = credentials.some((credential) => !isObject(credential) || !PASSWORDS.has(credential.type))
  if (hasMore && !dropSecondFactors) {
    return refuse(
      'credentials: a second factor, of which there is none here; --drop-second-factors imports the password',
    )
  }
  const [password, ...others] = credentials.filter(isPassword)
  if (password === undefined) return refuse('credentials: no password')
  if (others.length > 0) return refuse('credentials: several passwords')
  if (actions.includes(TEMPORARY) || password.temporary === true) {
    return refuse(`requiredActions: ${TEMPORARY}, so the password is one that somebody else has given`)
  }
  const hash = passwordHash(password)
  if (hash === undefined)
    return refuse('credentials: a password hash that is none of PBKDF2 and Argon2 as Keycloak has them')
  const hasCreation = typeof createdTimestamp === 'number' && Math.abs(createdTimestamp) < 8.64e15
  return {
    ok: true,
    record: {
      id,
      email,
      // Realms that log in by address repeat it here.
      ...(username !== email && { username }),
      password_hash: hash,
      roles: [DEFAULT_ROLE, ...roles],
      // Keycloak takes null for no, but our own files for what is by default: yes.
      is_active: enabled ?? false,
      is_verified: emailVerified,
      ...(hasCreation && { created_at: new Date(createdTimestamp).toISOString() }),
    },
    leftOut: [
      ...LEFT_OUT.filter((name) => hasContent(value[name])),
      ...(actions.some((action) => action !== VERIFY) ? ['requiredActions'] : []),
      ...(hasMore ? ['credentials'] : []),
    ],
  }
}

interface Password {
  temporary?: unknown
  credentialData: string
  secretData: string
}

/** Both parts are JSON within the JSON; exports made without them have no hash. */
function isPassword(credential: unknown): credential is Password {
  if (!isObject(credential) || credential.type !== 'password') return false
  return typeof credential.credentialData === 'string' && typeof credential.secretData === 'string'
}

/** @returns the hash as a PHC string, for `parseHash` to judge; `undefined` when it can't be written as one */
function passwordHash({ credentialData, secretData }: Password): string | undefined {
  const [data, secret] = [parse(credentialData), parse(secretData)]
  const { hashIterations, algorithm, additionalParameters } = data
  const [salt, key] = [unpadded(secret.salt), unpadded(secret.value)]
  if (!Number.isSafeInteger(hashIterations) || typeof algorithm !== 'string') return undefined
  if (salt === undefined || key === undefined) return undefined
  if (algorithm === 'argon2') return argon2(Number(hashIterations), additionalParameters, salt, key)
  return PBKDF2.test(algorithm) ? `$${algorithm}$i=${hashIterations}$${salt}$${key}` : undefined
}

function argon2(time: number, parameters: unknown, salt: string, key: string): string | undefined {
  // Each is a list with one text in it.
  const of = (name: string) => {
    const values = isObject(parameters) ? parameters[name] : undefined
    return Array.isArray(values) && values.length === 1 && typeof values[0] === 'string' ? values[0] : ''
  }
  // Its name for 0x13, the one that everybody else calls 19.
  if (of('version') !== '1.3') return undefined
  return `$argon2${of('type')}$v=19$m=${of('memory')},t=${time},p=${of('parallelism')}$${salt}$${key}`
}

function parse(text: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text)
    return isObject(value) ? value : {}
  } catch {
    return {}
  }
}

function unpadded(base64: unknown): string | undefined {
  return typeof base64 === 'string' ? base64.replace(/=+$/, '') : undefined
}

function hasContent(value: unknown): boolean {
  if (isObject(value)) return Object.keys(value).length > 0
  return value !== undefined && value !== null && (value as { length?: unknown }).length !== 0
}

function isText(value: unknown): value is string {
  return typeof value === 'string'
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function refuse(reason: string): ReadKeycloakUser {
  return { ok: false, reason }
}
