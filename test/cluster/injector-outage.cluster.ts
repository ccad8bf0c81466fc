import { connect } from 'node:tls'
import { after, test } from 'tap'
import { prepareCharts } from '../charts/charts.ts'
import { eventually } from '../helpers/eventually.ts'
import { createAuthority } from '../servers/certificates.ts'
import { missingCluster } from '../servers/cluster-programs.ts'
import { admitted, deploymentOf, failureOf, hasSidecar, podOf, port, rolledOut } from './pods.ts'
import { openCluster } from './test-cluster.ts'
import { createWebhook } from './webhook.ts'

// What becomes of Pods while the injector's certificate changes, while none runs, and while one hangs.

const skip = await missingCluster()
const folderOf = skip ? undefined : await prepareCharts()
const cluster = skip ? undefined : await openCluster()
after(() => cluster?.stop())
const webhook = cluster && (await createWebhook(cluster, folderOf!('injector')))
await cluster?.namespace('shop', { 'sallyport/inject': 'true' })
await cluster?.namespace('plain')
await webhook?.deploy()
await webhook?.inForce('shop', hasSidecar)

/** The certificate that is shown to whoever calls. */
function shownCertificate(): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port: webhook!.port, host: '127.0.0.1', ca: cluster!.authority.ca }, () => {
      resolve(socket.getPeerX509Certificate()!.fingerprint256)
      socket.destroy()
    })
    socket.once('error', reject)
  })
}

test('a renewed certificate is taken up while it runs; one of another authority is not trusted', {
  skip,
}, async (t) => {
  const { pid } = webhook!.process()
  const first = await shownCertificate()
  webhook!.certify(await cluster!.authority.issue('renewed'))
  await eventually(async () => (await shownCertificate()) !== first, { within: 60_000, message: 'the renewed one' })
  await rolledOut(t, cluster!, 'shop', deploymentOf('renewed', port(3000)))
  t.equal(webhook!.process().pid, pid)
  t.notOk(webhook!.process().stdout().includes('"level":"error"'))

  const other = await createAuthority(cluster!.folder, 'other-authority')
  webhook!.certify(await other.issue('untrusted'))
  await eventually(async () => (await shownCertificate().catch(() => 'untrusted')) === 'untrusted', {
    within: 60_000,
    message: 'the other one',
  })
  // A connection that is open stays in use: with the process, connections end.
  await webhook!.stop()
  await webhook!.start()
  const { said } = await admitted(cluster!, 'shop', podOf('untrusted', port(3000)), '--dry-run=server')
  t.match(said, /failed calling webhook .*certificate signed by unknown authority/s)
  webhook!.certify(await cluster!.authority.issue('trusted'))
  await webhook!.inForce('shop', hasSidecar)
})

test('failurePolicy Fail: while no injector runs there are no Pods, and others are not concerned', {
  skip,
}, async (t) => {
  await webhook!.stop()
  await cluster!.apply([deploymentOf('down', port(3000))], '-n', 'shop')
  const said = await failureOf(cluster!, 'shop', 'down')
  t.match(said, /failed calling webhook "namespaces\.injector\.sallyport".*connection refused/s)
  t.same(await cluster!.list('pods', 'shop', '-l', 'app=down'), [])
  await rolledOut(t, cluster!, 'plain', deploymentOf('elsewhere'))
  await webhook!.start()
  await cluster!.ask(['rollout', 'status', 'deployment/down', '-n', 'shop', '--timeout=120s'])
  const pods = await cluster!.list('pods', 'shop', '-l', 'app=down')
  t.ok(pods.length === 2 && pods.every(hasSidecar), 'when it is back, they come with the sidecar')
})

test('an injector that hangs is waited for as long as the chart says', { skip }, async (t) => {
  await webhook!.deploy(['webhook.timeoutSeconds=1'])
  await webhook!.inForce('shop', hasSidecar)
  await webhook!.process().kill('SIGSTOP')
  t.teardown(() => webhook!.process().kill('SIGCONT'))
  const { said } = await admitted(cluster!, 'shop', podOf('hanging', port(3000)), '--dry-run=server')
  t.match(said, /failed calling webhook.*timeout=1s.*(deadline exceeded|Timeout exceeded)/s)
})

test('failurePolicy Ignore: while no injector runs Pods start without a sidecar, and without its label', {
  skip,
}, async (t) => {
  await webhook!.deploy(['webhook.failurePolicy=Ignore'])
  await webhook!.inForce('shop', hasSidecar)
  await webhook!.stop()
  const pods = await rolledOut(t, cluster!, 'shop', deploymentOf('ignored', port(3000)))
  t.equal(pods.length, 2)
  for (const pod of pods) {
    t.notOk(hasSidecar(pod))
    t.equal(pod.metadata.labels?.['sallyport/injected'], undefined, 'a NetworkPolicy for injected Pods passes it by')
  }
})
