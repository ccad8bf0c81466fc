import type { Sessions } from '../../domain/ports.ts'
import { RETRY_WINDOW_MS, type Rotation, type Session } from '../../domain/session.ts'
import type { RedisConnection } from './connect.ts'
import { ADD_TO_INDEX, CARRY_OVER, CREATE, END, END_BELOW_EPOCH, ROTATE } from './scripts.ts'

type Script = (key: string, ...args: (string | number)[]) => Promise<unknown>

// So many commands of one user are on their way at once; more would run into the time-out of a single command.
const BATCH = 500

/**
 * Sessions in Redis: a hash for each, which lives until its end, and for each user a sorted set of session ids. The
 * set is an index and no more: a session missing in it is dead by its epoch, an id without a session is passed over.
 * @param prefix of every key
 */
export function createRedisSessions({ client, attempt }: RedisConnection, prefix: string): Sessions {
  const script = (name: string, lua: string): Script => {
    client.defineCommand(name, { numberOfKeys: 1, lua })
    return (client as unknown as Record<string, Script>)[name]!.bind(client)
  }
  const rotate = script('sessionRotate', ROTATE)
  const create = script('sessionCreate', CREATE)
  const addToIndex = script('sessionAddToIndex', ADD_TO_INDEX)
  const carryOver = script('sessionCarryOver', CARRY_OVER)
  const end = script('sessionEnd', END)
  const endBelowEpoch = script('sessionEndBelowEpoch', END_BELOW_EPOCH)

  // The braces make the id alone decide the slot in Redis Cluster.
  const sessionKey = (sid: string) => `${prefix}session:{${sid}}`
  const indexKey = (sub: string) => `${prefix}user:{${sub}}:sessions`

  async function removeFromIndex(sub: string, sids: string[]): Promise<void> {
    if (sids.length > 0) await client.zrem(indexKey(sub), ...sids)
  }

  async function ofEachSession<T>(sub: string, ask: (sid: string) => Promise<T>): Promise<[sid: string, answer: T][]> {
    const sids = await client.zrange(indexKey(sub), '0', '-1')
    const answers: [string, T][] = []
    for (let from = 0; from < sids.length; from += BATCH) {
      const batch = sids.slice(from, from + BATCH)
      answers.push(...(await Promise.all(batch.map(async (sid): Promise<[string, T]> => [sid, await ask(sid)]))))
    }
    return answers
  }

  return {
    create: (session) =>
      attempt(async () => {
        const fields = Object.entries(session).flatMap(([name, value]) => (value === null ? [] : [name, value]))
        // The index second: the other way round, a listing between the two would take the id for a stale one.
        await create(sessionKey(session.sid), session.idleExpiresAt, ...fields)
        return Number(await addToIndex(indexKey(session.sub), session.sid, session.expiresAt, session.createdAt))
      }),

    rotate: ({ sid, generation, nonceHash, nowMs, idleMs }) =>
      attempt(async () => {
        const answer = await rotate(sessionKey(sid), generation, nonceHash, nowMs, idleMs, RETRY_WINDOW_MS)
        const [outcome, fields] = answer as ['unknown'] | [Exclude<Rotation['outcome'], 'unknown'>, string[]]
        return outcome === 'unknown' ? { outcome } : { outcome, session: toSession(fromPairs(fields)) }
      }),

    byId: (sid) =>
      attempt(async () => {
        const fields = await client.hgetall(sessionKey(sid))
        return fields.sid === undefined ? undefined : toSession(fields)
      }),

    list: (sub, nowMs) =>
      attempt(async () => {
        const found = await ofEachSession(sub, (sid) => client.hgetall(sessionKey(sid)))
        const stale = found.filter(([, fields]) => fields.sid === undefined).map(([sid]) => sid)
        await removeFromIndex(sub, stale)
        return found
          .filter(([, fields]) => fields.sub === sub)
          .map(([, fields]) => toSession(fields))
          .filter((session) => nowMs < session.idleExpiresAt)
          .sort((a, b) => b.createdAt - a.createdAt || (a.sid < b.sid ? -1 : 1))
      }),

    carryOver: (sid, epoch) => attempt(async () => (await carryOver(sessionKey(sid), epoch)) === 1),

    end: (sid) =>
      attempt(async () => {
        const sub = (await end(sessionKey(sid))) as string | null
        if (sub === null) return false
        await removeFromIndex(sub, [sid])
        return true
      }),

    endAll: (sub, belowEpoch, nowMs) =>
      attempt(async () => {
        const answers = await ofEachSession(sub, (sid) => endBelowEpoch(sessionKey(sid), sub, belowEpoch, nowMs))
        const over = answers.filter(([, answer]) => answer !== 'kept').map(([sid]) => sid)
        await removeFromIndex(sub, over)
        return answers.filter(([, answer]) => answer === 'ended').length
      }),
  }
}

function fromPairs(flat: string[]): Record<string, string> {
  const fields: Record<string, string> = {}
  for (let at = 0; at < flat.length; at += 2) fields[flat[at]!] = flat[at + 1]!
  return fields
}

function toSession(fields: Record<string, string>): Session {
  const { sid, sub, nonceHash, userAgent, address, scope } = fields
  return {
    sid: sid!,
    sub: sub!,
    epoch: Number(fields.epoch),
    generation: Number(fields.generation),
    nonceHash: nonceHash!,
    createdAt: Number(fields.createdAt),
    rotatedAt: Number(fields.rotatedAt),
    expiresAt: Number(fields.expiresAt),
    idleExpiresAt: Number(fields.idleExpiresAt),
    userAgent: userAgent ?? null,
    address: address ?? null,
    scope: scope ?? null,
  }
}
