import { test } from 'tap'
import { keepOpen } from '../../shared/keep-open.ts'

test('a session that ends is followed by another; one that works is followed soon', async (t) => {
  const ending = new AbortController()
  const failures: unknown[] = []
  const began: number[] = []
  await keepOpen(
    async (working) => {
      began.push(performance.now())
      if (began.length > 3) working()
      if (began.length === 6) ending.abort()
      throw new Error(`session ${began.length}`)
    },
    ending.signal,
    (error) => failures.push((error as Error).message),
  )
  t.same(failures, ['session 1', 'session 2', 'session 3', 'session 4', 'session 5'], 'the end itself is no failure')
  const gaps = began.slice(1).map((at, index) => at - began[index]!)
  t.ok(gaps[2]! > gaps[0]! * 1.5, 'waits get longer')
  t.ok(gaps[4]! < gaps[2]!, 'until one has worked')
})

test('nothing is opened once the end has begun', async (t) => {
  let sessions = 0
  const session = async () => void sessions++
  await keepOpen(session, AbortSignal.abort(), () => t.fail())
  t.equal(sessions, 0)
})
