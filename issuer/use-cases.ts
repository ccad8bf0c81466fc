import type { Clock } from '../shared/clock.ts'
import type { Log } from '../shared/log.ts'
import type { SecurityEvent } from '../shared/security-event.ts'
import { createAuthenticate } from './domain/authenticate.ts'
import { createIssueTokens, type ProfileClaim } from './domain/issue-tokens.ts'
import type { KeySet } from './domain/key-set.ts'
import { createLogin } from './domain/login.ts'
import { createLogout } from './domain/logout.ts'
import { createOwnSessions } from './domain/own-sessions.ts'
import type { Audit, Ledger, PasswordHasher, Publisher, Sessions, Users } from './domain/ports.ts'
import { createRefresh } from './domain/refresh.ts'
import type { MacKey } from './domain/refresh-token.ts'
import { createRegister } from './domain/register.ts'
import { createRevoke } from './domain/revoke.ts'
import { createStartSession } from './domain/start-session.ts'

/** What configuration decides of the use cases. Durations are in milliseconds unless named otherwise. */
export interface Rules {
  issuer: string
  audience: readonly string[]
  accessTokenTtlMs: number
  profileClaims: readonly ProfileClaim[]
  refreshTtlMs: number
  idleMs: number
  publishTimeoutMs: number
}

/** What the use cases stand on. */
export interface Parts {
  users: Users
  sessions: Sessions
  ledger: Ledger
  publisher: Publisher
  hasher: PasswordHasher
  audit: Audit
  keySet: KeySet
  macKeys: readonly MacKey[]
  sign(event: SecurityEvent): string
  /** Which issuer process this is. */
  instance: string
  clock: Clock
  log: Log
}

/** Gives each use case its ports, once. */
export function createUseCases(parts: Parts, rules: Rules) {
  const lifetimeS = rules.accessTokenTtlMs / 1000
  const authenticate = createAuthenticate(parts, rules)
  const issueTokens = createIssueTokens(parts, { ...rules, lifetimeS })
  const startSession = createStartSession({ ...parts, issueTokens }, rules)
  const revoke = createRevoke(parts, { ...rules, lifetimeS })
  return {
    authenticate,
    register: createRegister({ ...parts, startSession }),
    login: createLogin({ ...parts, startSession }),
    refresh: createRefresh({ ...parts, revoke, issueTokens }, rules.idleMs),
    logout: createLogout({ ...parts, authenticate, revoke }),
    ownSessions: createOwnSessions({ ...parts, revoke }),
  }
}
