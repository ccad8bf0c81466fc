import { randomUUID } from 'node:crypto'
import type { Clock } from '../../shared/clock.ts'
import type { RoleGrants } from './grants.ts'
import type { IssueTokens, Tokens } from './issue-tokens.ts'
import type { KeySet } from './key-set.ts'
import type { Audit, Sessions, Users } from './ports.ts'
import { hashNonce, newNonce } from './refresh-token.ts'
import type { Revoke } from './revoke.ts'
import type { Session } from './session.ts'
import type { User } from './user.ts'

/** Who is asking, as far as the connection tells. */
export interface ClientFacts {
  userAgent: string | null
  address: string | null
}

export interface SessionRules {
  /** How long a session lives at most: milliseconds. */
  refreshTtlMs: number
  /** How long it lives without being used: milliseconds. */
  idleMs: number
  /** How many a user may have at once; `undefined`: any number. */
  sessionLimit: number | undefined
}

export interface StartedSession {
  /** As the user stands now. */
  user: User
  tokens: Tokens
}

const MAX_USER_AGENT = 200

/**
 * Starts a session of its own, whatever the client had before. Where that is one too many, the user's oldest ones end.
 * @param issuedAtMs taken before the user was read, so that a logout of the whole user meanwhile covers the tokens
 * @param scope what the scope of its tokens is narrowed to; null, as by default, for all that the roles permit
 * @returns `undefined`, and there is no session, when the user was logged out everywhere or deactivated meanwhile
 */
export type StartSession = (
  user: User,
  client: ClientFacts,
  issuedAtMs: number,
  scope?: string | null,
) => Promise<StartedSession | undefined>

export interface StartSessionPorts {
  users: Pick<Users, 'update'>
  sessions: Sessions
  roleGrants: RoleGrants
  issueTokens: IssueTokens
  keySet: Pick<KeySet, 'freshen' | 'current'>
  revoke: Revoke
  audit: Audit
  clock: Clock
}

export function createStartSession(
  { users, sessions, roleGrants, issueTokens, keySet, revoke, audit, clock }: StartSessionPorts,
  { refreshTtlMs, idleMs, sessionLimit = Number.POSITIVE_INFINITY }: SessionRules,
): StartSession {
  /** Each of several logins at once counts itself before it looks: the last to look sees all of them. */
  const endOldest = async (sub: string) => {
    const tooMany = (await sessions.list(sub, clock.now())).slice(sessionLimit)
    if (tooMany.length === 0) return
    await revoke.sessions(tooMany)
    for (const { sid } of tooMany) audit.record('session_ended', { reason: 'limit', sub, sid })
  }

  return async (user, client, issuedAtMs, scope = null) => {
    const nonce = newNonce()
    const now = clock.now()
    const session: Session = {
      sid: randomUUID(),
      sub: user.id,
      epoch: user.epoch,
      generation: 0,
      nonceHash: hashNonce(nonce),
      createdAt: now,
      rotatedAt: now,
      expiresAt: now + refreshTtlMs,
      idleExpiresAt: now + Math.min(idleMs, refreshTtlMs),
      userAgent: client.userAgent && printable(client.userAgent),
      address: client.address,
      scope,
    }
    const [grants] = await Promise.all([roleGrants.of(user.roles), keySet.freshen()])
    if ((await sessions.create(session)) > sessionLimit) await endOldest(user.id)
    const tokens = issueTokens(user, grants, session, nonce, issuedAtMs, keySet.current())
    // Only now, so that whoever ends the sessions of a user, or of all of them, either sees this one or is seen here.
    const lastLogin = clock.now()
    const onlyIf = { epoch: user.epoch, isActive: true }
    if (await users.update(user.id, { lastLogin }, { onlyIf })) return { user: { ...user, lastLogin }, tokens }
    await sessions.end(session.sid)
    return undefined
  }
}

/** What the audit log holds of a client. */
export function auditFacts({ userAgent, address }: ClientFacts) {
  return { address, user_agent: userAgent && printable(userAgent) }
}

function printable(text: string): string {
  return text.replace(/[^\x20-\x7e]/g, '?').slice(0, MAX_USER_AGENT)
}
