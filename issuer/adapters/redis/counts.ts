import type { Guess, GuessCounts, RequestCounts } from '../../domain/ports.ts'
import { FAILURE_RULES, type FailureRule, FIRST_WAIT_MS, LONGEST_WAIT_MS } from '../../domain/throttle.ts'
import type { RedisConnection } from './connect.ts'

/** ARGV: windowMs. */
const HIT = `
local count = redis.call('INCR', KEYS[1])
if count == 1 then redis.call('PEXPIRE', KEYS[1], ARGV[1]) end
return {count, redis.call('PTTL', KEYS[1])}
`

/** The functions of domain/throttle.ts; the contract tests hold the two together. Times come as numbers. */
const RULES = `
local now, first, longest = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local function read(key)
  local stored = redis.call('HMGET', key, 'forgottenAt', 'openAt')
  return tonumber(stored[1] or 0), tonumber(stored[2] or 0)
end
local function write(key, forgottenAt, openAt)
  if forgottenAt <= now then return redis.call('DEL', key) end
  redis.call('HSET', key, 'forgottenAt', string.format('%.0f', forgottenAt), 'openAt', string.format('%.0f', openAt))
  redis.call('PEXPIREAT', key, string.format('%.0f', forgottenAt))
end
local function rule(at)
  return {free = tonumber(ARGV[at]), forget = tonumber(ARGV[at + 1]), most = tonumber(ARGV[at + 2])}
end
local function openAfter(forgottenAt, of)
  local failures = math.max(0, math.ceil((forgottenAt - now) / of.forget))
  if failures < of.free then return now end
  return now + math.min(first * 2 ^ (failures - of.free), longest)
end
local function add(forgottenAt, of)
  local added = math.min(math.max(forgottenAt, now) + of.forget, now + of.most * of.forget)
  return added, openAfter(added, of)
end
`

/** KEYS: network. */
const NETWORK_WAIT = `
${RULES}
local _, openAt = read(KEYS[1])
return math.max(0, openAt - now)
`

/** KEYS: pair, account. ARGV: the rules of the two. */
const CLAIM = `
${RULES}
local pair, account = rule(4), rule(7)
local forgottenAt, openAt = read(KEYS[1])
if now < openAt then return openAt - now end
local allForgottenAt, allOpenAt = add(read(KEYS[2]), account)
local ownForgottenAt, ownOpenAt = add(forgottenAt, pair)
write(KEYS[2], allForgottenAt, allOpenAt)
write(KEYS[1], ownForgottenAt, math.max(ownOpenAt, allOpenAt))
return 0
`

/** KEYS: network. ARGV: its rule. */
const ADD = `
${RULES}
local of = rule(4)
write(KEYS[1], add(read(KEYS[1]), of))
`

/** KEYS: pair, account. ARGV: the rules of the two, and whether the pair is forgotten. */
const TAKE_BACK = `
${RULES}
local function takeBack(key, of)
  local forgottenAt, openAt = read(key)
  local taken = forgottenAt - of.forget
  write(key, taken, math.min(openAt, openAfter(taken, of)))
end
if ARGV[10] == 'right' then redis.call('DEL', KEYS[1]) else takeBack(KEYS[1], rule(4)) end
takeBack(KEYS[2], rule(7))
`

type Script = (...args: (string | number)[]) => Promise<unknown>

/**
 * Counts in Redis. Every script is one atomic step; the two keys of one account are in one slot of a Redis Cluster.
 * @param prefix of every key
 */
export function createRedisCounts({ client, attempt }: RedisConnection, prefix: string): RequestCounts & GuessCounts {
  const script = (name: string, numberOfKeys: number, lua: string): Script => {
    client.defineCommand(name, { numberOfKeys, lua })
    return (client as unknown as Record<string, Script>)[name]!.bind(client)
  }
  const hit = script('countsHit', 1, HIT)
  const networkWait = script('countsNetworkWait', 1, NETWORK_WAIT)
  const claim = script('countsClaim', 2, CLAIM)
  const add = script('countsAdd', 1, ADD)
  const takeBack = script('countsTakeBack', 2, TAKE_BACK)

  const networkKey = (network: string) => `${prefix}guesses:{${network}}`
  const accountKeys = ({ account, network }: Guess) => {
    const key = `${prefix}guesses:{${account}}`
    return [`${key}:${network}`, key]
  }
  const common = (nowMs: number) => [nowMs, FIRST_WAIT_MS, LONGEST_WAIT_MS]
  const { pair, account, network } = FAILURE_RULES
  const ofRule = ({ free, forgetMs, most }: FailureRule) => [free, forgetMs, most]
  const ofAccount = [...ofRule(pair), ...ofRule(account)]

  return {
    hit: (key, windowMs) =>
      attempt(async () => {
        const [count, endsInMs] = (await hit(`${prefix}limit:{${key}}`, windowMs)) as [number, number]
        return { count, endsInMs }
      }),

    claim: (guess, nowMs) =>
      attempt(async () => {
        const waitMs = (await networkWait(networkKey(guess.network), ...common(nowMs))) as number
        if (waitMs > 0) return waitMs
        return (await claim(...accountKeys(guess), ...common(nowMs), ...ofAccount)) as number
      }),

    settle: (guess, outcome, nowMs) =>
      attempt(async () => {
        if (outcome === 'wrong') await add(networkKey(guess.network), ...common(nowMs), ...ofRule(network))
        else await takeBack(...accountKeys(guess), ...common(nowMs), ...ofAccount, outcome)
      }),
  }
}
