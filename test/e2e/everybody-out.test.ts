import { test } from 'tap'
import { call, login, logout, refresh, register, statusThrough } from '../helpers/client.ts'
import { kidOf, runCommand } from '../helpers/command-line.ts'
import { startDeployment } from '../helpers/deployment.ts'
import { eventually } from '../helpers/eventually.ts'
import { missingProduction, productionServers } from '../helpers/production.ts'
import { startRecordingUpstream } from '../helpers/recording-upstream.ts'

test('sallyport sessions end --all logs everybody out, everywhere', {
  skip: missingProduction,
  timeout: 90_000,
}, async (t) => {
  const upstream = await startRecordingUpstream(t)
  const { issuers, sidecars, env } = await startDeployment(t, {
    ...(await productionServers()),
    upstream: upstream.url,
    issuers: 2,
    sidecars: 2,
  })
  const [first, second] = [issuers[0]!.url, issuers[1]!.url]
  const people = await Promise.all([register(first), register(second), register(first)])
  const before = await Promise.all([...people, people[0]!].map((person, n) => login(n % 2 ? first : second, person)))
  const service = await runCommand(t, env, 'clients', 'create', 'nightly report')
  const { client_id, client_secret } = service.lines[0]
  const clientToken = async () => {
    const json = { grant_type: 'client_credentials', client_id, client_secret }
    return (await call<{ access_token: string }>(`${second}/auth/token`, { json })).body.access_token
  }
  const ofService = await clientToken()
  for (const token of [...before.map(({ access_token }) => access_token), ofService]) {
    for (const { url } of sidecars) t.equal(await statusThrough(url, token), 200, 'served before')
  }
  // A key that was rotated away has signed tokens that are valid still.
  t.match(await runCommand(t, env, 'keys', 'rotate', '--now'), { code: 0 })
  const later = await eventually(async () => {
    const answer = await login(first, people[1]!)
    return kidOf(answer.access_token) !== kidOf(before[0]!.access_token) && answer
  })
  await eventually(async () => (await statusThrough(sidecars[0]!.url, later.access_token)) === 200, { within: 10_000 })

  t.match(await runCommand(t, env, 'sessions', 'end'), { code: 1, stderr: /--all/ }, 'not by mistake')
  const ended = await runCommand(t, env, 'sessions', 'end', '--all')
  t.match(ended, { code: 0, lines: [{ users: people.length, propagated: true, complete: true }] }, ended.stderr)
  t.equal(ended.lines[0].revoked_keys.length, 2)
  const audited = ended.stderr.split('\n').filter((line) => line.includes('everyone_logged_out'))
  t.match(JSON.parse(audited[0]!), { audit: true, users: people.length, keys: 2, by: 'command line' })

  for (const { access_token, refresh_token } of [...before, later]) {
    for (const { url } of sidecars) {
      await eventually(async () => (await statusThrough(url, access_token)) === 401, { within: 10_000 })
    }
    for (const { url } of issuers) t.equal((await refresh(url, refresh_token)).status, 401)
  }
  for (const { url } of sidecars) t.equal(await statusThrough(url, ofService), 401, 'the tokens of services as well')

  // Everything goes on with who comes again.
  const served = async (token: string) => {
    for (const { url } of sidecars) {
      await eventually(async () => (await statusThrough(url, token)) === 200, { within: 15_000 })
    }
  }
  const again = await login(second, people[0]!)
  t.notOk(ended.lines[0].revoked_keys.includes(kidOf(again.access_token)), 'no issuer signs with what was revoked')
  await served(again.access_token)
  await served(await clientToken())
  t.equal((await refresh(first, again.refresh_token)).status, 200)
  t.match(await logout(first, again.access_token, { all: true }), { status: 200, body: { propagated: true } })
})
