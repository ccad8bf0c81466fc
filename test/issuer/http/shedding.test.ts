import { test } from 'tap'
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
