import type { DatabaseSync } from 'node:sqlite'
import type { Sessions } from '../../domain/ports.ts'
import { judgeRotation, type Session } from '../../domain/session.ts'
import { attempt, inTransaction } from './connect.ts'
import { insertInto } from './statements.ts'

const COLUMNS = [
  'sid',
  'sub',
  'epoch',
  'generation',
  'nonceHash',
  'createdAt',
  'rotatedAt',
  'expiresAt',
  'idleExpiresAt',
  'userAgent',
  'address',
  'scope',
] as const satisfies (keyof Session)[]

/** Sessions in SQLite; the columns have the names of the session's fields. */
export function createSqliteSessions(db: DatabaseSync): Sessions {
  const insert = db.prepare(insertInto('sessions', COLUMNS))
  const select = db.prepare('SELECT * FROM sessions WHERE sid = ?')
  // `idleExpiresAt` is never past `expiresAt`.
  const list = db.prepare('SELECT * FROM sessions WHERE sub = ? AND idleExpiresAt > ? ORDER BY createdAt DESC, sid')
  const count = db.prepare('SELECT count(*) AS sessions FROM sessions WHERE sub = ?')
  const carryOver = db.prepare('UPDATE sessions SET epoch = ? WHERE sid = ?')
  const end = db.prepare('DELETE FROM sessions WHERE sid = ?')
  const endAll = db.prepare('DELETE FROM sessions WHERE sub = ? AND epoch < ? RETURNING idleExpiresAt')
  const advance = db.prepare(
    'UPDATE sessions SET generation = :generation, rotatedAt = :rotatedAt, idleExpiresAt = :idleExpiresAt WHERE sid = :sid',
  )
  const find = (sid: string) => {
    const row = select.get(sid)
    return row && toSession(row)
  }
  return {
    create: (session) =>
      attempt(() => {
        insert.run({ ...session })
        return (count.get(session.sub) as { sessions: number }).sessions
      }),
    rotate: (claim) =>
      attempt(() =>
        inTransaction(db, () => {
          const rotation = judgeRotation(find(claim.sid), claim)
          if (rotation.outcome === 'rotated' || rotation.outcome === 'caught-up') {
            const { sid, generation, rotatedAt, idleExpiresAt } = rotation.session
            advance.run({ sid, generation, rotatedAt, idleExpiresAt })
          }
          return rotation
        }),
      ),
    byId: (sid) => attempt(() => find(sid)),
    list: (sub, nowMs) => attempt(() => list.all(sub, nowMs).map(toSession)),
    carryOver: (sid, epoch) => attempt(() => carryOver.run(epoch, sid).changes > 0),
    end: (sid) => attempt(() => end.run(sid).changes > 0),
    endAll: (sub, belowEpoch, nowMs) =>
      attempt(() => endAll.all(sub, belowEpoch).filter((row) => Number(row.idleExpiresAt) > nowMs).length),
  }
}

function toSession(row: object): Session {
  return { ...row } as Session
}
