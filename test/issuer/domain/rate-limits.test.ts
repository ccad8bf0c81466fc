import fc from 'fast-check'
import { test } from 'tap'
import {
  DEFAULT_RATE_LIMITS,
  type LimitName,
  type RateLimits,
  readRateLimits,
  showRateLimits,
} from '../../../issuer/domain/rate-limits.ts'

test('what is named replaces the default', async (t) => {
  t.same(readRateLimits('login=50/1m'), { ...DEFAULT_RATE_LIMITS, login: { requests: 50, windowMs: 60_000 } })
  t.same(readRateLimits('read=1/2h, update=3/10s'), {
    ...DEFAULT_RATE_LIMITS,
    read: { requests: 1, windowMs: 7_200_000 },
    update: { requests: 3, windowMs: 10_000 },
  })
  t.equal(readRateLimits('read=off')?.read, undefined)
  t.equal(readRateLimits('read=off')?.login?.requests, 5)
  t.same(readRateLimits('off'), {})
})

test('the defaults are those of the documents this was made from', async (t) => {
  const requests = Object.fromEntries(
    Object.entries(DEFAULT_RATE_LIMITS).map(([name, limit]) => [name, limit.requests]),
  )
  t.match(requests, { login: 5, register: 5, password: 5, refresh: 10, read: 20, update: 10 })
})

test('anything else is refused', async (t) => {
  const rows = ['', 'on', 'login', 'login=', 'login=5', 'login=5/m', 'login=0/1m', 'login=5/0m', 'login=-5/1m']
  rows.push('logins=5/1m', 'login=5/1d', 'login=5/1m,login=6/1m', 'login=5/1m,', '__proto__=5/1m', 'toString=5/1m')
  rows.push('login=5.5/1m', 'login=5/1m off', 'off,login=5/1m', 'login=99999999/1m')
  for (const text of rows) t.equal(readRateLimits(text), undefined, text)
})

test('what is shown reads as the same', async (t) => {
  const limit = fc.record({
    requests: fc.integer({ min: 1, max: 9_999_999 }),
    windowMs: fc.integer({ min: 1, max: 999 }).map((seconds) => seconds * 1000),
  })
  const names = Object.keys(DEFAULT_RATE_LIMITS) as LimitName[]
  const limits = fc.record(Object.fromEntries(names.map((name) => [name, limit])), { requiredKeys: [] })
  fc.assert(fc.property(limits, (some) => t.same(readRateLimits(showRateLimits(some as RateLimits)), some)))
})
