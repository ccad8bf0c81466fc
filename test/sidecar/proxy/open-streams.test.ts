import { randomUUID } from 'node:crypto'
import { test } from 'tap'
import type { Revocation } from '../../../shared/revocation.ts'
import type { Identity } from '../../../sidecar/domain/decide.ts'
import {
  createOpenStreams,
  type EndReason,
  type OpenStream,
  type OpenStreams,
  SETTLE_MS,
  STALE_MS,
} from '../../../sidecar/proxy/open-streams.ts'
import { accessClaims, NOW_MS, NOW_S } from '../../helpers/access-tokens.ts'
import { eventually } from '../../helpers/eventually.ts'

const KNOWN = { isFresh: true, graceMs: 0 }
const UNKNOWN = { isFresh: false, graceMs: 0 }

function opened(streams: OpenStreams, instead: Record<string, unknown> | undefined, kid = 'key-1', openedMs = NOW_MS) {
  const ended: EndReason[] = []
  const identity: Identity | undefined = instead && { claims: accessClaims(instead), kid }
  const stream: OpenStream & { ended: EndReason[] } = {
    identity,
    openedMs,
    endsWhenStale: identity !== undefined && instead?.route !== 'open',
    ended,
    end(reason) {
      ended.push(reason)
      streams.done(stream)
    },
  }
  streams.open(stream)
  return stream
}

const exp = NOW_S + 400

for (const [age, settle] of [
  ['young', false],
  ['settled', true],
] as const) {
  test(`a revocation ends the ${age} streams it covers and no other`, async (t) => {
    const revocations: [Revocation, string[]][] = [
      [{ kind: 'session', sid: 's1', sub: 'u1', exp }, ['s1']],
      [{ kind: 'user', sub: 'u1', epoch: 2, exp }, ['s1', 's2']],
      [{ kind: 'user', sub: 'u1', epoch: 1, exp }, ['s1']],
      [{ kind: 'key', kid: 'key-2', exp }, ['s4']],
      [{ kind: 'session', sid: 'nobody', sub: 'u1', exp }, []],
    ]
    for (const [revocation, expected] of revocations) {
      const streams = createOpenStreams()
      const all = [
        opened(streams, { sub: 'u1', sid: 's1', epoch: 0 }),
        opened(streams, { sub: 'u1', sid: 's2', epoch: 1 }),
        opened(streams, { sub: 'u1', sid: 's3', epoch: 2 }),
        opened(streams, { sub: 'u2', sid: 's4', epoch: 0 }, 'key-2'),
        opened(streams, undefined),
      ]
      if (settle) streams.sweep(NOW_MS + SETTLE_MS, KNOWN)
      streams.cut(revocation)
      const ended = all.filter((stream) => stream.ended.length > 0).map((stream) => stream.identity?.claims.sid)
      t.same(ended, expected, JSON.stringify(revocation))
      t.ok(all.every((stream) => stream.ended.every((reason) => reason === 'revoked')))
      t.equal(streams.size, all.length - expected.length)
    }
  })
}

test('streams end when their token is refused, the leeway included', async (t) => {
  const streams = createOpenStreams()
  const stream = opened(streams, { exp: NOW_S + 60 })
  const nobodys = opened(streams, undefined)
  streams.sweep(NOW_MS + 64_999, KNOWN)
  t.same(stream.ended, [])
  streams.sweep(NOW_MS + 65_000, KNOWN)
  t.same(stream.ended, ['expired'])
  t.same(nobodys.ended, [])
  t.equal(streams.size, 1)
})

test('a grace lets streams outlive their token, but no revocation', async (t) => {
  const streams = createOpenStreams()
  const [waits, revoked] = ['s1', 's2'].map((sid) => opened(streams, { sid, sub: 'u1', exp: NOW_S + 60 }))
  streams.sweep(NOW_MS + 65_000, { isFresh: true, graceMs: 30_000 })
  streams.sweep(NOW_MS + 94_999, { isFresh: true, graceMs: 30_000 })
  t.equal(streams.size, 2)
  streams.cut({ kind: 'session', sid: 's2', sub: 'u1', exp })
  t.same(revoked!.ended, ['revoked'])
  streams.sweep(NOW_MS + 95_000, { isFresh: true, graceMs: 30_000 })
  t.same(waits!.ended, ['expired'])
  const another = opened(streams, { exp: NOW_S + 60 })
  streams.sweep(NOW_MS + 70_000, { isFresh: true, graceMs: 30_000 })
  streams.sweep(NOW_MS + 70_500, KNOWN)
  t.same(another.ended, ['expired'], 'it counts only while it is given')
})

