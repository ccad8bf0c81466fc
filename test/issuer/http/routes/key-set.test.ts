import { test } from 'tap'
import { createKeySet } from '../../../../issuer/domain/key-set.ts'
import { KEYS_LEASE_MS } from '../../../../issuer/domain/signing-key.ts'
import { keyHolder } from '../../../helpers/signing-keys.ts'
import { buildIssuer, MASTER_KEY } from '../../build.ts'

const kidsOf = (body: { keys: { kid: string }[] }) => body.keys.map(({ kid }) => kid)

test('the key set has a key that another issuer has made a moment ago', async (t) => {
  const issuer = await buildIssuer(t)
  const other = keyHolder(issuer.parts.signingKeys, issuer.clock, { masterKeys: [MASTER_KEY] })
  for (let n = 0; n < 3; n++) {
    await other.rotateKeys.rotate({ immediately: true, by: 'test' })
    const { kid } = other.keySet.current()
    const { body, headers } = await issuer.call('GET', '/.well-known/jwks.json')
    t.ok(kidsOf(body).includes(kid), 'so that "no such key" is never a mistake')
    t.equal(headers['cache-control'], 'public, max-age=300')
  }
})

test('a store that is away: the keys that are known, for as long as nobody can have changed them', async (t) => {
  let away = false
  const issuer = await buildIssuer(t, {
    rules: { keys: { algorithm: 'ES256', lifetimeS: 300, jwksMaxAgeS: 60, rotationMs: undefined } },
    wrap({ signingKeys, sealing, clock }) {
      const failing = {
        ...signingKeys,
        all: async () => (away ? Promise.reject(new Error('away')) : signingKeys.all()),
      }
      return { keySet: createKeySet({ signingKeys: failing, sealing, clock }, { lifetimeS: 300 }) }
    },
  })
  const get = () => issuer.call('GET', '/.well-known/jwks.json')
  const known = await get()
  t.match(known, { status: 200, headers: { 'cache-control': 'public, max-age=60' } })
  away = true
  issuer.clock.advance(KEYS_LEASE_MS)
  t.same((await get()).body, known.body)
  issuer.clock.advance(1)
  t.match(await get(), { status: 503, body: { code: 'store_unavailable' }, headers: { 'cache-control': 'no-store' } })
  away = false
  t.same((await get()).body, known.body)
})

test('who asks not to be answered from memory is told nothing while the store cannot be read', async (t) => {
  let all: (() => Promise<never>) | undefined
  const issuer = await buildIssuer(t, {
    wrap({ signingKeys, sealing, clock }) {
      const failing = { ...signingKeys, all: () => all?.() ?? signingKeys.all() }
      return { keySet: createKeySet({ signingKeys: failing, sealing, clock }, { lifetimeS: 300 }) }
    },
  })
  // As a sidecar does that has met a key it does not know: where "no" is a mistake, it passes over a revocation.
  const ask = () => issuer.call('GET', '/.well-known/jwks.json', { headers: { 'cache-control': 'no-cache' } })
  t.match(await ask(), { status: 200 })
  all = () => Promise.reject(new Error('away'))
  t.match(await ask(), { status: 503, headers: { 'cache-control': 'no-store' } })
  t.match(await issuer.call('GET', '/.well-known/jwks.json'), { status: 200 }, 'others get what is known')
  for (const cacheControl of ['no-cache, no-transform', 'max-age=0,No-Cache']) {
    const headers = { 'cache-control': cacheControl }
    t.match(await issuer.call('GET', '/.well-known/jwks.json', { headers }), { status: 503 }, cacheControl)
  }
  let goOn = () => {}
  all = () =>
    new Promise((_, reject) => {
      goOn = () => reject(new Error('at last'))
    })
  t.match(await ask(), { status: 503 }, 'a store that takes too long')
  goOn()
  all = undefined
  t.match(await ask(), { status: 200 })
})
