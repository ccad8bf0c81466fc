import { pbkdf2Sync } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { getPriority } from 'node:os'
import { hash as argon2 } from '@node-rs/argon2'
import { hash as bcrypt } from '@node-rs/bcrypt'
import { test } from 'tap'
import { createHashingLane } from '../../../issuer/adapters/hashing-lane.ts'
import { HashingOverloaded } from '../../../issuer/domain/ports.ts'
import { createMetrics } from '../../../shared/metrics.ts'

const cost = { memoryKib: 7168, time: 5, parallelism: 1 }
const defaults = { cost, concurrency: 1, queue: 10, deadlineMs: 5000 }

/** What all threads have worked since then, however busy the machine is with other things. */
function cpuMs(since: NodeJS.CpuUsage): number {
  const { user, system } = process.cpuUsage(since)
  return (user + system) / 1000
}

test('a hash verifies its password and no other', async (t) => {
  const hasher = await createHashingLane({ ...defaults, metrics: createMetrics() })
  const hash = await hasher.hash('a pass phrase')
  t.match(hash, /^\$argon2id\$v=19\$m=7168,t=5,p=1\$/)
  t.equal(await hasher.verify(hash, 'a pass phrase'), true)
  t.equal(await hasher.verify(hash, 'another'), false)
  t.equal(await hasher.verify(hash, ''), false)
  t.not(await hasher.hash('a pass phrase'), hash, 'each has its own salt')
})

test('without a hash the same work is done for nothing', async (t) => {
  const metrics = createMetrics()
  const hasher = await createHashingLane({ ...defaults, metrics })
  t.equal(await hasher.verify(undefined, 'a pass phrase'), false)
  t.match(await metrics.metrics(), /password_hash_seconds_count\{operation="verify"\} 1/)
})

test('an imported hash that asks for gigabytes is never computed', async (t) => {
  const hasher = await createHashingLane({ ...defaults, metrics: createMetrics() })
  const rest = '$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA'
  const began = process.cpuUsage()
  for (const stored of [
    `$argon2id$v=19$m=4194304,t=1,p=1${rest}`,
    `$argon2id$v=19$m=19456,t=4000000,p=1${rest}`,
    'not a hash',
    '',
  ]) {
    t.equal(await hasher.verify(stored, 'a pass phrase'), false, stored)
  }
  t.ok(cpuMs(began) < 2000)
})

test('hashes of other parameters still verify, and are to be made anew', async (t) => {
  const hasher = await createHashingLane({ ...defaults, metrics: createMetrics() })
  const rows: [name: string, hash: string, outdated: boolean][] = [
    ['the same', await hasher.hash('x'), false],
    ['more memory', await argon2('x', { memoryCost: 8192, timeCost: 5 }), true],
    ['more passes', await argon2('x', { memoryCost: 7168, timeCost: 6 }), true],
    ['another variant', await argon2('x', { memoryCost: 7168, timeCost: 5, algorithm: 1 }), true],
  ]
  for (const [name, hash, outdated] of rows) {
    t.equal(await hasher.verify(hash, 'x'), true, name)
    t.equal(hasher.needsRehash(hash), outdated, name)
  }
})

