import { test } from 'tap'
import { type LedgerEntry, type OutgoingEvent, type Publisher, StoreUnavailable } from '../../../issuer/domain/ports.ts'
import type { ServerParts } from '../../../issuer/server.ts'
import { eventually } from '../../helpers/eventually.ts'
import { ACCESS_TTL_MS, buildIssuer, claimsOf, DAY_MS, openEvent } from '../build.ts'

test('the ledger first, then the session, then the feed, then the mark', async (t) => {
  for (const [all, order] of [
    [false, ['ledger.record', 'sessions.end', 'publish', 'ledger.markPublished']],
    [true, ['users.raiseEpoch', 'ledger.record', 'sessions.endAll', 'publish', 'ledger.markPublished']],
  ] as const) {
    const issuer = await buildIssuer(t, {
      publisher: { publish: async () => void issuer.calls.push('publish') },
    })
    const { access_token } = await issuer.login(await issuer.register())
    issuer.calls.length = 0
    await issuer.call('POST', '/auth/logout', { token: access_token, json: { all } })
    await eventually(() => issuer.calls.includes('ledger.markPublished'))
    const reads = ['ledger.isSessionRevoked', 'users.byId']
    t.same(
      issuer.calls.filter((name) => !reads.includes(name)),
      order,
    )
  }
})

test('the entry is kept until no store could bring the session back, and the event until no token is left', async (t) => {
  const recorded: LedgerEntry[] = []
  const issuer = await buildIssuer(t, {
    wrap: ({ ledger }) => ({
      ledger: {
        ...ledger,
        record: async (entries) => {
          recorded.push(...entries)
          return ledger.record(entries)
        },
      },
    }),
  })
  const user = await issuer.register()
  const logout = async (all: boolean, wiped = false) => {
    const { access_token } = await issuer.login(user)
    if (wiped) await issuer.parts.sessions.end(claimsOf(access_token).sid)
    await issuer.call('POST', '/auth/logout', { token: access_token, json: { all } })
    const entry = recorded.at(-1)!
    const { exp } = claimsOf(access_token)
    t.ok(entry.revocation.exp >= exp + 10, 'past the last token, and the clocks of two machines')
    t.ok(entry.revocation.exp <= exp + 60, 'and not for ever')
    return entry.keepUntilMs
  }
  t.equal(await logout(false), issuer.clock.now() + 28 * DAY_MS, 'the end of the session')
  t.equal(await logout(false, true), issuer.clock.now() + 28 * DAY_MS, 'the latest end it can have')
  t.equal(await logout(true), recorded.at(-1)!.revocation.exp * 1000, 'the epoch stays in the user')
})

test('of two issuers that end the same at once, both publish what the ledger has', async (t) => {
  for (const all of [false, true]) {
    let exp = 0
    const issuer = await buildIssuer(t, {
      wrap: ({ ledger }) => ({
        ledger: {
          ...ledger,
          record: async (entries) => {
            exp = entries[0]!.revocation.exp - 3
            await ledger.record(entries.map((entry) => ({ ...entry, revocation: { ...entry.revocation, exp } })))
            return ledger.record(entries)
          },
        },
      }),
    })
    const { access_token } = await issuer.login(await issuer.register())
    await issuer.call('POST', '/auth/logout', { token: access_token, json: { all } })
    t.match(issuer.events, [{ type: 'revocation', revocation: { kind: all ? 'user' : 'session', exp } }])
  }
})

test('a feed that fails or is slow is told as it is, and the outbox finds the entry', async (t) => {
  const rows: [name: string, publish: () => Promise<void>][] = [
    ['refuses', () => Promise.reject(new Error('no broker'))],
    ['hangs', () => new Promise(() => {})],
    [
      'throws',
      () => {
        throw new Error('closed')
      },
    ],
  ]
  for (const [name, publish] of rows) {
    const issuer = await buildIssuer(t, { publisher: { publish }, rules: { publishTimeoutMs: 30 } })
    const { access_token, refresh_token } = await issuer.login(await issuer.register())
    const answer = await issuer.call('POST', '/auth/logout', { token: access_token })
    t.equal(answer.status, 202, name)
    t.match(answer.body, { invalidated_tokens: 1, propagated: false })
    const waiting = await issuer.parts.ledger.unpublished('test', 10)
    t.match(waiting, [{ id: `session:${claimsOf(access_token).sid}` }])
    for (const options of [{ token: access_token }, { json: { refresh_token } }]) {
      const again = await issuer.call('POST', '/auth/logout', options)
      t.match({ status: again.status, body: again.body }, { status: 202, body: { propagated: false } }, 'still so')
    }
  }
})

test('an acknowledgement that comes late still marks the entry', async (t) => {
  let acknowledge: (() => void) | undefined
  const issuer = await buildIssuer(t, {
    publisher: { publish: () => new Promise((resolve) => (acknowledge = resolve)) },
    rules: { publishTimeoutMs: 10 },
  })
  const { access_token } = await issuer.login(await issuer.register())
  t.equal((await issuer.call('POST', '/auth/logout', { token: access_token })).status, 202)
  t.notOk(issuer.calls.includes('ledger.markPublished'), 'never before')
  acknowledge?.()
  await eventually(async () => (await issuer.parts.ledger.unpublished('test', 10)).length === 0)
  const again = await issuer.call('POST', '/auth/logout', { token: access_token })
  t.match({ status: again.status, body: again.body }, { status: 200, body: { propagated: true } })
})

