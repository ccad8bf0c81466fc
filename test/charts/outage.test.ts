import { join } from 'node:path'
import { test } from 'tap'
import { call } from '../helpers/client.ts'
import { startRole } from '../helpers/deployment.ts'
import { eventually } from '../helpers/eventually.ts'
import { freePort } from '../helpers/port.ts'
import { temporaryFolder } from '../helpers/temporary-folder.ts'
import { missingChartTools } from '../servers/kubeconform.ts'
import { ciValues, prepareCharts, render } from './charts.ts'
import { objectOf, objectsOf } from './objects.ts'

// A Pod that starts while issuer and Kafka are away: what the chart's probes say of a real sidecar.

const skip = await missingChartTools()
const folderOf = skip ? undefined : await prepareCharts()

for (const { whenStale, startup } of [
  { whenStale: 'serve', startup: 503 },
  { whenStale: 'unready', startup: 200 },
]) {
  test(`${whenStale}: it waits for them, and is ready as soon as they are there`, { skip }, async (t) => {
    const files = ciValues('example').filter((file) => file.endsWith('/minimal-values.yaml'))
    const args = ['--set', `sidecar.whenStale=${whenStale}`]
    const { spec } = objectOf(objectsOf(await render(folderOf!('example'), { files, args })), 'Deployment').spec
      .template
    const { startupProbe, livenessProbe, readinessProbe } = spec.initContainers[0]
    const [folder, port, nobody] = [temporaryFolder(t), await freePort(), await freePort()]
    const FEED_TOKEN = 'a feed token that only the tests know'
    const sidecar = await startRole(t, 'sidecar', {
      ISSUER_URL: `http://127.0.0.1:${port}`,
      KAFKA_BROKERS: `127.0.0.1:${nobody}`,
      FEED_FALLBACK_AFTER: '1s',
      FEED_TOKEN,
      UPSTREAM: `http://127.0.0.1:${nobody}`,
      SIDECAR_PORT: '0',
      SIDECAR_ADMIN_PORT: '0',
      DATA_DIR: join(folder, 'sidecar'),
    })
    const ask = async ({ httpGet }: { httpGet: { path: string } }) =>
      (await call(`${sidecar.adminUrl}${httpGet.path}`)).status
    t.equal(await ask(startupProbe), startup)
    t.equal(await ask(livenessProbe), 200, 'what kills it once it has started')
    await startRole(t, 'issuer', { ISSUER_PORT: String(port), DATA_DIR: join(folder, 'issuer'), FEED_TOKEN })
    await eventually(async () => (await ask(startupProbe)) === 200 && (await ask(readinessProbe)) === 200, {
      within: 60_000,
      message: 'that it is ready',
    })
    t.ok(process.kill(sidecar.pid, 0), 'the same process')
  })
}
