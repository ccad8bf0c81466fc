import type { Clock } from '../../shared/clock.ts'
import type { RoleGrants } from './grants.ts'
import type { IssueTokens, Tokens } from './issue-tokens.ts'
import type { KeySet } from './key-set.ts'
import type { Audit, Ledger, Sessions, Users } from './ports.ts'
import { hashNonce, type MacKey, readRefreshToken } from './refresh-token.ts'
import type { Revoke } from './revoke.ts'
import { fittingScope, narrowScope } from './scope.ts'
import { isCarriedOver, type Rotation } from './session.ts'

/** Why a refresh failed is for logs and metrics; the client hears the same for all of it. */
export type RefreshRefusal =
  | 'garbled'
  | 'unknown'
  | 'tampered'
  | 'reused'
  | 'revoked'
  | 'user_gone'
  | 'user_inactive'
  | 'epoch_passed'

export type RefreshResult =
  | { ok: true; outcome: Exclude<Rotation['outcome'], 'unknown' | 'reused'>; tokens: Tokens }
  | { ok: false; outcome: RefreshRefusal; code: 'refresh_token_invalid' }
  | { ok: false; outcome: 'scope_exceeded'; code: 'scope_invalid' }

/**
 * Rotates a refresh token.
 * @param address where the request comes from, for the audit log
 * @param scope what the scope of this access token is narrowed to; by default it is all that the session has
 * @throws StoreUnavailable: the client keeps its token, and may repeat the request
 */
export type Refresh = (token: string, address: string | null, scope?: string) => Promise<RefreshResult>

export interface RefreshPorts {
  users: Users
  sessions: Sessions
  ledger: Ledger
  revoke: Revoke
  roleGrants: RoleGrants
  issueTokens: IssueTokens
  keySet: Pick<KeySet, 'freshen' | 'current'>
  /** All of them verify. */
  macKeys: readonly MacKey[]
  audit: Audit
  clock: Clock
}

/** @param idleMs how long a session lives on without use: milliseconds */
export function createRefresh(ports: RefreshPorts, idleMs: number): Refresh {
  const { users, sessions, ledger, revoke, roleGrants, issueTokens, keySet, macKeys, audit, clock } = ports
  const refuse = (outcome: RefreshRefusal): RefreshResult => ({ ok: false, outcome, code: 'refresh_token_invalid' })

  return async (token, address, scope) => {
    const claim = readRefreshToken(macKeys, token)
    if (!claim) return refuse('garbled')
    const { sid, generation, nonce } = claim

    const nonceHash = hashNonce(nonce)
    const known = await sessions.byId(sid)
    if (known?.nonceHash !== nonceHash) return refuse('unknown')
    if (!claim.isOf(known.sub)) {
      audit.record('session_tampered', { sub: known.sub, sid, address })
      return refuse('tampered')
    }

    // A token of a key that was revoked would be refused wherever it is shown.
    await keySet.freshen()
    // Before anything is asked: a logout that the ledger does not know of yet is later than this, and so covers the new
    // token; and where it is everybody's, the keys that it revokes have this one among them.
    const [issuedAtMs, key] = [clock.now(), keySet.current()]
    const [revoked, user] = await Promise.all([ledger.isSessionRevoked(sid), users.byId(known.sub)])
    const end = async (outcome: RefreshRefusal) => {
      await sessions.end(sid)
      audit.record('session_ended', { reason: outcome, sub: known.sub, sid, address })
      return refuse(outcome)
    }
    if (revoked) return end('revoked')
    if (!user) return end('user_gone')
    if (!user.isActive) return end('user_inactive')
    // A password change raises the epoch, and then spares its session: that can have happened since this one was read.
    if (known.epoch < user.epoch && !(await isCarriedOver(sessions, sid, user))) return end('epoch_passed')
    const grants = await roleGrants.of(user.roles)
    if (scope !== undefined) {
      const granted = fittingScope(grants.permissions, known.scope).split(' ')
      if (!narrowScope(granted, scope).ok) return { ok: false, outcome: 'scope_exceeded', code: 'scope_invalid' }
    }

    // Last: a store that failed until here has used up nothing, however long it stays away.
    const rotation = await sessions.rotate({ sid, generation, nonceHash, nowMs: clock.now(), idleMs })
    if (rotation.outcome === 'unknown') return refuse('unknown')
    const { session } = rotation
    if (rotation.outcome === 'reused') {
      await revoke.session(session)
      audit.record('refresh_token_reused', { sub: session.sub, sid, generation, address })
      return refuse('reused')
    }
    // The session keeps its own: the next refresh may ask for more again (RFC 6749 section 6).
    const narrowed = scope === undefined ? session : { ...session, scope }
    return { ok: true, outcome: rotation.outcome, tokens: issueTokens(user, grants, narrowed, nonce, issuedAtMs, key) }
  }
}
