import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Test, test } from 'tap'
import { startDemoService } from '../../bin/demo-service.ts'
import { ready, startRole } from '../helpers/deployment.ts'
import { freePort } from '../helpers/port.ts'
import { startNode } from '../helpers/process.ts'
import { temporaryFolder } from '../helpers/temporary-folder.ts'
import { missingChartTools } from '../servers/kubeconform.ts'
import { ciValues, prepareCharts, render } from './charts.ts'
import { objectOf, objectsOf } from './objects.ts'

// What `helm test` runs in a cluster, run here against a real sidecar with the routes of the chart.

const skip = await missingChartTools()

async function startExample(t: Test) {
  const folderOf = await prepareCharts()
  const file = ciValues('example').find((name) => name.endsWith('/minimal-values.yaml'))!
  const objects = objectsOf(await render(folderOf('example'), { files: [file] }))
  const folder = temporaryFolder(t)
  const ROUTES_FILE = join(folder, 'routes.yaml')
  writeFileSync(ROUTES_FILE, objectOf(objects, 'ConfigMap').data!['routes.yaml']!)
  const demo = await startDemoService('127.0.0.1', 0)
  t.teardown(() => demo.close())
  const FEED_TOKEN = 'a feed token that only the tests know'
  const issuer = await startRole(t, 'issuer', { ISSUER_PORT: '0', DATA_DIR: join(folder, 'issuer'), FEED_TOKEN })
  const sidecar = await startRole(t, 'sidecar', {
    ISSUER_URL: issuer.url,
    FEED_TOKEN,
    UPSTREAM: demo.url,
    ROUTES_FILE,
    SIDECAR_PORT: '0',
    SIDECAR_ADMIN_PORT: '0',
    DATA_DIR: join(folder, 'sidecar'),
  })
  await ready(sidecar.adminUrl)
  const { spec } = objectOf(objects, 'Pod')
  const script = join(folder, 'test.mjs')
  writeFileSync(script, spec.containers[0].args[0])
  return { demo, sidecar, script }
}

test('the test of the example passes before a sidecar, and fails without one or beside an open service', {
  skip,
}, async (t) => {
  const { demo, sidecar, script } = await startExample(t)
  const closed = `http://127.0.0.1:${await freePort()}`
  const rows = [
    {
      SERVICE_URL: sidecar.url,
      PODS_URL: sidecar.url,
      AROUND_URL: closed,
      code: 0,
      says: /ok: its service without the sidecar, at 127.0.0.1: closed/,
    },
    {
      SERVICE_URL: demo.url,
      PODS_URL: demo.url,
      AROUND_URL: closed,
      code: 1,
      says: /NOT OK: a path that needs a token: 200/,
    },
    {
      SERVICE_URL: sidecar.url,
      PODS_URL: sidecar.url,
      AROUND_URL: demo.url,
      code: 1,
      says: /NOT OK: its service without the sidecar, at 127.0.0.1: open/,
    },
  ]
  for (const { code, says, ...env } of rows) {
    const child = startNode(t, script, { env })
    t.equal((await child.waitForExit(90_000)).code, code, child.stdout())
    t.match(child.stdout(), says)
  }
})
