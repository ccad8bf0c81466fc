import { createPrivateKey, generateKeyPairSync } from 'node:crypto'
import { calculateJwkThumbprint, createLocalJWKSet, jwtVerify } from 'jose'
import { test } from 'tap'
import { ensureSigningKey } from '../../../issuer/domain/ensure-signing-key.ts'
import { createKeySealing } from '../../../issuer/domain/key-sealing.ts'
import { createKeySet, thumbprint } from '../../../issuer/domain/key-set.ts'
import type { SigningKeys } from '../../../issuer/domain/ports.ts'
import type { StoredSigningKey } from '../../../issuer/domain/signing-key.ts'
import { ALGORITHM_NAMES, signJws } from '../../../shared/jws.ts'
import { MASTER_KEY, manualClock } from '../build.ts'

function memoryKeys(): SigningKeys & { stored: StoredSigningKey[]; reads: number } {
  const keys = {
    stored: [] as StoredSigningKey[],
    reads: 0,
    async all() {
      keys.reads++
      return structuredClone(keys.stored)
    },
    async insertFirst(key: StoredSigningKey) {
      if (keys.stored.some(({ state }) => state === 'current')) return false
      keys.stored.push(key)
      return true
    },
  }
  return keys
}

function ports(signingKeys = memoryKeys(), masterKeys = [MASTER_KEY]) {
  return { signingKeys, sealing: createKeySealing(masterKeys), clock: manualClock() }
}

test('the key id is the thumbprint of RFC 7638, for every type of key', async (t) => {
  const keys = [
    generateKeyPairSync('ec', { namedCurve: 'P-256' }),
    generateKeyPairSync('rsa', { modulusLength: 2048 }),
    generateKeyPairSync('ed25519'),
  ]
  for (const { publicKey } of keys) {
    const expected = await calculateJwkThumbprint(publicKey.export({ format: 'jwk' }) as { kty: string })
    t.equal(thumbprint(publicKey), expected, String(publicKey.asymmetricKeyType))
  }
})

test('a key of every algorithm is made, stored encrypted, and verifies with jose', async (t) => {
  for (const alg of ALGORITHM_NAMES) {
    const all = ports()
    await ensureSigningKey(all, alg)
    const [stored] = all.signingKeys.stored
    t.match(stored, { alg, state: 'current', retiredAt: null })
    t.throws(() =>
      createPrivateKey({ key: Buffer.from(stored!.sealedPrivateKey, 'base64url'), format: 'der', type: 'pkcs8' }),
    )

    const keySet = createKeySet(all, 300)
    await keySet.reload()
    const token = signJws(keySet.current(), 'at+jwt', { sub: 'someone' })
    const jwks = keySet.jwks()
    t.notMatch(JSON.stringify(jwks), /"(d|p|q|dp|dq|qi|k)":/, 'nothing private is published')
    t.equal((await jwtVerify(token, createLocalJWKSet(jwks))).payload.sub, 'someone')
  }
})

test('of two issuers that start at once one makes the key and both use it', async (t) => {
  const signingKeys = memoryKeys()
  const all = [ports(signingKeys), ports(signingKeys)]
  await Promise.all(all.map((one) => ensureSigningKey(one, 'ES256')))
  const sets = all.map((one) => createKeySet(one, 300))
  await Promise.all(sets.map((set) => set.reload()))
  t.equal(signingKeys.stored.length, 1)
  t.equal(sets[0]!.current().kid, sets[1]!.current().kid)
})

test('next and retired keys are published, those that are gone are not', async (t) => {
  const all = ports()
  for (const state of ['retired', 'next', 'current'] as const) {
    const one = ports()
    await ensureSigningKey(one, 'ES256')
    all.signingKeys.stored.push({
      ...one.signingKeys.stored[0]!,
      state,
      retiredAt: state === 'retired' ? all.clock.now() : null,
    })
  }
  const keySet = createKeySet(all, 300)
  await keySet.reload()
  const [retired, next, current] = all.signingKeys.stored.map(({ kid }) => kid)
  t.equal(keySet.current().kid, current)
  t.same(
    keySet.jwks().keys.map(({ kid }) => kid),
    [retired, next, current],
  )
  all.clock.advance(309_999)
  t.ok(keySet.keyFor(retired!), 'its last token may still be accepted')
  all.clock.advance(1)
  t.equal(keySet.keyFor(retired!), undefined)
  t.same(
    keySet.jwks().keys.map(({ kid }) => kid),
    [next, current],
  )
})

test('a store that fails changes nothing; a foreign master key is an error', async (t) => {
  const all = ports()
  await ensureSigningKey(all, 'ES256')
  const keySet = createKeySet(all, 300)
  t.throws(() => keySet.current())
  await keySet.reload()
  const { kid } = keySet.current()
  all.signingKeys.all = async () => {
    throw new Error('away')
  }
  await t.rejects(keySet.reload())
  await keySet.refresh()
  t.equal(keySet.current().kid, kid)

  const foreign = createKeySet(
    { ...all, signingKeys: memoryKeysOf(all.signingKeys.stored), sealing: createKeySealing(['another master key']) },
    300,
  )
  await t.rejects(foreign.reload(), /MASTER_KEY/)
})

test('unknown keys cost one read of the store in five seconds', async (t) => {
  const all = ports()
  await ensureSigningKey(all, 'ES256')
  const keySet = createKeySet(all, 300)
  await keySet.reload()
  all.signingKeys.reads = 0
  await Promise.all(Array.from({ length: 50 }, () => keySet.refresh()))
  await keySet.refresh()
  t.equal(all.signingKeys.reads, 1)
  all.clock.advance(5000)
  await keySet.refresh()
  t.equal(all.signingKeys.reads, 2)
})

test('sealing binds the key to its id, and goes through a change of the master key', async (t) => {
  const [old, both, next] = [['old'], ['new', 'old'], ['new']].map(createKeySealing)
  const secret = Buffer.from('a private key')
  const sealed = old!.seal('kid', secret)
  t.same(both!.open('kid', sealed), secret)
  t.equal(next!.open('kid', sealed), undefined)
  t.equal(old!.open('other', sealed), undefined)
  t.same(next!.open('kid', both!.seal('kid', secret)), secret)
  for (const broken of ['', 'AAAA', `${sealed.slice(0, -2)}AA`, sealed.slice(4)])
    t.equal(old!.open('kid', broken), undefined)
  t.not(old!.seal('kid', secret), old!.seal('kid', secret))
})

function memoryKeysOf(stored: StoredSigningKey[]) {
  return Object.assign(memoryKeys(), { all: async () => stored })
}
