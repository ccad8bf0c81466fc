import fc from 'fast-check'
import { test } from 'tap'
import { answerOf, readReview } from '../../../../sidecar/injector/domain/admission-review.ts'
import { podOf, reviewOf } from '../reviews.ts'

const UID = reviewOf(podOf()).request.uid

function answered(review: unknown) {
  const read = readReview(review)
  if (read.kind !== 'answered') throw new Error(JSON.stringify(read))
  return read.answer.response
}

test('a Pod’s review: what is asked, and under which name', async (t) => {
  const pod = podOf()
  t.strictSame(readReview(reviewOf(pod, { dryRun: true })), {
    kind: 'pod',
    request: { uid: UID, namespace: 'shop', name: 'orders-5d9c7b-', dryRun: true, object: pod },
  })
  t.match(readReview(reviewOf(pod, { name: 'orders-1' })), { request: { name: 'orders-1' } })
  t.match(readReview(reviewOf(null, { namespace: 7 })), { request: { name: '', namespace: '' } })
})

test('other versions and kinds are refused with the reason', async (t) => {
  for (const apiVersion of ['admission.k8s.io/v1beta1', 'admission.k8s.io/v2', '', null, ['admission.k8s.io/v1']]) {
    const response = answered({ ...reviewOf(podOf()), apiVersion })
    t.match(response, { uid: UID, allowed: false, status: { code: 400, message: /admission\.k8s\.io\/v1 only/ } })
  }
  t.match(answered({ ...reviewOf(podOf()), kind: 'Review' }), { allowed: false })
  for (const kind of [
    { group: 'apps', version: 'v1', kind: 'Deployment' },
    { version: 'v2', kind: 'Pod' },
    null,
    'Pod',
  ]) {
    t.match(answered(reviewOf({}, { kind })), { allowed: false, status: { message: /Pods \(v1\) only/ } })
  }
})

test('what creates nothing is let through', async (t) => {
  for (const more of [
    { operation: 'UPDATE' },
    { operation: 'DELETE', object: null },
    { subResource: 'ephemeralcontainers' },
  ]) {
    t.strictSame(answered(reviewOf(podOf(), more)), { uid: UID, allowed: true })
  }
})

test('what has no uid cannot be answered', async (t) => {
  const { request: _none, ...without } = reviewOf(podOf())
  for (const review of [
    null,
    7,
    'x',
    [],
    {},
    without,
    reviewOf({}, { uid: 7 }),
    reviewOf({}, { uid: 'x'.repeat(257) }),
  ]) {
    t.equal(readReview(review).kind, 'invalid')
  }
})

test('an answer is as long as an API server takes it', async (t) => {
  const { response: refused } = answerOf('u', { outcome: 'refused', message: 'x'.repeat(100_000) })
  t.equal(refused.status?.message.length, 2000)
  const { response } = answerOf('u', { outcome: 'present', patch: [], warnings: ['x'.repeat(1000)] })
  t.equal(response.warnings?.[0]?.length, 256)
  t.notOk('patch' in response)
})

test('whatever is asked: an answer with the uid it came with, or none', async (t) => {
  const value = fc.jsonValue({ maxDepth: 3 })
  const request = fc.record(
    {
      uid: fc.oneof(fc.uuid(), value),
      operation: fc.oneof(fc.constantFrom('CREATE', 'UPDATE'), value),
      kind: value,
      object: value,
      subResource: value,
    },
    { requiredKeys: [] },
  )
  const review = fc.record({
    apiVersion: fc.oneof(fc.constant('admission.k8s.io/v1'), value),
    kind: fc.oneof(fc.constant('AdmissionReview'), value),
    request: fc.oneof(request, value),
  })
  fc.assert(
    fc.property(fc.oneof(review, value), (asked) => {
      const read = readReview(asked)
      if (read.kind === 'invalid') return
      const { uid } = (asked as { request: { uid: string } }).request
      const { response } = read.kind === 'pod' ? answerOf(read.request.uid, { outcome: 'opted_out' }) : read.answer
      if (response.uid !== uid || typeof response.allowed !== 'boolean') throw new Error(JSON.stringify(response))
    }),
    { numRuns: 2000 },
  )
  t.pass('2000 of them')
})
