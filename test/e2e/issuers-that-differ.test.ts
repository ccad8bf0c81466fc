import { join } from 'node:path'
import { type Test, test } from 'tap'
import { startIssuer } from '../../issuer/main.ts'
import { LEEWAY_S } from '../../shared/clock.ts'
import { createLog } from '../../shared/log.ts'
import type { Revocation } from '../../shared/revocation.ts'
import { call, login, logout, register, statusThrough } from '../helpers/client.ts'
import { runCommand } from '../helpers/command-line.ts'
import { ready, startDeployment } from '../helpers/deployment.ts'
import { eventually } from '../helpers/eventually.ts'
import { missingProduction, productionServers } from '../helpers/production.ts'
import { startRecordingUpstream } from '../helpers/recording-upstream.ts'
import { type Place, placeOf } from '../helpers/stores.ts'
import { temporaryFolder } from '../helpers/temporary-folder.ts'

const [LONG, SHORT] = ['1h', '10s']
const LONG_S = 3600

/** Checks that what is on record for the token's session outlives the token, by every clock. */
async function outlives(t: Test, place: Place, token: string) {
  const { sid, iat, exp } = JSON.parse(Buffer.from(token.split('.')[1]!, 'base64url').toString())
  t.equal(exp - iat, LONG_S, 'a token of the longer lifetime')
  const live: Revocation[] = []
  for await (const batch of (await place.open()).ledger.live('test', 0)) live.push(...batch)
  const revocation = live.find((one) => one.kind === 'session' && one.sid === sid)
  t.ok(revocation, 'is revoked')
  t.ok(revocation!.exp >= exp + LEEWAY_S, `until it has expired: ${revocation!.exp - exp} s later`)
}

test('an embedded issuer that is restarted with a shorter lifetime revokes the tokens from before', async (t) => {
  const folder = join(temporaryFolder(t), 'data')
  const log = createLog('issuer', 'silent')
  const start = async (ACCESS_TOKEN_TTL: string) => {
    const env = { DATA_DIR: folder, ISSUER_PORT: '0', ISSUER_URL: 'http://issuer.example', ACCESS_TOKEN_TTL }
    const issuer = await startIssuer({ ...env, HASH_MEMORY_KIB: '7168', HASH_TIME: '5' }, { log })
    t.teardown(issuer.close)
    return issuer
  }
  const before = await start(LONG)
  const { access_token: token } = await login(before.url, await register(before.url))
  await before.close()
  const after = await start(SHORT)
  t.equal((await logout(after.url, token)).status, 200)
  const settings = { MONGO_URL: undefined, REDIS_URL: undefined, REDIS_PREFIX: '', DATA_DIR: folder }
  await outlives(t, placeOf(t, settings), token)
})

test('an issuer of a shorter lifetime revokes the tokens of the others', { skip: missingProduction }, async (t) => {
  const { mongo, redis } = await productionServers()
  const deployment = await startDeployment(t, { mongo, redis, upstream: '', issuers: 0, sidecars: 0 })
  const long = await deployment.startIssuer({ ACCESS_TOKEN_TTL: LONG })
  const short = await deployment.startIssuer({ ACCESS_TOKEN_TTL: SHORT })
  const credentials = await register(long.url)
  const [one, two] = [await login(long.url, credentials), await login(long.url, credentials)]
  const { MONGO_URL, REDIS_URL, REDIS_PREFIX } = deployment.env
  const place = placeOf(t, { MONGO_URL, REDIS_URL, REDIS_PREFIX: REDIS_PREFIX!, DATA_DIR: '/nonexistent' })
  t.equal((await logout(short.url, one.access_token)).status, 200)
  await outlives(t, place, one.access_token)

  await long.stop('SIGKILL')
  await short.stop()
  const later = await deployment.startIssuer({ ACCESS_TOKEN_TTL: SHORT })
  t.equal((await logout(later.url, two.access_token)).status, 200)
  await outlives(t, place, two.access_token)
})

test('a logout at an issuer without Kafka reaches the sidecars that have Kafka alone', {
  skip: missingProduction,
}, async (t) => {
  const upstream = await startRecordingUpstream(t)
  const servers = await productionServers()
  const deployment = await startDeployment(t, { ...servers, upstream: upstream.url, env: { FEED_TOKEN: '' } })
  const [issuer, sidecar] = [deployment.issuers[0]!, deployment.sidecars[0]!]
  const without = await deployment.startIssuer({ KAFKA_BROKERS: '' })
  await ready(without.url)
  const credentials = await register(issuer.url)
  const { access_token: token } = await login(issuer.url, credentials)
  t.equal(await statusThrough(sidecar.url, token), 200)
  t.match(await logout(without.url, token), { status: 202, body: { propagated: false } }, 'it cannot say more')
  await eventually(async () => (await statusThrough(sidecar.url, token)) === 401, {
    within: 60_000,
    message: 'refused',
  })
  // The other one marks it once the broker has it, so that a sidecar may know sooner.
  const isMarked = async () => {
    const { status, body } = await logout(without.url, token)
    return status === 200 && body.propagated
  }
  await eventually(isMarked, { message: 'the other one has marked it' })
  const { body } = await call<{ checks: { name: string; detail?: string }[] }>(`${without.url}/health`)
  t.match(body.checks.find(({ name }) => name === 'kafka')?.detail, /KAFKA_BROKERS/)
  t.match(
    without.log().find(({ msg }) => /KAFKA_BROKERS/.test(String(msg))),
    { level: 50 },
    'its log says what is wrong',
  )

  const { access_token: another } = await login(issuer.url, credentials)
  t.equal(await statusThrough(sidecar.url, another), 200)
  const command = { ...deployment.env, KAFKA_BROKERS: '' }
  t.match(await runCommand(t, command, 'users', 'logout', credentials.email), {
    code: 0,
    lines: [{ invalidated_tokens: 1, propagated: true }],
  })
  const refused = async () => (await statusThrough(sidecar.url, another)) === 401
  await eventually(refused, { within: 60_000, message: 'and so is what a command ends that does not know of Kafka' })
})
