import { test } from 'tap'
import { refresh } from '../helpers/client.ts'
import { ready, startDeployment } from '../helpers/deployment.ts'
import { freePort } from '../helpers/port.ts'
import { missingProduction, productionServers } from '../helpers/production.ts'
import { startRecordingUpstream } from '../helpers/recording-upstream.ts'
import { checkAllOver, followProcedure, liveOn } from '../helpers/restored.ts'
import { type Copy, openCopies } from '../helpers/store-copies.ts'

test('old copies of MongoDB and Redis bring sessions back, and the procedure ends them', {
  skip: missingProduction,
  timeout: 300_000,
}, async (t) => {
  const upstream = await startRecordingUpstream(t)
  const { issuers, sidecars, env, startIssuer } = await startDeployment(t, {
    ...(await productionServers()),
    upstream: upstream.url,
    // The issuers come one after the other on the same port, which nobody else may take meanwhile.
    env: { ISSUER_PORT: String(await freePort()) },
  })
  const copies = await openCopies(t, env)
  let old: Copy | undefined
  const was = await liveOn(t, env, issuers[0]!.url, async () => {
    old = await copies.take()
  })
  await issuers[0]!.stop()
  const atTheEnd = await copies.take()

  await copies.restoreMongo(old!)
  await copies.restoreRedis(old!)
  const careless = await startIssuer()
  await ready(careless.url)
  for (const { refresh_token } of was.ended)
    t.equal((await refresh(careless.url, refresh_token)).status, 200, 'it is back')
  await careless.stop()

  // The worst of both: the sessions of the copy, and those since, some of epochs that the copy has not come to.
  await copies.restoreMongo(old!)
  await copies.restoreRedis(old!, atTheEnd)
  await followProcedure(t, env, was.compromised)
  await checkAllOver(t, await startIssuer(), sidecars[0]!, was)
})
