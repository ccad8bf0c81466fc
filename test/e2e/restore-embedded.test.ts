import { cpSync, mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { test } from 'tap'
import { refresh } from '../helpers/client.ts'
import { ready, startRole } from '../helpers/deployment.ts'
import { freePort } from '../helpers/port.ts'
import { startRecordingUpstream } from '../helpers/recording-upstream.ts'
import { checkAllOver, type Env, followProcedure, liveOn } from '../helpers/restored.ts'
import { temporaryFolder } from '../helpers/temporary-folder.ts'

test('an old copy of the file brings sessions back, and the procedure ends them', {
  timeout: 300_000,
}, async (t) => {
  const upstream = await startRecordingUpstream(t)
  const folder = temporaryFolder(t)
  const [data, backup, unsafe] = ['data', 'backup', 'unsafe'].map((name) => join(folder, name)) as [
    string,
    string,
    string,
  ]
  const common = { FEED_TOKEN: 'a feed token that only the tests know', HASH_MEMORY_KIB: '7168', HASH_TIME: '5' }
  // The port to come back on, which nobody else may take meanwhile.
  const env: Env = { ...common, RATE_LIMITS: 'off', DATA_DIR: data, ISSUER_PORT: String(await freePort()) }
  const first = await startRole(t, 'issuer', env)
  const sidecar = await startRole(t, 'sidecar', {
    FEED_TOKEN: common.FEED_TOKEN,
    ISSUER_URL: first.url,
    UPSTREAM: upstream.url,
    SIDECAR_PORT: '0',
    SIDECAR_ADMIN_PORT: '0',
    DATA_DIR: join(folder, 'sidecar'),
  })
  await ready(sidecar.adminUrl)
  const was = await liveOn(t, env, first.url, async () => {
    mkdirSync(backup)
    const file = new DatabaseSync(join(data, 'sallyport.db'))
    file.exec(`VACUUM INTO '${join(backup, 'sallyport.db')}'`)
    file.close()
    cpSync(join(data, 'master.key'), join(backup, 'master.key'))
  })
  await first.stop()
  const restore = (to: string) => {
    rmSync(to, { recursive: true, force: true })
    cpSync(backup, to, { recursive: true })
  }

  restore(unsafe)
  const careless = await startRole(t, 'issuer', { ...env, DATA_DIR: unsafe, ISSUER_PORT: '0' })
  for (const { refresh_token } of was.ended)
    t.equal((await refresh(careless.url, refresh_token)).status, 200, 'it is back')
  await careless.stop()

  restore(data)
  await followProcedure(t, env, was.compromised)
  await checkAllOver(t, await startRole(t, 'issuer', env), sidecar, was)
})
