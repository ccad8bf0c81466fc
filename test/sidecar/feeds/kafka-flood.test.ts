import { test } from 'tap'
import type { KeyFetcher } from '../../../sidecar/feeds/jwks.ts'
import { type Reading, readBatch } from '../../../sidecar/feeds/kafka.ts'
import { createPartitionProgress } from '../../../sidecar/feeds/partition-progress.ts'
import { base, receiver, session, signer, signingKey } from '../../helpers/revocations.ts'

const BATCH = 100
const key = signingKey()

test('events of unknown keys without end: each fetch of keys brings the heartbeats up to the one before it', async (t) => {
  const parts = base(t)
  const to = receiver(parts, [key])
  const startMs = Date.now()
  const topic: string[] = []
  let rounds = 0
  // What somebody writes while one fetch of keys is waited for: more than a batch, and always new keys.
  const write = () => {
    rounds++
    const foreign = signingKey('EdDSA')
    for (let n = 0; n < 5 * BATCH; n++) {
      const forger = signer({ ...foreign, kid: `forged ${rounds} ${n}` })
      topic.push(forger({ type: 'revocation', revocation: session() }))
    }
    topic.push(signer(key)({ type: 'heartbeat', instance: 'a', completeUntilMs: startMs + rounds }))
  }
  let lastGood = Number.NEGATIVE_INFINITY
  const keys: Pick<KeyFetcher, 'settle'> = {
    async settle(_kid, _signal, heardAt = performance.now()) {
      if (lastGood <= heardAt) write()
      while (lastGood <= heardAt) lastGood = performance.now()
      return 'absent'
    },
  }
  const { signal } = new AbortController()
  const reading: Reading = {
    address: { brokers: [], topic: 'flooded' },
    intake: to.intake,
    keys,
    onProgress: () => {},
    progress: createPartitionProgress(
      [{ partition: 0, low: '0', high: '0' }],
      (untilMs) => void to.freshness.advance('kafka', untilMs),
    ),
    skipped: new Set(),
    reaches: new Map(),
    signal,
    fail: (error) => t.fail(String(error)),
    stillAlive: () => {},
    log: parts.log,
    lifecycle: parts.lifecycle,
  }
  write()
  let furthest = 0
  for (let at = 0; rounds < 8; at += BATCH) {
    const values = topic.slice(at, at + BATCH)
    const batch = {
      partition: 0,
      messages: values.map((token) => ({ value: Buffer.from(token) })),
      highWatermark: String(topic.length),
      lastOffset: () => String(at + values.length - 1),
    }
    await readBatch({ batch: batch as never, heartbeat: async () => {} }, reading)
    const behind = startMs + rounds - Math.max(startMs, to.freshness.completeUntil('kafka'))
    furthest = Math.max(furthest, behind)
  }
  t.ok(furthest <= 2, `${furthest} rounds behind`)
})
