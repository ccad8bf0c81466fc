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
} from '../../../sidecar/proxy/open-streams.ts'
import { accessClaims, NOW_MS, NOW_S } from '../../helpers/access-tokens.ts'
import { eventually } from '../../helpers/eventually.ts'

function opened(streams: OpenStreams, instead: Record<string, unknown> | undefined, kid = 'key-1', openedMs = NOW_MS) {
  const ended: EndReason[] = []
  const identity: Identity | undefined = instead && { claims: accessClaims(instead), kid }
  const stream: OpenStream & { ended: EndReason[] } = {
    identity,
    openedMs,
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
      if (settle) streams.sweep(NOW_MS + SETTLE_MS)
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
  streams.sweep(NOW_MS + 64_999)
  t.same(stream.ended, [])
  streams.sweep(NOW_MS + 65_000)
  t.same(stream.ended, ['expired'])
  t.same(nobodys.ended, [])
  t.equal(streams.size, 1)
})

test('a grace lets streams outlive their token, but no revocation', async (t) => {
  const streams = createOpenStreams()
  const [waits, revoked] = ['s1', 's2'].map((sid) => opened(streams, { sid, sub: 'u1', exp: NOW_S + 60 }))
  streams.sweep(NOW_MS + 65_000, 30_000)
  streams.sweep(NOW_MS + 94_999, 30_000)
  t.equal(streams.size, 2)
  streams.cut({ kind: 'session', sid: 's2', sub: 'u1', exp })
  t.same(revoked!.ended, ['revoked'])
  streams.sweep(NOW_MS + 95_000, 30_000)
  t.same(waits!.ended, ['expired'])
  const another = opened(streams, { exp: NOW_S + 60 })
  streams.sweep(NOW_MS + 70_000, 30_000)
  streams.sweep(NOW_MS + 70_500)
  t.same(another.ended, ['expired'], 'it counts only while it is given')
})

test('a stream that is done is forgotten, young or settled', async (t) => {
  const streams = createOpenStreams()
  const [young, settled] = [opened(streams, { sid: 's1' }), opened(streams, { sid: 's1' })]
  streams.done(young)
  streams.sweep(NOW_MS + SETTLE_MS)
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
  streams.sweep(NOW_MS + 15_000)
  t.same([...ahead.ended, ...later.ended], ['expired', 'expired'])
})

test('5,000 streams of one user end at once, and other work is not held up', async (t) => {
  const streams = createOpenStreams()
  const all = Array.from({ length: 5000 }, () => opened(streams, { sub: 'u1', sid: randomUUID() }))
  streams.sweep(NOW_MS + SETTLE_MS)
  streams.cut({ kind: 'user', sub: 'u1', epoch: 1, exp })
  t.ok(
    all.some((stream) => stream.ended.length === 0),
    'in pieces',
  )
  await eventually(() => streams.size === 0)
  t.ok(all.every((stream) => stream.ended.join() === 'revoked'))
})
