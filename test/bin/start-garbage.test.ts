import { getHeapSpaceStatistics } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { test } from 'tap'
import { collectStartGarbage } from '../../bin/start-garbage.ts'

function newSpaceBytes(): number {
  return getHeapSpaceStatistics().find(({ space_name }) => space_name === 'new_space')!.space_size
}

test('what the start has let grow is given back', async (t) => {
  const kept: object[] = []
  const first = newSpaceBytes()
  while (newSpaceBytes() <= first && kept.length < 5e6) kept.push({ i: kept.length })
  const grown = newSpaceBytes()
  kept.length = 0
  collectStartGarbage()
  t.ok(newSpaceBytes() < grown, `${grown} bytes for new objects before, ${newSpaceBytes()} after`)
})

test('nobody else can collect garbage after it', async (t) => {
  collectStartGarbage()
  t.equal(runInNewContext('typeof gc'), 'undefined')
})