test('where the ledger is the log, what is recorded is published, and never marked', async (t) => {
  const publisher: Publisher = { publish: async () => {}, acknowledgedBy: () => 'ledger' }
  const issuer = await buildIssuer(t, { publisher })
  const { access_token } = await issuer.login(await issuer.register())
  const told = { status: 200, body: { propagated: true } }
  t.match(await issuer.call('POST', '/auth/logout', { token: access_token }), told)
  t.match(await issuer.call('POST', '/auth/logout', { token: access_token }), told)
  const id = `session:${claimsOf(access_token).sid}`
  t.match(await issuer.parts.ledger.unpublished('test', 10), [{ id }], 'whoever brings Kafka later finds it')
  t.notOk(issuer.calls.includes('ledger.markPublished'))
})

test('where others have the log, it is published once one of them has marked it', async (t) => {
  const publisher: Publisher = {
    publish: () => Promise.reject(new Error('others do it')),
    acknowledgedBy: () => 'others',
  }
  const issuer = await buildIssuer(t, { publisher })
  const { access_token } = await issuer.login(await issuer.register())
  const logout = () => issuer.call('POST', '/auth/logout', { token: access_token })
  t.match(await logout(), { status: 202, body: { propagated: false } })
  t.match(await logout(), { status: 202, body: { propagated: false } })
  t.notOk(issuer.calls.includes('ledger.markPublished'))
  await issuer.parts.ledger.markPublished([`session:${claimsOf(access_token).sid}`])
  t.match(await logout(), { status: 200, body: { propagated: true } })
})

test('every revocation lasts for the longest lifetime that any issuer has', async (t) => {
  let longestS = 3600
  const peers = { ownLifetimeS: () => 10, longestLifetimeS: () => longestS }
  const issuer = await buildIssuer(t, { wrap: () => ({ peers }) })
  const user = await issuer.register()
  for (const all of [false, true]) {
    const { access_token } = await issuer.login(user)
    const { iat, exp } = claimsOf(access_token)
    t.equal(exp - iat, 10)
    await issuer.call('POST', '/auth/logout', { token: access_token, json: { all } })
    const event = issuer.events.at(-1)
    const until = event?.type === 'revocation' ? event.revocation.exp : 0
    t.ok(until >= iat + longestS + 10 && until <= iat + longestS + 60, `${until - iat} s`)
    longestS = 300
  }
})

test('without the ledger there is no logout, and nothing has happened', async (t) => {
  const issuer = await buildIssuer(t, { wrap: (parts) => ({ ledger: { ...parts.ledger, record: unavailable } }) })
  const { access_token, refresh_token } = await issuer.login(await issuer.register())
  const answer = await issuer.call('POST', '/auth/logout', {
    token: access_token,
    cookie: `__Host-refresh_token=${refresh_token}`,
  })
  t.match({ status: answer.status, code: answer.body.code }, { status: 503, code: 'store_unavailable' })
  t.equal(answer.headers['set-cookie'], undefined)
  t.same(issuer.events, [])
  t.notOk(issuer.calls.includes('sessions.end'))
})

test('without the session store a logout holds: the ledger has it', async (t) => {
  const issuer = await buildIssuer(t, {
    wrap: (parts) => ({ sessions: { ...parts.sessions, end: unavailable, endAll: unavailable } }),
  })
  for (const all of [false, true]) {
    const user = await issuer.register()
    const { access_token, refresh_token } = await issuer.login(user)
    const { status, body } = await issuer.call('POST', '/auth/logout', { token: access_token, json: { all } })
    t.match({ status, body }, { status: 200, body: { propagated: true } })
    const refreshed = await issuer.call('POST', '/auth/refresh', { json: { refresh_token } })
    t.not(refreshed.status, 200)
  }
})

test('events are signed for the sidecars and keyed by the user', async (t) => {
  const sent: OutgoingEvent[] = []
  const issuer = await buildIssuer(t, { publisher: { publish: async (events) => void sent.push(...events) } })
  const { access_token } = await issuer.login(await issuer.register())
  await issuer.call('POST', '/auth/logout', { token: access_token })
  t.equal(sent[0]?.key, claimsOf(access_token).sub)
  t.match(openEvent(sent[0]!.token, issuer.keySet), { type: 'revocation' })
})

test('the entry covers tokens that were issued while it was being written', async (t) => {
  const issuer = await buildIssuer(t, {
    wrap: ({ ledger, clock }: ServerParts) => ({
      ledger: {
        ...ledger,
        record: async (entries) => {
          ;(clock as { advance?(ms: number): void }).advance?.(25_000)
          return ledger.record(entries)
        },
      },
    }),
  })
  const { access_token } = await issuer.login(await issuer.register())
  await issuer.call('POST', '/auth/logout', { token: access_token })
  const [event] = issuer.events
  const lastExp = Math.floor(issuer.clock.now() / 1000) + ACCESS_TTL_MS / 1000
  if (event?.type === 'revocation') t.ok(event.revocation.exp >= lastExp + 5)
  else t.fail('no event')
})

async function unavailable(): Promise<never> {
  throw new StoreUnavailable('a store', new Error('away'))
}
