import { setTimeout as delay, setImmediate } from 'node:timers/promises'
import { test } from 'tap'
import { createTurns, handOut } from '../../../issuer/adapters/turns.ts'

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

test('a turn that is ended twice frees one place', async (t) => {
  const takeTurn = createTurns(1)
  const end = await takeTurn()
  end()
  end()
  await takeTurn()
  let second = false
  void takeTurn().then(() => {
    second = true
  })
  await setImmediate()
  t.notOk(second)
})

test('a reader has so long in all to take what is read in its turn, and then goes on without', async (t) => {
  let [ended, closed] = [0, false]
  const numbers = async function* () {
    try {
      for (let n = 0; ; n++) yield n
    } finally {
      closed = true
    }
  }
  const seen: number[] = []
  for await (const n of handOut(numbers(), () => ended++, 1000)) {
    seen.push(n)
    if (n < 1000) continue
    if (n === 1000) t.equal(ended, 0, 'who takes it at once keeps the turn')
    await delay(400)
    if (n === 1004) break
  }
  t.ok(ended > 0, 'a little each time is too long in the end')
  t.equal(seen.length, 1005)
  t.ok(closed)
})
