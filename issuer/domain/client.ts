import { createHash, randomBytes, timingSafeEqual } from 'node:crypto'

/** A service that gets tokens of its own by the client credentials grant. Times are milliseconds since the Unix epoch. */
export interface Client {
  /** UUID; `sub` and `client_id` of its tokens. */
  id: string
  /** What people call it. */
  name: string
  /** What its tokens may have in their scope. */
  permissions: string[]
  isActive: boolean
  /** Counts up when every token of the client ends; a token with a lower one is dead. */
  epoch: number
  secretHash: string
  /** The secret before, which holds until `previousSecretUntil`. */
  previousSecretHash: string | null
  previousSecretUntil: number | null
  createdAt: number
  updatedAt: number
}

/** What a change may touch; the secret is rotated by an operation of its own. */
export type ClientChange = Partial<Pick<Client, 'name' | 'permissions' | 'isActive' | 'updatedAt'>>

/** A new secret's digest, and until when the one before it holds: milliseconds; null ends that at once. */
export interface SecretRotation {
  secretHash: string
  previousUntil: number | null
  nowMs: number
}

export const MAX_CLIENT_NAME = 100

// So that whoever finds it in a log or a repository, a secret scanner above all, sees what it is.
const SECRET_PREFIX = 'sallyport_'
const SECRET_BYTES = 32

/** A client secret: 256 random bits. It is shown once and kept nowhere. */
export function newClientSecret(): string {
  return SECRET_PREFIX + randomBytes(SECRET_BYTES).toString('base64url')
}

/**
 * What the store keeps of a secret: base64url of its SHA-256. A slow hash makes guessing dear where people choose the
 * secret; nobody guesses 256 random bits, and Argon2 would only cost 11 ms at every token.
 */
export function hashClientSecret(secret: string): string {
  return createHash('sha256').update(secret).digest('base64url')
}

// No digest is all zeros, so nothing matches it.
const NO_HASH = Buffer.alloc(32).toString('base64url')

/**
 * Whether the secret is the client's present one, or the one before it within the overlap. For `undefined`, a client
 * that does not exist, it does the same work.
 */
export function matchClientSecret(
  client: Client | undefined,
  secret: string,
  nowMs: number,
): 'current' | 'previous' | undefined {
  const given = hashClientSecret(secret)
  const current = isSame(given, client?.secretHash)
  const previous = isSame(given, client?.previousSecretHash)
  if (current) return 'current'
  return previous && nowMs < (client?.previousSecretUntil ?? 0) ? 'previous' : undefined
}

function isSame(given: string, stored: string | null | undefined): boolean {
  const equal = timingSafeEqual(Buffer.from(given), Buffer.from(stored ?? NO_HASH))
  return equal && typeof stored === 'string'
}

/** A client as it is shown: never a secret or its hash. Times are ISO 8601. */
export function publicClient(client: Client, nowMs: number) {
  const { previousSecretHash, previousSecretUntil: until } = client
  const overlaps = previousSecretHash !== null && until !== null && nowMs < until
  return {
    client_id: client.id,
    name: client.name,
    permissions: client.permissions,
    is_active: client.isActive,
    previous_secret_until: overlaps ? new Date(until).toISOString() : null,
    created_at: new Date(client.createdAt).toISOString(),
    updated_at: new Date(client.updatedAt).toISOString(),
  }
}
