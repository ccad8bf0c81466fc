import { randomUUID } from 'node:crypto'
import { ACCESS_TOKEN_TYPE, type AccessClaims } from '../../shared/access-token.ts'
import { type Clock, seconds } from '../../shared/clock.ts'
import { signJws } from '../../shared/jws.ts'
import { type Client, matchClientSecret } from './client.ts'
import type { KeySet } from './key-set.ts'
import type { Audit, Clients } from './ports.ts'
import { narrowScope } from './scope.ts'

/** A client that proved itself with its secret. */
export interface AuthenticatedClient {
  client: Client
  /** When the store was asked, so that a revocation recorded since covers what is issued: milliseconds. */
  askedAtMs: number
}

/**
 * Checks a client's secret. Unknown client, inactive client, wrong secret: one answer after the same work.
 * @param address where the request comes from, for the audit log
 * @throws StoreUnavailable
 */
export type AuthenticateClient = (
  id: string,
  secret: string,
  address: string | null,
) => Promise<AuthenticatedClient | undefined>

export function createAuthenticateClient({
  clients,
  audit,
  clock,
}: {
  clients: Clients
  audit: Audit
  clock: Clock
}): AuthenticateClient {
  return async (id, secret, address) => {
    const askedAtMs = clock.now()
    const client = await clients.byId(id)
    const match = matchClientSecret(client, secret, askedAtMs)
    const refuse = (reason: string) => {
      audit.record('client_refused', { reason, client_id: client?.id ?? null, address })
      return undefined
    }
    if (!client) return refuse('client_unknown')
    if (!match) return refuse('secret_wrong')
    if (!client.isActive) return refuse('client_inactive')
    // Who still uses it has not been told of the new one.
    if (match === 'previous') audit.record('client_previous_secret_used', { client_id: client.id, address })
    return { client, askedAtMs }
  }
}

/** A token of a client's own. There is no refresh token: the secret is the refresh token (RFC 6749 section 4.4.3). */
export type ClientTokenResult =
  | { ok: true; accessToken: string; expiresInS: number; scope: string }
  | { ok: false; code: 'scope_invalid' }

/** Issues an access token to a client that authenticated. @param scope as requested; `undefined`: all it may have */
export type ClientCredentials = (
  authenticated: AuthenticatedClient,
  scope: string | undefined,
  address: string | null,
) => Promise<ClientTokenResult>

export interface ClientTokenRules {
  issuer: string
  audience: readonly string[]
  /** How long an access token lives, asked for each: seconds. @throws StoreUnavailable when it is not known */
  readonly lifetimeS: number
}

/**
 * Every token is a session of its own, of one token: it can be revoked alone by its `sid`, and all of the client's by
 * its epoch.
 */
export function createClientCredentials(
  { keySet, audit, clock }: { keySet: KeySet; audit: Audit; clock: Clock },
  rules: ClientTokenRules,
): ClientCredentials {
  return async ({ client, askedAtMs }, requested, address) => {
    const { issuer, audience, lifetimeS } = rules
    const narrowed = narrowScope(client.permissions, requested)
    if (!narrowed.ok) return { ok: false, code: 'scope_invalid' }
    const scope = narrowed.permissions.join(' ')
    await keySet.freshen()
    const iat = Math.floor(askedAtMs / 1000)
    const claims: AccessClaims = {
      iss: issuer,
      aud: audience.length === 1 ? audience[0]! : [...audience],
      sub: client.id,
      client_id: client.id,
      jti: randomUUID(),
      iat,
      exp: iat + lifetimeS,
      sid: randomUUID(),
      epoch: client.epoch,
      roles: [],
      ...(scope && { scope }),
    }
    audit.record('client_token', { client_id: client.id, sid: claims.sid, address })
    const accessToken = signJws(keySet.current(), ACCESS_TOKEN_TYPE, claims)
    return { ok: true, accessToken, expiresInS: Math.max(0, claims.exp - seconds(clock)), scope }
  }
}

/** Whether a token was issued to a service for itself: its subject is the client (RFC 9068 section 2.2). */
export function isClientToken({ sub, client_id }: Pick<AccessClaims, 'sub' | 'client_id'>): boolean {
  return sub === client_id
}
