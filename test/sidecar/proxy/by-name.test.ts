import { test } from 'tap'
import { byName } from '../../../sidecar/proxy/by-name.ts'

function counted(found: (name: string) => string | undefined) {
  const asked: string[] = []
  const find = byName((name) => {
    asked.push(name)
    return found(name)
  })
  return { asked, find }
}

test('what was found for a name is remembered, also that it is nothing', (t) => {
  const { asked, find } = counted((name) => (name === 'host' ? 'known' : undefined))
  for (let n = 0; n < 3; n++) {
    t.equal(find('host'), 'known')
    t.equal(find('accept'), undefined)
  }
  t.same(asked, ['host', 'accept'])
  t.end()
})

test('a client that makes up names fills nothing for good', (t) => {
  const { asked, find } = counted((name) => name)
  for (let n = 0; n < 1500; n++) find(`x-made-up-${n}`)
  asked.length = 0
  for (let n = 0; n < 2; n++) t.equal(find('accept'), 'accept')
  t.same(asked, ['accept'])

  const long = 'x'.repeat(65)
  for (let n = 0; n < 2; n++) t.equal(find(long), long)
  t.same(asked, ['accept', long, long], 'nor is a long one kept')
  t.end()
})
