import { type Test, test } from 'tap'
import { keepOpen } from '../../shared/keep-open.ts'

/** Six sessions that end, of which the fourth and those after it have worked. @returns the times between them */
async function course(t: Test): Promise<number[]> {
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
  return began.slice(1).map((at, index) => at - began[index]!)
}

test('waits get longer until a session has worked', async (t) => {
  // The shortest of several: the machine may stand still in one.
  const all: number[][] = []
  for (let n = 0; n < 4; n++) all.push(await course(t))
  const gaps = all[0]!.map((_, index) => Math.min(...all.map((one) => one[index]!)))
  t.ok(gaps[2]! > gaps[0]! * 1.5, 'waits get longer')
  t.ok(gaps[4]! < gaps[2]!, 'until one has worked')
})

test('nothing is opened once the end has begun', async (t) => {
  let sessions = 0
  const session = async () => void sessions++
  await keepOpen(session, AbortSignal.abort(), () => t.fail())
  t.equal(sessions, 0)
})