test('a grace does not hold while it is not known who has logged out', async (t) => {
  const streams = createOpenStreams()
  const stream = opened(streams, { exp: NOW_S + 60 })
  streams.sweep(NOW_MS + 65_000, { isFresh: false, graceMs: 30_000 })
  t.same(stream.ended, ['expired'])
})

test('streams end when it was not known for a while who has logged out, but for those that need not know', async (t) => {
  const streams = createOpenStreams()
  const [stream, open, nobodys] = [{}, { route: 'open' }, undefined].map((claims) => opened(streams, claims))
  let nowMs = NOW_MS + SETTLE_MS
  // Twice for as long as it may be, and a sweep between that knows.
  for (const known of [UNKNOWN, KNOWN, UNKNOWN]) {
    streams.sweep(nowMs, known)
    nowMs += STALE_MS - 1
  }
  streams.sweep(nowMs, UNKNOWN)
  t.equal(streams.size, 3, 'a moment is let pass')
  streams.sweep(nowMs + 1, UNKNOWN)
  t.same(stream!.ended, ['revocations_stale'])
  t.same([...open!.ended, ...nobodys!.ended], [])
  const late = opened(streams, {}, 'key-1', nowMs)
  streams.sweep(nowMs + SETTLE_MS, UNKNOWN)
  t.same(late.ended, ['revocations_stale'], 'one that was let in at the last moment')
  const after = opened(streams, {}, 'key-1', nowMs)
  streams.sweep(nowMs + 10_000, KNOWN)
  streams.sweep(nowMs + 10_500, UNKNOWN)
  t.same(after.ended, [], 'and the next time it is counted anew')
})

test('a clock that is set back while nothing is known only makes it take longer', async (t) => {
  const streams = createOpenStreams()
  const stream = opened(streams, {})
  streams.sweep(NOW_MS + SETTLE_MS, UNKNOWN)
  streams.sweep(NOW_MS - 60_000, UNKNOWN)
  t.same(stream.ended, [])
  streams.sweep(NOW_MS - 60_000 + STALE_MS, UNKNOWN)
  t.same(stream.ended, ['revocations_stale'])
})

test('a stream that is done is forgotten, young or settled', async (t) => {
  const streams = createOpenStreams()
  const [young, settled] = [opened(streams, { sid: 's1' }), opened(streams, { sid: 's1' })]
  streams.done(young)
  streams.sweep(NOW_MS + SETTLE_MS, KNOWN)
  streams.done(settled)
  streams.done(settled)
  t.equal(streams.size, 0)
  streams.cut({ kind: 'session', sid: 's1', sub: 'x', exp })
  t.same([...young.ended, ...settled.ended], [])
})

test('a clock that was set back keeps no stream from its end, nor those that came after it', async (t) => {
  const streams = createOpenStreams()
  const ahead = opened(streams, { sid: 's1', exp: NOW_S + 10 }, 'key-1', NOW_MS + 3_600_000)
  const later = opened(streams, { sid: 's2', exp: NOW_S + 10 })
  streams.sweep(NOW_MS + 15_000, KNOWN)
  t.same([...ahead.ended, ...later.ended], ['expired', 'expired'])
})

test('5,000 streams of one user end at once, and other work is not held up', async (t) => {
  const streams = createOpenStreams()
  const all = Array.from({ length: 5000 }, () => opened(streams, { sub: 'u1', sid: randomUUID() }))
  streams.sweep(NOW_MS + SETTLE_MS, KNOWN)
  streams.cut({ kind: 'user', sub: 'u1', epoch: 1, exp })
  t.ok(
    all.some((stream) => stream.ended.length === 0),
    'in pieces',
  )
  await eventually(() => streams.size === 0)
  t.ok(all.every((stream) => stream.ended.join() === 'revoked'))
})
