import { test } from 'tap'
import { createHashingLane } from '../../../issuer/adapters/hashing-lane.ts'
import { createMetrics } from '../../../shared/metrics.ts'
import { buildIssuer, countingHasher, PASSWORD } from '../build.ts'

const ROUTES = ['/auth/login', '/login', '/auth/register', '/register', '/users', '/users/']

test('while the hashing lane is full, what would hash is refused before anything is asked', async (t) => {
  let full: number | undefined
  const hasher = { ...countingHasher(), fullForS: () => full }
  const issuer = await buildIssuer(t, { hasher })
  const { email } = await issuer.register()
  const { refresh_token } = await issuer.login({ email, password: PASSWORD })
  issuer.calls.length = 0
  hasher.calls.length = 0
  full = 7
  for (const path of ROUTES) {
    for (const json of [{ email, password: PASSWORD }, { what: 'nobody reads this' }]) {
      const { status, body, headers } = await issuer.call('POST', path, {
        json,
        headers: { origin: 'https://app.example' },
      })
      t.match({ status, code: body.code }, { status: 503, code: 'overloaded' }, path)
      t.equal(headers['retry-after'], '7')
      t.equal(headers['access-control-allow-origin'], 'https://app.example', 'pages of allowed origins may read it')
    }
  }
  t.same(issuer.calls, [], 'no store')
  t.same(hasher.calls, [], 'no hash')

  t.equal((await issuer.call('POST', '/auth/refresh', { json: { refresh_token } })).status, 200, 'all else goes on')
  t.equal((await issuer.call('GET', '/livez')).status, 200)
  full = undefined
  t.equal((await issuer.call('POST', '/auth/login', { json: { email, password: PASSWORD } })).status, 200)
})

test('of many logins at once no more ask the store than the lane has places, by whatever route they come', async (t) => {
  const lane = { concurrency: 1, queue: 2, deadlineMs: 60_000, metrics: createMetrics() }
  const hasher = await createHashingLane({ cost: { memoryKib: 7168, time: 5, parallelism: 1 }, ...lane })
  const issuer = await buildIssuer(t, { hasher })
  const { email } = await issuer.register()
  const routes = [
    { path: '/auth/login', json: { email, password: PASSWORD } },
    { path: '/auth/token', json: { grant_type: 'password', username: email, password: PASSWORD } },
  ]
  for (const { path, json } of routes) {
    issuer.calls.length = 0
    const answers = await Promise.all(Array.from({ length: 10 }, () => issuer.call('POST', path, { json })))
    const statuses = answers.map(({ status }) => status).sort()
    t.same(statuses, [200, 200, 200, 503, 503, 503, 503, 503, 503, 503], path)
    t.equal(issuer.calls.filter((name) => name === 'users.byEmailKey').length, 3, path)
    for (const { headers } of answers.filter(({ status }) => status === 503)) t.equal(headers['retry-after'], '60')
  }
  t.equal(
    (await issuer.call('POST', '/auth/login', { json: routes[0]!.json })).status,
    200,
    'the places are free again',
  )
})
