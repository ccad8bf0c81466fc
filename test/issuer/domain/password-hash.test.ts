import fc from 'fast-check'
import { test } from 'tap'
import { isAffordable, meetsHashFloor, parseHash } from '../../../issuer/domain/password-hash.ts'

const SALT_AND_HASH = '$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA'

test('hash strings', async (t) => {
  t.same(parseHash(`$argon2id$v=19$m=19456,t=2,p=1${SALT_AND_HASH}`), {
    scheme: 'argon2id',
    memoryKib: 19456,
    time: 2,
    parallelism: 1,
  })
  for (const broken of [
    '',
    `$argon2id$m=19456,t=2,p=1${SALT_AND_HASH}`,
    `$argon2id$v=16$m=19456,t=2,p=1${SALT_AND_HASH}`,
    `$argon2id$v=19$m=99999999999,t=2,p=1${SALT_AND_HASH}`,
    `$argon2id$v=19$m=19456,t=2,p=1$short$AAAA`,
    `$bcrypt$v=19$m=19456,t=2,p=1${SALT_AND_HASH}`,
    `$argon2id$v=19$m=19456,t=2,p=1${SALT_AND_HASH}\n`,
    `$argon2id$v=19$m=019456,t=2,p=1${SALT_AND_HASH}`,
    `$argon2id$v=19$m=19456,t=2,p=1${SALT_AND_HASH.slice(0, -1)}B`,
  ]) {
    t.equal(parseHash(broken), undefined, broken)
  }
})

test('hashes of other systems', async (t) => {
  const key = Buffer.alloc(32, 1)
  const [base64, unpadded, hex] = [key.toString('base64'), key.toString('base64').slice(0, -1), key.toString('hex')]
  const bcrypt = `.${'A'.repeat(52)}`
  t.same(parseHash(`$2b$12$${bcrypt}`), { scheme: 'bcrypt', rounds: 12 })
  t.same(parseHash(`$2y$04$${bcrypt}`), { scheme: 'bcrypt', rounds: 4 })
  const parsed = { scheme: 'pbkdf2', digest: 'sha256', iterations: 600_000, salt: Buffer.from('salt'), key }
  t.same(parseHash(`pbkdf2_sha256$600000$salt$${base64}`), parsed, 'Django')
  t.same(parseHash(`pbkdf2:sha256:600000$salt$${hex}`), parsed, 'Werkzeug')
  t.same(parseHash(`$pbkdf2-sha256$600000$c2FsdA$${unpadded}`), parsed, 'passlib')
  t.same(parseHash(`$pbkdf2-sha256$i=600000,l=32$c2FsdA$${unpadded}`), parsed, 'PHC')
  t.same(parseHash(`$pbkdf2$600000$c2FsdA$${unpadded}`), { ...parsed, digest: 'sha1' }, 'passlib with SHA-1')
  for (const broken of [
    `$2x$12$${bcrypt}`,
    `$2b$12$${bcrypt}A`,
    `$2b$1$${bcrypt}`,
    `pbkdf2_md5$600000$salt$${base64}`,
    `pbkdf2_sha256$99999999999$salt$${base64}`,
    `pbkdf2_sha256$600000$$${base64}`,
    `pbkdf2_sha256$600000$salt$AAAA`,
    `$pbkdf2-sha256$600000$c2FsdAA$AAAAAAAAAAAAAAAAAAAAAAAAA`,
    `$6$salt$${'A'.repeat(86)}`,
    '5f4dcc3b5aa765d61d8327deb882cf99',
  ]) {
    t.equal(parseHash(broken), undefined, broken)
  }
  fc.assert(fc.property(fc.string({ maxLength: 300 }), (text) => parseHash(text) === undefined))
})

test('the floor and the ceiling', async (t) => {
  const cost = (memoryKib: number, time: number, parallelism = 1) =>
    ({ scheme: 'argon2id', memoryKib, time, parallelism }) as const
  for (const [memory, time] of [
    [19_456, 2],
    [47_104, 1],
    [12_288, 3],
    [9216, 4],
    [7168, 5],
  ] as const) {
    t.ok(meetsHashFloor(cost(memory, time)), `m=${memory} t=${time}`)
  }
  for (const [memory, time] of [
    [19_456, 1],
    [7168, 4],
    [4096, 100],
  ] as const) {
    t.notOk(meetsHashFloor(cost(memory, time)), `m=${memory} t=${time}`)
  }
  t.ok(isAffordable(cost(65_536, 3, 4)))
  t.ok(isAffordable(cost(256 * 1024, 16)))
  for (const dear of [
    cost(256 * 1024 + 1, 1),
    cost(256 * 1024, 17),
    cost(1024 * 1024, 5),
    cost(19_456, 1000),
    cost(19_456, 2, 255),
    cost(19_456, 0),
    cost(8, 1, 2),
  ]) {
    t.notOk(isAffordable(dear), JSON.stringify(dear))
  }
  const bcrypt = (rounds: number) => isAffordable({ scheme: 'bcrypt', rounds })
  t.same([3, 4, 12, 14, 15, 31].map(bcrypt), [false, true, true, true, false, false])
  const pbkdf2 = (iterations: number) =>
    isAffordable({ scheme: 'pbkdf2', digest: 'sha256', iterations, salt: Buffer.from('salt'), key: Buffer.alloc(32) })
  t.same([0, 1, 600_000, 5_000_000, 5_000_001].map(pbkdf2), [false, true, true, true, false])
})
