import { setTimeout as sleep } from 'node:timers/promises'
import { test } from 'tap'
import { type Credentials, call, claimsOf, login, refresh, register, statusThrough } from '../helpers/client.ts'
import { kidOf, runCommand, superuserToken } from '../helpers/command-line.ts'
import { ready, startDeployment } from '../helpers/deployment.ts'
import { eventually } from '../helpers/eventually.ts'
import { missingProduction, productionServers } from '../helpers/production.ts'
import { startRecordingUpstream } from '../helpers/recording-upstream.ts'
import { temporaryFolder } from '../helpers/temporary-folder.ts'

// As short as they may be: a key is published for 17 s before it signs, and for 30 s after it has.
const TIMES = { JWKS_MAX_AGE: '1s', JWKS_REFRESH: '1s', ACCESS_TOKEN_TTL: '10s', KEY_ROTATION: '1s' }
const ROTATIONS = 2

test('rotation under continuous traffic: 2 issuers, 2 sidecars, and no request is lost', {
  skip: missingProduction,
  timeout: 300_000,
}, async (t) => {
  const upstream = await startRecordingUpstream(t)
  const { issuers, sidecars } = await startDeployment(t, {
    ...(await productionServers()),
    upstream: upstream.url,
    issuers: 2,
    sidecars: 2,
    env: { ...TIMES, DATA_DIR: temporaryFolder(t) },
  })
  const bad: unknown[] = []
  const kids = new Map<string, number>()
  const counts = { requests: 0, tokens: 0 }
  let ending = false

  /** One client: its token goes through both sidecars until it expires, then it refreshes, at either issuer. */
  const client = async (credentials: Credentials, n: number) => {
    let { access_token: token, refresh_token: refreshToken } = await login(issuers[n % 2]!.url, credentials)
    for (let turn = n; !ending; turn++) {
      kids.set(kidOf(token), (kids.get(kidOf(token)) ?? 0) + 1)
      counts.tokens++
      while (!ending && claimsOf(token).exp * 1000 - Date.now() > 500) {
        const answers = await Promise.all(sidecars.map(({ url }) => call(`${url}/`, { token })))
        counts.requests += answers.length
        for (const { status, body } of answers) if (status !== 200) bad.push({ status, body, kid: kidOf(token) })
        await sleep(25)
      }
      const answer = await refresh(issuers[turn % 2]!.url, refreshToken)
      if (answer.status !== 200) bad.push({ refresh: answer.status, body: answer.body })
      else ({ access_token: token, refresh_token: refreshToken } = answer.body)
    }
  }
  const credentials = await register(issuers[0]!.url)
  const clients = Array.from({ length: 4 }, (_, n) => client(credentials, n))
  const deadline = Date.now() + 240_000
  // The last key is to have signed for a while when it ends.
  while ([...kids.values()].filter((tokens) => tokens >= 4).length <= ROTATIONS && Date.now() < deadline)
    await sleep(100)
  ending = true
  await Promise.all(clients)
  t.same(bad, [], 'every request was served')
  t.ok(kids.size > ROTATIONS, `${kids.size} keys signed`)
  t.ok(counts.requests > 1000)
  t.comment(`measured: ${counts.requests} requests and ${counts.tokens} tokens over ${kids.size} keys`)
  const metrics = await Promise.all(issuers.map(async ({ url }) => String((await call(`${url}/metrics`)).body.text)))
  const rotations = metrics.map((text) => Number(/^signing_key_rotations_total (\d+)/m.exec(text)?.[1] ?? 0))
  t.ok(rotations[0]! + rotations[1]! >= ROTATIONS, `rotations by issuer: ${rotations}`)
  t.match(metrics[0], /^signing_keys\{state="current"\} 1$/m)
  t.match(metrics[0], /^signing_key_age_seconds \d/m)
})

test('commanded, through the interface and on the command line: every issuer notices, none is restarted', {
  skip: missingProduction,
}, async (t) => {
  const upstream = await startRecordingUpstream(t)
  const { issuers, startSidecar, env } = await startDeployment(t, {
    ...(await productionServers()),
    upstream: upstream.url,
    issuers: 2,
    sidecars: 0,
  })
  // The key that stands by is made after the start; what a sidecar is to know at once it has to find there.
  const published = async () =>
    (await call<{ keys: unknown[] }>(`${issuers[0]!.url}/.well-known/jwks.json`)).body.keys.length
  await eventually(async () => (await published()) === 2, { within: 60_000, message: 'a key stands by' })
  const sidecar = await startSidecar()
  await ready(sidecar.adminUrl)
  const token = await superuserToken(t, env, issuers[0]!.url)
  const credentials = await register(issuers[0]!.url)
  const kidAt = async (issuer: number) => kidOf((await login(issuers[issuer]!.url, credentials)).access_token)
  const first = await kidAt(0)

  const scheduled = await call<{ kid: string; effective_at: string }>(`${issuers[0]!.url}/admin/keys/rotate`, {
    json: {},
    token,
  })
  t.equal(scheduled.status, 202)
  const waitS = (Date.parse(scheduled.body.effective_at) - Date.now()) / 1000
  t.ok(waitS > 500 && waitS < 620, `in ${Math.round(waitS)} s: twice the age of a cached key set, and a little`)
  t.equal(await kidAt(1), first)

  const listed = await runCommand(t, env, 'keys', 'list')
  t.match(listed.lines, [
    { kid: first, state: 'current' },
    { kid: scheduled.body.kid, state: 'next' },
  ])

  const began = Date.now()
  const now = await runCommand(t, env, 'keys', 'rotate', '--now')
  t.match(now, { code: 0, lines: [{ kid: scheduled.body.kid }] })
  for (const issuer of [0, 1]) {
    while ((await kidAt(issuer)) === first) if (Date.now() - began > 60_000) throw new Error('not noticed')
  }
  t.comment(`measured: both issuers sign with the new key ${Date.now() - began} ms after the command began`)
  t.equal(await kidAt(0), scheduled.body.kid)
  const { access_token: after } = await login(issuers[1]!.url, credentials)
  t.equal(await statusThrough(sidecar.url, after), 200)
  t.equal(await statusThrough(sidecar.url, token), 200, 'what was signed before holds')

  const unknown = await runCommand(t, env, 'keys', 'revoke', 'nobody')
  t.match(unknown, { code: 1, stderr: /there is no such key/ })
  t.match(await runCommand(t, { ...env, MASTER_KEY: 'another master key that is long enough' }, 'keys', 'rotate'), {
    code: 1,
    stderr: /MASTER_KEY/,
  })
})
