import { test } from 'tap'
import { generateSigningKey } from '../../../issuer/domain/generate-key.ts'
import { createKeySealing, openKeyPair, resealed, sealKeyPair } from '../../../issuer/domain/key-sealing.ts'

test('sealing binds the key to its id, and goes through a change of the master key', async (t) => {
  const [old, both, next] = [['old'], ['new', 'old'], ['new']].map(createKeySealing)
  const secret = Buffer.from('a private key')
  const sealed = old!.seal('kid', secret)
  t.same(both!.open('kid', sealed), secret)
  t.equal(next!.open('kid', sealed), undefined)
  t.equal(old!.open('other', sealed), undefined)
  t.same(next!.open('kid', both!.seal('kid', secret)), secret)
  // It may end so by chance.
  const others = sealed.endsWith('AA') ? 'BA' : 'AA'
  for (const broken of ['', 'AAAA', `${sealed.slice(0, -2)}${others}`, sealed.slice(4)])
    t.equal(old!.open('kid', broken), undefined)
  t.not(old!.seal('kid', secret), old!.seal('kid', secret))
  t.ok(old!.isUpToDate('kid', sealed))
  t.notOk(both!.isUpToDate('kid', sealed), 'it opens, but not with the key that seals')
})

test('sealed anew, the old master key alone opens nothing any more', async (t) => {
  const [old, both, next] = [['old'], ['new', 'old'], ['new']].map(createKeySealing)
  const pair = await generateSigningKey('EdDSA')
  const stored = sealKeyPair(old!, pair, 0)
  const gone = { ...stored, kid: 'gone', state: 'gone' as const, sealedPrivateKey: '' }
  const keys = resealed(both!, [stored, gone])
  t.equal(keys[1], gone)
  t.equal(openKeyPair(old!, keys[0]!), undefined)
  t.ok(openKeyPair(next!, keys[0]!)!.privateKey.equals(pair.privateKey))
  const again = resealed(both!, keys)
  t.equal(again[0], keys[0], 'and stays as it is from then on')
  t.equal(resealed(next!, [stored])[0], stored, 'what nobody can open is left alone')
})
