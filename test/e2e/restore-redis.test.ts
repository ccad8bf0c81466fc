import { test } from 'tap'
import { refresh } from '../helpers/client.ts'
import { startDeployment } from '../helpers/deployment.ts'
import { missingProduction, productionServers } from '../helpers/production.ts'
import { startRecordingUpstream } from '../helpers/recording-upstream.ts'
import { liveOn } from '../helpers/restored.ts'
import { type Copy, openCopies } from '../helpers/store-copies.ts'

test('an old copy of Redis alone brings no ended session back, but lets used refresh tokens pass', {
  skip: missingProduction,
  timeout: 300_000,
}, async (t) => {
  const upstream = await startRecordingUpstream(t)
  const { issuers, env } = await startDeployment(t, {
    ...(await productionServers()),
    upstream: upstream.url,
    sidecars: 0,
  })
  const copies = await openCopies(t, env)
  let old: Copy | undefined
  const was = await liveOn(t, env, issuers[0]!.url, async () => {
    old = await copies.take()
  })
  await copies.restoreRedis(old!)
  for (const { refresh_token } of was.ended) t.equal((await refresh(issuers[0]!.url, refresh_token)).status, 401)
  const used = was.sessions[1]!
  t.equal((await refresh(issuers[0]!.url, used.refresh_token)).status, 200, 'the reason not to restore it')
})
