/**
 * What Redis does in one atomic step, as Lua. Each script touches one key, so every one of them works in Redis
 * Cluster. Times are milliseconds; Lua's numbers are doubles, exact up to 2^53.
 */

/**
 * The rule `judgeRotation` of domain/session.ts; the contract tests hold the two together.
 * ARGV: generation, nonceHash, nowMs, idleMs, retryWindowMs. Answers the outcome and the session's fields.
 */
export const ROTATE = `
local stored = redis.call('HMGET', KEYS[1], 'nonceHash', 'generation', 'rotatedAt', 'expiresAt', 'idleExpiresAt')
if not stored[1] or stored[1] ~= ARGV[2] then return {'unknown'} end
local current, rotatedAt = tonumber(stored[2]), tonumber(stored[3])
local expiresAt, idleExpiresAt = tonumber(stored[4]), tonumber(stored[5])
local claimed, now = tonumber(ARGV[1]), tonumber(ARGV[3])
if now >= expiresAt or now >= idleExpiresAt then return {'unknown'} end
local outcome
if claimed == current - 1 and now <= rotatedAt + tonumber(ARGV[5]) then
  outcome = 'retry'
elseif claimed < current then
  outcome = 'reused'
else
  outcome = claimed == current and 'rotated' or 'caught-up'
  local idleEnd = string.format('%.0f', math.min(now + tonumber(ARGV[4]), expiresAt))
  redis.call('HSET', KEYS[1],
    'generation', string.format('%.0f', claimed + 1), 'rotatedAt', ARGV[3], 'idleExpiresAt', idleEnd)
  redis.call('PEXPIREAT', KEYS[1], idleEnd)
end
return {outcome, redis.call('HGETALL', KEYS[1])}
`

/** ARGV: when the key may go, then the session's fields and values. */
export const CREATE = `
redis.call('HSET', KEYS[1], unpack(ARGV, 2))
redis.call('PEXPIREAT', KEYS[1], ARGV[1])
`

/**
 * Enters a session in its user's index, a sorted set by absolute end, which lives as long as the last one in it.
 * ARGV: sid, expiresAt, nowMs. Answers how many there are.
 */
export const ADD_TO_INDEX = `
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', ARGV[3])
redis.call('ZADD', KEYS[1], ARGV[2], ARGV[1])
redis.call('PEXPIREAT', KEYS[1], redis.call('ZREVRANGE', KEYS[1], 0, 0, 'WITHSCORES')[2])
return redis.call('ZCARD', KEYS[1])
`

/** ARGV: epoch. Answers 1, or 0 when there is no such session: a bare HSET would make one that never ends. */
export const CARRY_OVER = `
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
redis.call('HSET', KEYS[1], 'epoch', ARGV[1])
return 1
`

/** Answers the user's id, or nothing when there was no such session. */
export const END = `
local sub = redis.call('HGET', KEYS[1], 'sub')
redis.call('DEL', KEYS[1])
return sub
`

/** ARGV: sub, epoch, nowMs. Answers 'kept', 'ended' (it was live) or 'gone'. */
export const END_BELOW_EPOCH = `
local stored = redis.call('HMGET', KEYS[1], 'sub', 'epoch', 'idleExpiresAt')
if not stored[1] then return 'gone' end
if stored[1] ~= ARGV[1] or tonumber(stored[2]) >= tonumber(ARGV[2]) then return 'kept' end
redis.call('DEL', KEYS[1])
return tonumber(stored[3]) > tonumber(ARGV[3]) and 'ended' or 'gone'
`
