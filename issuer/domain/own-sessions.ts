import type { Clock } from '../../shared/clock.ts'
import type { Caller } from './authenticate.ts'
import type { Audit, Sessions } from './ports.ts'
import type { Ended, Revoke } from './revoke.ts'
import type { Session } from './session.ts'

export interface OwnSessions {
  /** The caller's live sessions, newest first. */
  list(caller: Caller): Promise<{ session: Session; current: boolean }[]>
  /** Ends one of them. @returns `undefined` when the caller has no such session, whether or not someone else has */
  end(caller: Caller, sid: string): Promise<Ended | undefined>
}

const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/

export function createOwnSessions({
  sessions,
  revoke,
  audit,
  clock,
}: {
  sessions: Sessions
  revoke: Revoke
  audit: Audit
  clock: Clock
}): OwnSessions {
  return {
    async list({ claims, user }) {
      const live = (await sessions.list(user.id, clock.now())).filter(({ epoch }) => epoch >= user.epoch)
      return live.map((session) => ({ session, current: session.sid === claims.sid }))
    },
    async end({ user }, sid) {
      const session = UUID.test(sid) ? await sessions.byId(sid) : undefined
      if (session?.sub !== user.id) return undefined
      const ended = await revoke.session(session)
      audit.record('session_ended', { reason: 'by_user', sub: user.id, sid, propagated: ended.propagated })
      return ended
    },
  }
}
