import fc from 'fast-check'
import { test } from 'tap'
import { createPartitionProgress } from '../../../sidecar/feeds/partition-progress.ts'

const offsets = (...pairs: [low: string, high: string][]) =>
  pairs.map(([low, high], partition) => ({ partition, low, high }))

function start(...pairs: [string, string][]) {
  const told: number[] = []
  return { told, progress: createPartitionProgress(offsets(...pairs), (ms) => told.push(ms)) }
}

test('nothing is proven before the end that was seen at the start has been read', async (t) => {
  const { progress, told } = start(['10', '20'])
  progress.proven(0, 100)
  progress.read(0, '18')
  t.same(told, [])
  progress.read(0, '19')
  t.same(told, [100])
  progress.proven(0, 150)
  progress.proven(0, 120)
  t.same(told, [100, 150], 'an older heartbeat takes nothing back')
})

test('an empty partition is done at once, but proves nothing', async (t) => {
  const { progress, told } = start(['7', '7'])
  t.same(told, [])
  progress.proven(0, 100)
  t.same(told, [100])
})

test('offsets beyond what a number holds', async (t) => {
  const { progress, told } = start(['0', '9007199254740995'])
  progress.proven(0, 100)
  progress.read(0, '9007199254740993')
  t.same(told, [])
  progress.read(0, '9007199254740994')
  t.same(told, [100])
})

test('a partition that is added takes the proof away until it has one itself', async (t) => {
  const { progress, told } = start(['0', '0'])
  progress.proven(0, 100)
  progress.expect([0, 1])
  progress.proven(0, 200)
  t.same(told, [100])
  progress.proven(1, 150)
  progress.expect([0, 1])
  progress.proven(1, 160)
  t.same(told, [100, 150, 160])
})

test('a topic without partitions proves nothing', async (t) => {
  const { told } = start()
  t.same(told, [])
})

test('what is told is never more than any partition has proven', async (t) => {
  const step = fc.record({ partition: fc.nat(3), until: fc.nat(1000) })
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 4 }), fc.array(step), (count, steps) => {
      const proven = new Array<number>(count).fill(Number.NEGATIVE_INFINITY)
      const pairs = proven.map(() => ['0', '0'] as [string, string])
      const progress = createPartitionProgress(offsets(...pairs), (ms) => t.equal(ms, Math.min(...proven)))
      for (const { partition, until } of steps) {
        if (partition >= count) continue
        proven[partition] = Math.max(proven[partition]!, until)
        progress.proven(partition, until)
      }
    }),
  )
})
