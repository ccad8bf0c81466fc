import { setImmediate } from 'node:timers/promises'
import { test } from 'tap'
import { createTurns } from '../../../issuer/adapters/turns.ts'

test('so many at once, the others in the order in which they came', async (t) => {
  const takeTurn = createTurns(2)
  const working: number[] = []
  const ends = new Map<number, () => void>()
  for (let n = 0; n < 5; n++) {
    void takeTurn().then((end) => {
      working.push(n)
      ends.set(n, end)
    })
  }
  await setImmediate()
  t.same(working, [0, 1])
  ends.get(1)!()
  await setImmediate()
  t.same(working, [0, 1, 2])
  ends.get(0)!()
  ends.get(2)!()
  await setImmediate()
  t.same(working, [0, 1, 2, 3, 4])
  ends.get(3)!()
  ends.get(4)!()
  const end = await takeTurn()
  await takeTurn()
  let third = false
  void takeTurn().then(() => {
    third = true
  })
  await setImmediate()
  t.notOk(third, 'a turn that has ended is free, and no more than that')
  end()
  await setImmediate()
  t.ok(third)
})
