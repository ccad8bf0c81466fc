import { test } from 'tap'
import { hashClientSecret, matchClientSecret, newClientSecret, publicClient } from '../../../issuer/domain/client.ts'
import { aClient } from '../../helpers/stores.ts'

const NOW = 1_800_000_000_000

test('a secret has 256 random bits and says what it is', async (t) => {
  const secrets = Array.from({ length: 50 }, newClientSecret)
  t.equal(new Set(secrets).size, 50)
  for (const secret of secrets) {
    const [, random] = /^sallyport_([\w-]{43})$/.exec(secret) ?? []
    t.equal(Buffer.from(random!, 'base64url').length, 32)
  }
})

test('which secret matches', async (t) => {
  const hash = (secret: string) => hashClientSecret(secret)
  const rotated = aClient({ secretHash: hash('new'), previousSecretHash: hash('old'), previousSecretUntil: NOW + 1000 })
  const rows: [name: string, answer: string | undefined, ...Parameters<typeof matchClientSecret>][] = [
    ['the present one', 'current', rotated, 'new', NOW],
    ['the one before, within the overlap', 'previous', rotated, 'old', NOW + 999],
    ['the one before, after it', undefined, rotated, 'old', NOW + 1000],
    ['another', undefined, rotated, 'other', NOW],
    ['none', undefined, rotated, '', NOW],
    ['the hash itself', undefined, rotated, hash('new'), NOW],
    ['no client', undefined, undefined, 'new', NOW],
    ['a client that never had another', undefined, aClient({ secretHash: hash('new') }), 'old', NOW],
  ]
  for (const [name, answer, ...args] of rows) t.equal(matchClientSecret(...args), answer, name)
})

test('nothing secret is shown', async (t) => {
  const client = aClient({ secretHash: 'a-hash', previousSecretHash: 'b-hash', previousSecretUntil: NOW })
  t.notMatch(JSON.stringify(publicClient(client, NOW - 1)), /hash|epoch/)
  t.equal(publicClient(client, NOW - 1).previous_secret_until, new Date(NOW).toISOString())
  t.equal(publicClient(client, NOW).previous_secret_until, null, 'an overlap that is over')
})
