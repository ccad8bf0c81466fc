import { test } from 'tap'
import { type Credentials, call, login, PASSWORD, register } from '../helpers/client.ts'
import { type Running, startDeployment } from '../helpers/deployment.ts'
import { eventually } from '../helpers/eventually.ts'
import { missingProduction, productionServers } from '../helpers/production.ts'
import { startRedis } from '../servers/redis.ts'

const TRUST = { TRUST_PROXY: '127.0.0.1' }
/** How long it takes after five wrong passwords until the next guess. */
const FIRST_WAIT_MS = 1000
const from = (address: string) => ({ 'x-forwarded-for': address })

/** How often these have counted by themselves, for Redis did not answer within its 250 ms. */
async function countedAlone(issuers: Running[]): Promise<string> {
  const metrics = await Promise.all(issuers.map(({ url }) => call(`${url}/metrics`)))
  return metrics.map(({ body }) => /^shared_counts_failures_total (\d+)/m.exec(String(body.text))?.[1]).join()
}

/** The first of these rounds in which both counted in Redis alone and which took no longer than `within`: milliseconds. */
async function undisturbed<T>(
  issuers: Running[],
  round: (n: number) => Promise<T>,
  prepare = async (_n: number) => {},
  within = FIRST_WAIT_MS,
): Promise<T> {
  for (let n = 1; n <= 20; n++) {
    await prepare(n)
    const [before, began] = [await countedAlone(issuers), performance.now()]
    const result = await round(n)
    const tookMs = performance.now() - began
    if (tookMs < within && (await countedAlone(issuers)) === before) return result
  }
  throw new Error('the machine is too slow for this')
}

test('two issuers count together, in Redis', { skip: missingProduction, timeout: 300_000 }, async (t) => {
  const shared = { ...(await productionServers()), upstream: 'http://127.0.0.1:1', issuers: 2, sidecars: 0 }

  await t.test('requests', async (t) => {
    const { issuers } = await startDeployment(t, { ...shared, env: { ...TRUST, RATE_LIMITS: 'login=6/1m' } })
    const attempt = async (i: number, address: string) =>
      call(`${issuers[i % 2]!.url}/auth/login`, {
        json: { email: 'nobody@example.com', password: PASSWORD },
        headers: from(address),
      })
    const answers = await undisturbed(issuers, (n) =>
      Promise.all(Array.from({ length: 20 }, (_, i) => attempt(i, `192.0.2.${n}`))),
    )
    t.equal(answers.filter(({ status }) => status === 401).length, 6)
    t.equal(answers.filter(({ status }) => status === 429).length, 14)
    t.match(answers.find(({ status }) => status === 429)?.headers, {
      'ratelimit-policy': '"login";q=6;w=60',
      ratelimit: /^"login";r=0;t=\d+$/,
      'retry-after': /^\d+$/,
    })
    t.equal((await attempt(0, '198.51.100.1')).status, 401)
  })

  await t.test('wrong passwords', async (t) => {
    const { issuers } = await startDeployment(t, { ...shared, env: { ...TRUST, LOGIN_THROTTLE: 'on' } })
    let credentials: Credentials
    let network = ''
    const attempt = async (i: number, address: string, password: string) =>
      call(`${issuers[i % 2]!.url}/auth/login`, { json: { ...credentials, password }, headers: from(address) })
    const someone = async (n: number) => {
      credentials = await register(issuers[0]!.url)
      network = `192.0.2.${n}`
    }
    const storm = () => Promise.all(Array.from({ length: 20 }, (_, i) => attempt(i, network, 'wrong')))
    const answers = await undisturbed(issuers, storm, someone)
    t.equal(answers.filter(({ status }) => status === 401).length, 5)
    t.equal(answers.filter(({ status }) => status === 429).length, 15)
    t.equal((await attempt(0, '203.0.113.1', PASSWORD)).status, 200, 'the owner, elsewhere')

    const afterRightOne = async () => {
      await eventually(async () => (await attempt(1, network, PASSWORD)).status === 200)
      const statuses: number[] = []
      for (let i = 0; i < 5; i++) statuses.push((await attempt(i, network, 'wrong')).status)
      return statuses
    }
    const prepare = async (n: number) => {
      await someone(n)
      await storm()
    }
    // What Redis was not told in time it has not forgotten.
    const statuses = await undisturbed(issuers, afterRightOne, prepare, Number.POSITIVE_INFINITY)
    t.same(statuses, [401, 401, 401, 401, 401], 'forgotten by both')
  })

  await t.test('while Redis is away nobody is locked out by it, and guessing is still slowed down', async (t) => {
    const redis = await startRedis()
    t.teardown(() => redis.stop())
    const env = { ...TRUST, RATE_LIMITS: 'read=50/1m', LOGIN_THROTTLE: 'on' }
    const { issuers } = await startDeployment(t, { ...shared, redis: redis.url, issuers: 1, env })
    const { url } = issuers[0]!
    const credentials = await register(url)
    const { access_token: token } = await login(url, credentials)
    await redis.kill()
    const me = await call(`${url}/users/me`, { token })
    t.match(me, { status: 200, headers: { ratelimit: /^"read";r=49;/ } }, 'a profile needs no Redis')
    const guess = async () =>
      (await call(`${url}/auth/login`, { json: { ...credentials, password: 'wrong' }, headers: from('192.0.2.1') }))
        .status
    const statuses: number[] = []
    // Unless a guess takes longer than the wait that the one before it has brought.
    while (statuses.length < 5 || (statuses.at(-1) !== 429 && statuses.length < 10)) statuses.push(await guess())
    t.same(statuses.slice(0, 5), [401, 401, 401, 401, 401])
    t.equal(statuses.at(-1), 429)
    t.match((await call(`${url}/metrics`)).body.text, /shared_counts_failures_total [1-9]/)
  })
})
