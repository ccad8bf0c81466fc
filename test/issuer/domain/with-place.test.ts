import { test } from 'tap'
import { HashingOverloaded } from '../../../issuer/domain/ports.ts'
import { withPlace } from '../../../issuer/domain/with-place.ts'

function places(count: number) {
  const taken = { now: 0 }
  const enter = () => {
    if (taken.now >= count) throw new HashingOverloaded(5)
    taken.now++
    return () => void taken.now--
  }
  return { taken, enter }
}

test('a place is taken while the use case runs, whatever becomes of it', async (t) => {
  const lane = places(1)
  const outcomes: ((error?: Error) => void)[] = []
  const begun: string[] = []
  const useCase = withPlace(lane, (name: string, more: number) => {
    begun.push(`${name}${more}`)
    return new Promise<string>((resolve, reject) => {
      outcomes.push((error) => (error ? reject(error) : resolve(name)))
    })
  })
  const first = useCase('a', 1)
  await t.rejects(useCase('b', 2), HashingOverloaded, 'nothing of it is begun')
  t.same(begun, ['a1'])
  outcomes[0]!()
  t.equal(await first, 'a')

  const second = useCase('c', 3)
  outcomes[1]!(new Error('a store is away'))
  await t.rejects(second, { message: 'a store is away' })
  t.equal(lane.taken.now, 0)
})

test('a use case that throws at once gives its place back too', async (t) => {
  const lane = places(1)
  const useCase = withPlace(lane, (): Promise<never> => {
    throw new Error('at once')
  })
  await t.rejects(useCase(), { message: 'at once' })
  t.equal(lane.taken.now, 0)
})
