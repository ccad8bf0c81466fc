import { randomUUID } from 'node:crypto'
import { MAX_SCOPE_CHARACTERS } from '../../shared/access-token.ts'
import type { Clock } from '../../shared/clock.ts'
import type { Administrator } from './administrator.ts'
import { type Client, type ClientChange, hashClientSecret, MAX_CLIENT_NAME, newClientSecret } from './client.ts'
import { covers, type Grants } from './grants.ts'
import { isPermissionName, MAX_PERMISSION_CHARACTERS, sortedPermissions } from './permissions.ts'
import type { Audit, Clients } from './ports.ts'
import type { Ended, Revoke } from './revoke.ts'

export type ClientRefusal =
  | { ok: false; code: 'invalid_request'; errors: string[] }
  | { ok: false; code: 'forbidden' | 'not_found' }

export type ClientResult<More = object> = ({ ok: true; client: Client } & More) | ClientRefusal

/**
 * Service clients, for administrators. What a client loses, its tokens lose at once, through the ledger; `ended` is
 * there when they did.
 *
 * Every function throws StoreUnavailable.
 */
export interface AdministerClients {
  /** The secret is in the answer and nowhere else. */
  create(input: { name: string; permissions: string[] }, by: Administrator): Promise<ClientResult<{ secret: string }>>
  list(after: string | undefined, limit: number): Promise<Client[]>
  get(id: string): Promise<Client | undefined>
  update(
    id: string,
    change: Pick<ClientChange, 'name' | 'permissions' | 'isActive'>,
    by: Administrator,
  ): Promise<ClientResult<{ ended: Ended | undefined }>>
  /** @param overlapMs how long the secret before still holds: milliseconds; 0 ends it and the tokens it got */
  rotateSecret(
    id: string,
    overlapMs: number,
    by: Administrator,
  ): Promise<ClientResult<{ secret: string; ended: Ended | undefined }>>
  delete(id: string, by: Administrator): Promise<{ ok: true; ended: Ended } | { ok: false; code: 'not_found' }>
}

export interface AdministerClientsPorts {
  clients: Clients
  revoke: Revoke
  audit: Audit
  clock: Clock
}

export function createAdministerClients({ clients, revoke, audit, clock }: AdministerClientsPorts): AdministerClients {
  const notFound = { ok: false, code: 'not_found' } as const
  const forbidden = { ok: false, code: 'forbidden' } as const

  // The epoch is higher already, so that no token that is issued from now on is concerned.
  const endTokens = async ({ id, epoch }: Client): Promise<Ended> =>
    (await revoke.user(id, epoch)) ?? { sessions: 0, propagated: true }

  return {
    async create({ name, permissions }, by) {
      const errors = objections({ name, permissions })
      if (errors.length > 0) return { ok: false, code: 'invalid_request', errors }
      if (!covers(by.grants, granted(permissions))) return forbidden
      const secret = newClientSecret()
      const now = clock.now()
      const client: Client = {
        id: randomUUID(),
        name,
        permissions: sortedPermissions(permissions),
        isActive: true,
        epoch: 0,
        secretHash: hashClientSecret(secret),
        previousSecretHash: null,
        previousSecretUntil: null,
        createdAt: now,
        updatedAt: now,
      }
      await clients.insert(client)
      audit.record('client_created', { client_id: client.id, by: by.id, permissions: client.permissions.join(' ') })
      return { ok: true, client, secret }
    },

    list: (after, limit) => clients.list(after, limit),
    get: (id) => clients.byId(id),

    async update(id, change, by) {
      const errors = objections(change)
      if (errors.length > 0) return { ok: false, code: 'invalid_request', errors }
      const before = await clients.byId(id)
      if (!before) return notFound
      const permissions = change.permissions && sortedPermissions(change.permissions)
      const added = permissions?.filter((permission) => !before.permissions.includes(permission)) ?? []
      if (!covers(by.grants, granted(added))) return forbidden
      const lost = permissions !== undefined && before.permissions.some((held) => !permissions.includes(held))
      const ends = lost || change.isActive === false
      const client = await clients.update(id, { ...change, permissions, updatedAt: clock.now() }, ends)
      if (!client) return notFound
      const ended = ends ? await endTokens(client) : undefined
      const facts = { active: client.isActive, permissions: client.permissions.join(' ') }
      audit.record('client_changed', { client_id: id, by: by.id, ...facts })
      return { ok: true, client, ended }
    },

    async rotateSecret(id, overlapMs, by) {
      const before = await clients.byId(id)
      if (!before) return notFound
      // Whoever sees the secret can do what the client can.
      if (!covers(by.grants, granted(before.permissions))) return forbidden
      const secret = newClientSecret()
      const nowMs = clock.now()
      const previousUntil = overlapMs > 0 ? nowMs + overlapMs : null
      const rotation = { secretHash: hashClientSecret(secret), previousUntil, nowMs }
      const client = await clients.rotateSecret(id, rotation, previousUntil === null)
      if (!client) return notFound
      const ended = previousUntil === null ? await endTokens(client) : undefined
      audit.record('client_secret_rotated', { client_id: id, by: by.id, overlap_ms: overlapMs })
      return { ok: true, client, secret, ended }
    },

    async delete(id, by) {
      // Off first, in the step that raises the epoch: a token could otherwise be issued between that and the deletion.
      const client = await clients.update(id, { isActive: false, updatedAt: clock.now() }, true)
      if (!client) return notFound
      const ended = await endTokens(client)
      await clients.delete(id)
      audit.record('client_deleted', { client_id: id, by: by.id, propagated: ended.propagated })
      return { ok: true, ended }
    },
  }
}

function granted(permissions: readonly string[]): Grants {
  return { roles: [], permissions: [...permissions] }
}

function objections({ name, permissions }: ClientChange): string[] {
  const errors: string[] = []
  if (name !== undefined && (name.trim() === '' || name.length > MAX_CLIENT_NAME || /\p{Cc}/u.test(name))) {
    errors.push(`name: 1 to ${MAX_CLIENT_NAME} characters, none of them a control character`)
  }
  const strange = permissions?.filter((permission) => !isPermissionName(permission)) ?? []
  if (strange.length > 0)
    errors.push(
      `permissions: each at most ${MAX_PERMISSION_CHARACTERS} of a-z, 0-9 and : _ . - with a letter or digit first`,
    )
  if (permissions && permissions.join(' ').length > MAX_SCOPE_CHARACTERS) {
    errors.push(`permissions: at most ${MAX_SCOPE_CHARACTERS} characters together`)
  }
  return errors
}
