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
