import { test } from 'tap'
import { createComparison } from '../../../sidecar/domain/comparison.ts'

const of = (count: number, digest = 'same') => ({ count, digest })

test('equal lists need nothing', async (t) => {
  const { judge } = createComparison()
  t.same(judge(of(3), of(3)), { difference: 'equal', mend: false })
})

test('as many or fewer, but not the same: something is missing, each time', async (t) => {
  const { judge, mended } = createComparison()
  for (const own of [2, 3]) {
    t.same(judge(of(own, 'a'), of(3, 'b')), { difference: 'missing', mend: true })
    mended()
  }
})

test('a surplus costs one snapshot for as long as it does not shrink', async (t) => {
  const { judge, mended } = createComparison()
  const mends = (own: number, mend: boolean) => {
    t.same(judge(of(own, `${own}`), of(3)), { difference: 'surplus', mend }, `${own} instead of 3`)
    if (mend) mended()
  }
  mends(5, true)
  mends(5, false)
  mends(6, false)
  mends(6, false)
  mends(5, true)
  mends(5, false)
  t.same(judge(of(3), of(3)), { difference: 'equal', mend: false })
  mends(4, true)
})

test('a snapshot that could not be read is tried again', async (t) => {
  const { judge } = createComparison()
  for (let n = 0; n < 3; n++) t.equal(judge(of(5, 'a'), of(3)).mend, true)
})
