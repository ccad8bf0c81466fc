import { test } from 'tap'
import { isAffordable, meetsHashFloor, parseHash } from '../../../issuer/domain/password-hash.ts'

const SALT_AND_HASH = '$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA'

test('hash strings', async (t) => {
  t.same(parseHash(`$argon2id$v=19$m=19456,t=2,p=1${SALT_AND_HASH}`), {
    variant: 'argon2id',
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
  ]) {
    t.equal(parseHash(broken), undefined, broken)
  }
})

test('the floor and the ceiling', async (t) => {
  const cost = (memoryKib: number, time: number, parallelism = 1) => ({ memoryKib, time, parallelism })
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
  for (const dear of [cost(4 * 1024 * 1024, 1), cost(19_456, 1000), cost(19_456, 2, 255)]) t.notOk(isAffordable(dear))
})
