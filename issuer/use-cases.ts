import type { Clock } from '../shared/clock.ts'
import type { Log } from '../shared/log.ts'
import type { SecurityEvent } from '../shared/security-event.ts'
import { createAdministerClients } from './domain/administer-clients.ts'
import { createAdministerRoles } from './domain/administer-roles.ts'
import { createAdministerUsers } from './domain/administer-users.ts'
import { createAuthenticate } from './domain/authenticate.ts'
import { createChangePassword, throttleChangePassword } from './domain/change-password.ts'
import { createAuthenticateClient, createClientCredentials } from './domain/client-credentials.ts'
import { createEffectiveGrants } from './domain/effective-grants.ts'
import { createRoleGrants } from './domain/grants.ts'
import { createIntrospect } from './domain/introspect.ts'
import { createIssueTokens, type ProfileClaim } from './domain/issue-tokens.ts'
import type { KeySealing } from './domain/key-sealing.ts'
import type { KeySet } from './domain/key-set.ts'
import { createLogin, throttleLogin } from './domain/login.ts'
import { createLogout } from './domain/logout.ts'
import { createOneTimeLinks } from './domain/one-time-links.ts'
import { createUpdateOwnProfile } from './domain/own-profile.ts'
import { createOwnSessions } from './domain/own-sessions.ts'
import type { Peers } from './domain/peers.ts'
import type {
  Audit,
  Clients,
  GuessCounts,
  Ledger,
  Mailer,
  OneTimeTokens,
  PasswordHasher,
  Publisher,
  RequestCounts,
  Roles,
  Sessions,
  SigningKeys,
  Users,
} from './domain/ports.ts'
import { createProfile } from './domain/profile.ts'
import { createRefresh } from './domain/refresh.ts'
import type { MacKey } from './domain/refresh-token.ts'
import { createRegister } from './domain/register.ts'
import { createResetPassword } from './domain/reset-password.ts'
import { createRevoke } from './domain/revoke.ts'
import { createRevokeKey } from './domain/revoke-key.ts'
import { createRevokeToken } from './domain/revoke-token.ts'
import { createRotateKeys } from './domain/rotate-keys.ts'
import type { KeyRules } from './domain/signing-key.ts'
import { type ClientFacts, createStartSession } from './domain/start-session.ts'
import { createThrottle, type Throttle } from './domain/throttle.ts'
import type { User } from './domain/user.ts'
import { createVerifyEmail } from './domain/verify-email.ts'
import { withPlace } from './domain/with-place.ts'
import { createWithdraw } from './domain/withdraw.ts'

/** What configuration decides of the use cases. Durations are in milliseconds unless named otherwise. */
export interface Rules {
  issuer: string
  audience: readonly string[]
  profileClaims: readonly ProfileClaim[]
  refreshTtlMs: number
  idleMs: number
  /** How many sessions a user may have at once; `undefined`: any number. */
  sessionLimit: number | undefined
  /** Whether a login needs a verified e-mail address. */
  requireVerified: boolean
  /** Whether a new user is mailed the link that verifies the address. */
  mailAtRegistration: boolean
  publishTimeoutMs: number
  /** Whether wrong passwords make the next guess wait. */
  loginThrottle: boolean
  keys: KeyRules
}

/** What the use cases stand on. */
export interface Parts {
  users: Users
  roles: Roles
  clients: Clients
  sessions: Sessions
  ledger: Ledger
  publisher: Publisher
  hasher: PasswordHasher
  counts: GuessCounts & RequestCounts
  oneTimeTokens: OneTimeTokens
  mailer: Mailer
  audit: Audit
  keySet: KeySet
  /** What is known of the other issuers. */
  peers: Pick<Peers, 'ownLifetimeS' | 'longestLifetimeS'>
  signingKeys: SigningKeys
  sealing: KeySealing
  macKeys: readonly MacKey[]
  sign(event: SecurityEvent): string
  /** Which issuer process this is. */
  instance: string
  clock: Clock
  log: Log
}

/** Gives each use case its ports, once. */
export function createUseCases(parts: Parts, rules: Rules) {
  const { peers } = parts
  const tokenRules = {
    ...rules,
    get lifetimeS() {
      return peers.ownLifetimeS()
    },
  }
  const revokeRules = {
    ...rules,
    get lifetimeS() {
      return peers.longestLifetimeS()
    },
  }
  const authenticate = createAuthenticate(parts, rules)
  const roleGrants = createRoleGrants(parts)
  const issueTokens = createIssueTokens(parts, tokenRules)
  const revoke = createRevoke(parts, revokeRules)
  const startSession = createStartSession({ ...parts, roleGrants, issueTokens, revoke }, rules)
  const links = createOneTimeLinks(parts)
  const throttle: Throttle = rules.loginThrottle ? createThrottle(parts) : (_account, _client, guess) => guess()
  const withdraw = createWithdraw({ ...parts, revoke })
  const verify = rules.mailAtRegistration
    ? (user: User, client: ClientFacts) => links.request('verify_email', user.email, client)
    : undefined
  const profile = createProfile({ ...parts, withdraw, tell: links.addressChanged, ...(verify && { verify }) })
  const logout = createLogout({ ...parts, authenticate, revoke })
  return {
    authenticate,
    effectiveGrants: createEffectiveGrants(roleGrants),
    authenticateClient: createAuthenticateClient(parts),
    clientCredentials: createClientCredentials(parts, tokenRules),
    introspect: createIntrospect({ ...parts, authenticate }),
    revokeToken: createRevokeToken({ ...parts, authenticate, logout, revoke }),
    administerClients: createAdministerClients({ ...parts, revoke }),
    register: withPlace(parts.hasher, createRegister({ ...parts, startSession, links }, rules)),
    login: withPlace(parts.hasher, throttleLogin(createLogin({ ...parts, roleGrants, startSession }, rules), throttle)),
    refresh: createRefresh({ ...parts, revoke, roleGrants, issueTokens }, rules.idleMs),
    logout,
    rotateKeys: createRotateKeys(parts, rules.keys),
    revokeKey: createRevokeKey({ ...parts, announce: revoke.key }, rules.keys),
    links,
    verifyEmail: createVerifyEmail(parts),
    resetPassword: createResetPassword({ ...parts, revoke }),
    ownSessions: createOwnSessions({ ...parts, revoke }),
    roleGrants,
    profile,
    updateOwnProfile: createUpdateOwnProfile({ ...parts, profile, throttle }),
    changePassword: withPlace(
      parts.hasher,
      throttleChangePassword(createChangePassword({ ...parts, revoke }), throttle),
    ),
    administerUsers: createAdministerUsers({ ...parts, roleGrants, profile, withdraw, revoke }),
    administerRoles: createAdministerRoles({ ...parts, roleGrants }),
  }
}