test('hashes of other systems verify, within the lane, and are to be made anew', async (t) => {
  const metrics = createMetrics()
  const hasher = await createHashingLane({ ...defaults, metrics })
  const password = 'a pass phrase with ümlauts'
  const derived = (digest: string, length: number) => pbkdf2Sync(password, 'salt', 1000, length, digest)
  const salt = Buffer.from('salt').toString('base64').replace(/=+$/, '')
  const rows: [name: string, hash: string][] = [
    ['bcrypt 2b', await bcrypt(password, 4)],
    ['bcrypt 2y', (await bcrypt(password, 4)).replace('$2b$', '$2y$')],
    ['bcrypt 2a', (await bcrypt(password, 4)).replace('$2b$', '$2a$')],
    ['Django', `pbkdf2_sha256$1000$salt$${derived('sha256', 32).toString('base64')}`],
    ['Werkzeug', `pbkdf2:sha512:1000$salt$${derived('sha512', 64).toString('hex')}`],
    ['passlib', `$pbkdf2-sha512$1000$${salt}$${derived('sha512', 64).toString('base64').replace(/=+$/, '')}`],
    ['SHA-1', `$pbkdf2$1000$${salt}$${derived('sha1', 20).toString('base64').replace(/=+$/, '')}`],
  ]
  for (const [name, hash] of rows) {
    t.equal(await hasher.verify(hash, password), true, name)
    t.equal(await hasher.verify(hash, 'another'), false, name)
    t.equal(hasher.needsRehash(hash), true, name)
  }
  t.match(await metrics.metrics(), `password_hash_seconds_count{operation="verify"} ${2 * rows.length}`)
})

test('hashes that other programs made', async (t) => {
  const hasher = await createHashingLane({ ...defaults, metrics: createMetrics() })
  // Openwall's own test vector, and Python's hashlib.
  const rows = [
    ['U*U', '$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW'],
    ['correct horse', 'pbkdf2_sha256$1000$seasalt$mQnueSakb748zqBAC1tmWVZsZbi2zPGZarEzTGdfmso='],
  ] as const
  for (const [password, hash] of rows) {
    t.equal(await hasher.verify(hash, password), true, hash)
    t.equal(await hasher.verify(hash, `${password} `), false)
  }
})

test('an imported hash that asks for hours is never computed', async (t) => {
  const hasher = await createHashingLane({ ...defaults, metrics: createMetrics() })
  const began = process.cpuUsage()
  for (const stored of [
    `$2b$31$${'A'.repeat(53)}`,
    `$2b$16$${'A'.repeat(53)}`,
    `pbkdf2_sha256$4000000000$salt$${Buffer.alloc(32).toString('base64')}`,
    // Parameters that Argon2 does not allow.
    `$argon2id$v=19$m=1,t=1,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA`,
    `$argon2id$v=19$m=19456,t=0,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA`,
  ]) {
    t.equal(await hasher.verify(stored, 'a pass phrase'), false, stored)
  }
  t.ok(cpuMs(began) < 2000)
})

test('the lane is bounded: some at once, some waiting, the rest are sent away', async (t) => {
  const metrics = createMetrics()
  const hasher = await createHashingLane({ ...defaults, concurrency: 2, queue: 3, metrics })
  const all = Array.from({ length: 10 }, () => hasher.hash('x'))
  const results = Promise.allSettled(all)
  t.match(await metrics.metrics(), /password_hash_running 2\n/)
  t.match(await metrics.metrics(), /password_hash_queue 3\n/)
  t.equal(hasher.fullForS(), 5, 'it says so to those who would only come in vain')
  const rejected = (await results).filter((result) => result.status === 'rejected')
  t.equal(rejected.length, 5)
  for (const { reason } of rejected) {
    t.ok(reason instanceof HashingOverloaded)
    t.ok(reason.retryAfterS > 0)
  }
  t.match(await metrics.metrics(), /password_hash_running 0\n/)
  t.equal(hasher.fullForS(), undefined)
  await t.resolves(hasher.hash('x'), 'and then it goes on')
})

test('the event loop goes before hashing', { skip: process.platform !== 'linux' }, async (t) => {
  await createHashingLane({ ...defaults, metrics: createMetrics() })
  const threads = readdirSync('/proc/self/task').map(Number)
  const hashing = threads.filter((id) => /^libuv-worker/.test(readFileSync(`/proc/self/task/${id}/comm`, 'utf8')))
  t.not(hashing.length, 0)
  for (const id of hashing) t.ok(getPriority(id) > getPriority(process.pid))
})

