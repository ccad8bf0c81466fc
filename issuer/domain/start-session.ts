import { randomUUID } from 'node:crypto'
import type { Clock } from '../../shared/clock.ts'
import type { IssueTokens, Tokens } from './issue-tokens.ts'
import type { Sessions } from './ports.ts'
import { hashNonce, newNonce } from './refresh-token.ts'
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
}

const MAX_USER_AGENT = 200

/**
 * Starts a session of its own, whatever the client had before.
 * @param issuedAtMs taken before the user was read, so that a logout of the whole user meanwhile covers the tokens
 */
export type StartSession = (user: User, client: ClientFacts, issuedAtMs: number) => Promise<Tokens>

export function createStartSession(
  { sessions, issueTokens, clock }: { sessions: Sessions; issueTokens: IssueTokens; clock: Clock },
  { refreshTtlMs, idleMs }: SessionRules,
): StartSession {
  return async (user, client, issuedAtMs) => {
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
    }
    await sessions.create(session)
    return issueTokens(user, session, nonce, issuedAtMs)
  }
}

function printable(text: string): string {
  return text.replace(/[^\x20-\x7e]/g, '?').slice(0, MAX_USER_AGENT)
}
