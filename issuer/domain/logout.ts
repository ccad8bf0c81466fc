import type { Authenticate } from './authenticate.ts'
import type { Audit, Ledger, Sessions, Users } from './ports.ts'
import { hashNonce, type MacKey, readRefreshToken } from './refresh-token.ts'
import type { Ended, Revoke } from './revoke.ts'
import { isCarriedOver } from './session.ts'

export interface LogoutInput {
  accessToken: string | undefined
  refreshToken: string | undefined
  /** Whether every session of the user is to end. */
  all: boolean
  address: string | null
}

export type LogoutResult =
  | { ok: true; ended: Ended }
  | { ok: false; code: 'token_missing' | 'token_invalid' | 'refresh_token_invalid' | 'credentials_conflict' }

/**
 * Ends the session of an access token, a refresh token, or both. Repeating it is answered as success.
 * @throws StoreUnavailable
 */
export type Logout = (input: LogoutInput) => Promise<LogoutResult>

export interface LogoutPorts {
  authenticate: Authenticate
  users: Users
  sessions: Sessions
  ledger: Ledger
  revoke: Revoke
  macKeys: readonly MacKey[]
  audit: Audit
}

/** The session that the credentials name. */
interface Target {
  sid: string
  sub: string
  epoch: number
  expiresAt?: number
}

type Found = { target: Target } | { ended: Ended } | Extract<LogoutResult, { ok: false }>

export function createLogout(ports: LogoutPorts): Logout {
  const { users, sessions, ledger, revoke, audit } = ports

  const endOne = async (target: Target): Promise<LogoutResult> => {
    const previous = await revoke.previous(target.sid)
    if (previous) return { ok: true, ended: { sessions: 0, ...previous } }
    return { ok: true, ended: await revoke.session(target) }
  }

  const endAll = async ({ sid, sub, epoch }: Target, refusal: LogoutResult): Promise<LogoutResult> => {
    const [revoked, user] = await Promise.all([ledger.isSessionRevoked(sid), users.byId(sub)])
    // What one logout has ended can't end what came after it.
    if (revoked || !user) return refusal
    // All sessions of that time ended before, perhaps by a request whose answer got lost: it is finished, not repeated.
    const over = epoch < user.epoch && !(await isCarriedOver(sessions, sid, user))
    const ended = await revoke.user(sub, over ? user.epoch : undefined)
    return ended ? { ok: true, ended } : refusal
  }

  return async (input) => {
    const found = await findTarget(ports, input)
    if ('ok' in found) return found
    if ('ended' in found)
      return input.all ? { ok: false, code: 'refresh_token_invalid' } : { ok: true, ended: found.ended }
    const { target } = found
    const code = input.accessToken === undefined ? 'refresh_token_invalid' : 'token_invalid'
    const result = await (input.all ? endAll(target, { ok: false, code }) : endOne(target))
    if (result.ok) {
      const { sessions, propagated } = result.ended
      const { sub, sid } = target
      audit.record(input.all ? 'logout_all' : 'logout', { sub, sid, sessions, propagated, address: input.address })
    }
    return result
  }
}

/** Either credential is enough; two that are both genuine have to name the same session. */
async function findTarget(ports: LogoutPorts, { accessToken, refreshToken }: LogoutInput): Promise<Found> {
  const { authenticate, sessions, revoke, macKeys } = ports
  if (accessToken === undefined && refreshToken === undefined) return { ok: false, code: 'token_missing' }
  const access = accessToken === undefined ? undefined : await readAccessToken(authenticate, accessToken)
  const refresh = refreshToken === undefined ? undefined : readRefreshToken(macKeys, refreshToken)
  if (access && refresh && access.target.sid !== refresh.sid) return { ok: false, code: 'credentials_conflict' }
  if (access?.valid) return { target: access.target }
  if (!refresh) return { ok: false, code: refreshToken === undefined ? 'token_invalid' : 'refresh_token_invalid' }

  const session = await sessions.byId(refresh.sid)
  if (session?.nonceHash === hashNonce(refresh.nonce) && refresh.isOf(session.sub)) {
    const conflict = access && access.target.sub !== session.sub
    return conflict ? { ok: false, code: 'credentials_conflict' } : { target: session }
  }
  const previous = session ? undefined : await revoke.previous(refresh.sid)
  return previous ? { ended: { sessions: 0, ...previous } } : { ok: false, code: 'refresh_token_invalid' }
}

/** An expired access token names a session, but only a valid one may end it. */
async function readAccessToken(authenticate: Authenticate, token: string) {
  const verified = await authenticate.token(token)
  if (verified.ok) return { valid: true, target: toTarget(verified.claims) }
  const expired = verified.refusal === 'token_expired' ? await authenticate.expiredToken(token) : verified
  return expired.ok ? { valid: false, target: toTarget(expired.claims) } : undefined
}

function toTarget({ sid, sub, epoch }: Target): Target {
  return { sid, sub, epoch }
}
