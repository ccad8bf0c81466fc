import { CHUNKED, chunked, get, lengthOf, post } from '../requests.ts'
import { type AttackClass, atMostOne, refused, single } from '../row.ts'

export const EXPECTATIONS: AttackClass = {
  id: 'expectations',
  title: 'Expect and Range',
  known: ['CVE-2011-3192'],
  holds: 'an expectation makes no second answer, a range no second request and no failure',
  alsoTestedIn: ['test/sidecar/proxy/forward.test.ts'],
  rows: [
    single(
      'Expect: 100-continue, a request as the body',
      (a) => [post(a, ['Expect: 100-continue', lengthOf(a.hidden)]), a.hidden],
      (a) => ({ body: a.hidden }),
    ),
    single(
      'Expect: 100-continue in chunks',
      (a) => post(a, ['Expect: 100-continue', CHUNKED], chunked(a.hidden)),
      (a) => ({ body: a.hidden }),
    ),
    single(
      'Expect: 100-continue without a body',
      (a) => get(a, ['Expect: 100-continue']),
      () => ({ method: 'GET' }),
    ),
    atMostOne('a hundred times Expect: 100-continue', (a) => get(a, Array(100).fill('Expect: 100-continue'))),
    atMostOne('an expectation that nobody knows', (a) => post(a, ['Expect: evil', lengthOf(a.hidden)], a.hidden)),
    atMostOne('two expectations in one', (a) => post(a, ['Expect: 100-continue, evil', lengthOf(a.hidden)], a.hidden)),
    refused('an expectation of a target that is refused', (a) =>
      get(a, ['Expect: 100-continue', 'Content-Length: 5'], `${a.path}/../x`),
    ),
    single(
      'thirteen hundred ranges',
      (a) => get(a, [`Range: bytes=${Array.from({ length: 1300 }, (_, i) => `0-${i}`).join(',')}`]),
      () => ({ method: 'GET' }),
      { mayRefuse: true },
    ),
    single(
      'a range beyond all numbers',
      (a) => get(a, ['Range: bytes=0-99999999999999999999999']),
      () => ({ method: 'GET' }),
      { mayRefuse: true },
    ),
    single(
      'ranges that are none',
      (a) => get(a, ['Range: bytes=-,,x-y', 'Range: evil']),
      () => ({ method: 'GET' }),
      { mayRefuse: true },
    ),
  ],
}
