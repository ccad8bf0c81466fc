import fc from 'fast-check'
import { test } from 'tap'
import { createYoungStreams, type Linked } from '../../../sidecar/proxy/young-streams.ts'

interface Numbered extends Linked {
  n: number
}

test('the list holds what a Set would hold, in the same order', async () => {
  const command = fc.record({ act: fc.constantFrom('add', 'delete', 'sweep'), n: fc.nat(15) })
  fc.assert(
    fc.property(fc.array(command, { maxLength: 80 }), (commands) => {
      const list = createYoungStreams<Numbered>()
      const model = new Set<Numbered>()
      const all = Array.from({ length: 16 }, (_, n): Numbered => ({ n }))
      for (const { act, n } of commands) {
        const stream = all[n]!
        if (act === 'add' && !model.has(stream)) {
          list.add(stream)
          model.add(stream)
        } else if (act === 'delete') {
          if (list.delete(stream) !== model.delete(stream)) return false
        } else if (act === 'sweep') {
          // Deleting what is being visited, as a sweep does.
          for (const young of list) if (young.n < n) list.delete(young)
          for (const young of model) if (young.n < n) model.delete(young)
        }
        const same = [...list].map((young) => young.n).join() === [...model].map((young) => young.n).join()
        if (!same || list.size !== model.size) return false
      }
      return all.every((stream) => model.has(stream) || (!stream.nextYoung && !stream.previousYoung))
    }),
  )
})
