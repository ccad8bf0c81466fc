import { createHash } from 'node:crypto'
import type { Clock } from '../../shared/clock.ts'
import { networkPrefix } from './network-prefix.ts'
import type { Audit, GuessCounts } from './ports.ts'
import { auditFacts, type ClientFacts } from './start-session.ts'

/** Failed guesses that were counted together. Milliseconds since the Unix epoch; both are 0 when there are none. */
export interface Failures {
  /** When the last of them will be forgotten: they are forgotten one by one, so this also says how many there are. */
  forgottenAt: number
  /** When the next guess may be made. */
  openAt: number
}

export interface FailureRule {
  /** So many failures cost no wait. */
  free: number
  /** After how long one is forgotten: milliseconds. */
  forgetMs: number
  /** More are not counted, so that an attack is forgotten after it has ended. */
  most: number
}

/**
 * What is counted. One account from one network: people mistype. One account from everywhere: many networks that guess
 * together. One network, whatever the account: one password tried on many; an office behind one address mistypes too.
 */
export const FAILURE_RULES = {
  pair: { free: 5, forgetMs: 600_000, most: 15 },
  account: { free: 20, forgetMs: 600_000, most: 40 },
  network: { free: 50, forgetMs: 60_000, most: 70 },
} satisfies Record<string, FailureRule>

export const FIRST_WAIT_MS = 1000
/** There is no lockout: the longest wait. */
export const LONGEST_WAIT_MS = 300_000

/** How many of them are not forgotten yet. */
export function countFailures({ forgottenAt }: Failures, { forgetMs }: FailureRule, nowMs: number): number {
  return Math.max(0, Math.ceil((forgottenAt - nowMs) / forgetMs))
}

/** How long to wait after so many failures: 1 s after the last free one, then twice as long each time. Milliseconds. */
export function waitAfter(failures: number, { free }: FailureRule): number {
  return failures < free ? 0 : Math.min(FIRST_WAIT_MS * 2 ** (failures - free), LONGEST_WAIT_MS)
}

/** One more failure. */
export function addFailure(failures: Failures, rule: FailureRule, nowMs: number): Failures {
  const later = Math.max(failures.forgottenAt, nowMs) + rule.forgetMs
  const added = { forgottenAt: Math.min(later, nowMs + rule.most * rule.forgetMs), openAt: failures.openAt }
  return { ...added, openAt: nowMs + waitAfter(countFailures(added, rule, nowMs), rule) }
}

/** One failure less, for a guess that turned out to be none. */
export function takeBackFailure(failures: Failures, rule: FailureRule, nowMs: number): Failures {
  const taken = { forgottenAt: failures.forgottenAt - rule.forgetMs, openAt: failures.openAt }
  const wait = waitAfter(countFailures(taken, rule, nowMs), rule)
  return { ...taken, openAt: Math.min(failures.openAt, nowMs + wait) }
}

export type Claimed = { waitMs: number } | { waitMs: 0; pair: Failures; account: Failures }

/**
 * Whether a password may be guessed now; if so, it is counted as failed before anyone knows. A network that has not
 * failed at this account may always try: attackers elsewhere keep no owner out. What they do is take the free failures
 * of everyone who fails: the wait of the whole account then holds for them.
 */
export function claimGuess(pair: Failures, account: Failures, nowMs: number): Claimed {
  if (nowMs < pair.openAt) return { waitMs: pair.openAt - nowMs }
  const all = addFailure(account, FAILURE_RULES.account, nowMs)
  const own = addFailure(pair, FAILURE_RULES.pair, nowMs)
  return { waitMs: 0, pair: { ...own, openAt: Math.max(own.openAt, all.openAt) }, account: all }
}

/** The client has to wait; nothing was looked up or hashed. */
export interface Throttled {
  ok: false
  code: 'too_many_requests'
  retryAfterS: number
}

/** What a guess can end in. */
type Guessed = { ok: true } | { ok: false; code: string }

/** The codes that mean that the password was wrong; after any other nobody knows. */
const WRONG = ['credentials_invalid', 'password_wrong']

/**
 * Lets a password be tried, unless too many were wrong. Accounts that don't exist are throttled as those that do.
 * @param account the name that was given, in the form in which all its spellings are one
 */
export type Throttle = <Result extends Guessed>(
  account: string,
  client: ClientFacts,
  guess: () => Promise<Result>,
) => Promise<Result | Throttled>

/** What most providers give to one site (RIPE-690). */
const IPV6_BITS = 56

export function createThrottle({
  counts,
  audit,
  clock,
}: {
  counts: GuessCounts
  audit: Audit
  clock: Clock
}): Throttle {
  return async (account, client, guess) => {
    const who = { account: digest(account), network: networkPrefix(client.address, IPV6_BITS) }
    const waitMs = await counts.claim(who, clock.now())
    if (waitMs > 0) {
      const retryAfterS = Math.ceil(waitMs / 1000)
      audit.record('login_throttled', { ...auditFacts(client), retry_after_s: retryAfterS })
      return { ok: false, code: 'too_many_requests', retryAfterS }
    }
    let outcome: Parameters<GuessCounts['settle']>[1] = 'void'
    try {
      const result = await guess()
      outcome = result.ok ? 'right' : WRONG.includes(result.code) ? 'wrong' : 'void'
      return result
    } finally {
      await counts.settle(who, outcome, clock.now())
    }
  }
}

/** No e-mail address is stored for this. */
function digest(account: string): string {
  return createHash('sha256').update(account).digest('base64url').slice(0, 22)
}