test('nobody waits longer than the deadline', async (t) => {
  const metrics = createMetrics()
  const hasher = await createHashingLane({ ...defaults, queue: 1000, deadlineMs: 20, metrics })
  const results = await Promise.allSettled(Array.from({ length: 200 }, () => hasher.hash('x')))
  t.ok(results.some((result) => result.status === 'fulfilled'))
  t.ok(results.some((result) => result.status === 'rejected'))
  t.match(await metrics.metrics(), /password_hash_queue 0\n/)
  await t.resolves(hasher.hash('x'))
})

test('hashes that need more memory take turns, and nobody overtakes', async (t) => {
  const metrics = createMetrics()
  const lane = await createHashingLane({ ...defaults, concurrency: 3, metrics })
  const shown = async (name: string) =>
    Number((await metrics.metrics()).match(new RegExp(`^${name} (\\d+)$`, 'm'))?.[1])
  const state = async () => [await shown('password_hash_running'), await shown('password_hash_queue')]
  const ended: string[] = []
  const verify = async (name: string, hash: string) => {
    t.equal(await lane.verify(hash, 'x'), true, name)
    ended.push(name)
  }
  const own = await lane.hash('x')
  const [double, huge] = await Promise.all(
    [2, 10].map((n) => argon2('x', { memoryCost: n * cost.memoryKib, timeCost: 1 })),
  )

  const first = [verify('double', double!), verify('double, too', double!), verify('own', own)]
  t.same(await state(), [1, 2], 'three of them fit by their number, and not by their memory')
  await Promise.all(first)
  t.same(await state(), [0, 0])

  const second = [verify('bcrypt', await bcrypt('x', 4)), verify('huge', huge!), verify('after it', own)]
  t.same(await state(), [1, 2], 'what needs more than there is waits until it is alone')
  await Promise.all(second)
  t.same(ended.slice(-3), ['bcrypt', 'huge', 'after it'])
})

test('who gave up waiting for memory does not keep the next from theirs', async (t) => {
  const metrics = createMetrics()
  const lane = await createHashingLane({ ...defaults, concurrency: 2, deadlineMs: 100, metrics })
  const [slow, huge] = await Promise.all([
    argon2('x', { memoryCost: cost.memoryKib, timeCost: 300 }),
    argon2('x', { memoryCost: 10 * cost.memoryKib, timeCost: 1 }),
  ])
  const own = await lane.hash('x')
  const results = await Promise.allSettled([slow!, huge!, own].map((hash) => lane.verify(hash, 'x')))
  t.match(results, [{ value: true }, { reason: HashingOverloaded }, { value: true }])
  t.match(await metrics.metrics(), /password_hash_queue 0\n/)
  t.match(await metrics.metrics(), /password_hash_running 0\n/)
  t.equal(await lane.verify(huge!, 'x'), true)
})

test('as many may be on their way to the lane as it has places', async (t) => {
  const hasher = await createHashingLane({ ...defaults, concurrency: 1, queue: 2, metrics: createMetrics() })
  const leave = [hasher.enter(), hasher.enter(), hasher.enter()]
  t.throws(() => hasher.enter(), HashingOverloaded)
  t.equal(hasher.fullForS(), 5, 'it says so to those who would only come in vain')
  await t.resolves(hasher.hash('x'), 'whoever is inside finds the lane free')
  leave[0]!()
  leave[0]!()
  t.equal(hasher.fullForS(), undefined)
  leave.push(hasher.enter())
  t.throws(() => hasher.enter(), HashingOverloaded, 'a place is given back once')
  for (const out of leave) out()
  t.equal(hasher.fullForS(), undefined)
})

test('a full lane lets nobody in', async (t) => {
  const hasher = await createHashingLane({ ...defaults, concurrency: 1, queue: 1, metrics: createMetrics() })
  const hashing = ['x', 'y'].map((password) => hasher.hash(password))
  t.throws(() => hasher.enter(), HashingOverloaded)
  await Promise.all(hashing)
  t.doesNotThrow(() => hasher.enter())
})
