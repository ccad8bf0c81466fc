import { randomUUID } from 'node:crypto'
import { hashNonce, newNonce } from '../../issuer/domain/refresh-token.ts'
import type { Session } from '../../issuer/domain/session.ts'
import type { User } from '../../issuer/domain/user.ts'
import type { Revocation } from '../../shared/revocation.ts'
import { SESSIONS } from './commands.ts'
import { createTokenIssue, key, type Stores } from './issuer.ts'
import { START_MS } from './world.ts'

const HOUR_MS = 3_600_000

/** What a client holds, and what it was told. */
export interface Client {
  sid: string
  sub: string
  tokens: { token: string; epoch: number }[]
  refreshToken: string
  /** Whether a logout of this session, or of its user, has been answered. */
  loggedOut: boolean
}

/** Whether a revocation concerns a token of this session, user and epoch. */
export function covers(revocation: Revocation, sid: string, sub: string, epoch: number): boolean {
  if (revocation.kind === 'session') return revocation.sid === sid
  return revocation.kind === 'user' && revocation.sub === sub && epoch < revocation.epoch
}

export function epochOf(token: string): number {
  return JSON.parse(Buffer.from(token.split('.')[1]!, 'base64url').toString()).epoch
}

/** Two users, the first with two sessions, all logged in a moment ago. */
export function createClients(apartMs: number) {
  const stores: Stores = {
    ledger: [],
    committedAt: new Map(),
    recordedBy: new Map(),
    users: new Map(),
    sessions: new Map(),
  }
  // By its last digit it belongs to a partition: the same in every run.
  const user = (): User => ({
    id: randomUUID().replace(/.$/, String(stores.users.size)),
    email: 'someone@example.com',
    emailKey: 'someone@example.com',
    username: null,
    usernameKey: null,
    passwordHash: '',
    epoch: 0,
    roles: [],
    tier: 'free',
    isActive: true,
    isVerified: true,
    createdAt: START_MS,
    updatedAt: START_MS,
    lastLogin: null,
  })
  const newUser = () => {
    const who = user()
    stores.users.set(who.id, who)
    return who
  }
  const logInAs = (who: User, clock: { now(): number }) => {
    const nonce = newNonce()
    const now = clock.now()
    const session: Session = {
      sid: randomUUID(),
      sub: who.id,
      epoch: who.epoch,
      generation: 0,
      nonceHash: hashNonce(nonce),
      createdAt: now,
      rotatedAt: now,
      expiresAt: now + HOUR_MS,
      idleExpiresAt: now + HOUR_MS,
      userAgent: null,
      address: null,
      scope: null,
    }
    stores.sessions.set(session.sid, session)
    const tokens = createTokenIssue(clock)(who, { roles: [], permissions: [] }, session, nonce, now, key)
    return { session, tokens }
  }
  const users = Array.from({ length: 2 }, newUser)
  const clock = { now: () => START_MS + apartMs }
  const clients = Array.from({ length: SESSIONS }, (_, n): Client => {
    const { session, tokens } = logInAs(users[n % users.length]!, clock)
    return {
      sid: session.sid,
      sub: session.sub,
      tokens: [{ token: tokens.accessToken, epoch: 0 }],
      refreshToken: tokens.refreshToken,
      loggedOut: false,
    }
  })
  const logIn = (now: { now(): number }) => logInAs(newUser(), now).tokens.accessToken
  return { stores, clients, logIn }
}
