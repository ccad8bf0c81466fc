import { existsSync } from 'node:fs'
import { get } from 'node:https'
import { join } from 'node:path'
import { test } from 'tap'
import { eventually } from '../helpers/eventually.ts'
import { isRunning, startNode } from '../helpers/process.ts'
import { createAuthority } from '../servers/certificates.ts'
import { missingCluster } from '../servers/cluster-programs.ts'
import { run } from '../servers/command.ts'
import { openCluster } from './test-cluster.ts'

// The cluster of the other tests itself: what they show is worth as much as it is one.

const skip = await missingCluster()

test('it knows who asks, and lets them do what they may', { skip }, async (t) => {
  const cluster = await openCluster()
  t.teardown(cluster.stop)
  const status = (path: string, tls: { ca: string; cert?: string; key?: string; token?: string }) =>
    new Promise<number | string>((resolve) => {
      const { token, ...rest } = tls
      const headers = token ? { authorization: `Bearer ${token}` } : {}
      get(`${cluster.url}${path}`, { ...rest, headers, agent: false }, (response) => {
        response.resume()
        resolve(response.statusCode!)
      }).once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message))
    })
  const { ca } = cluster.authority
  const namespaces = '/api/v1/namespaces'
  const other = await createAuthority(cluster.folder, 'other')
  const admin = await cluster.authority.issue('somebody', 'system:masters')
  const nobody = await cluster.authority.issue('nobody')
  t.equal(await status(namespaces, { ca, ...pem(admin) }), 200)
  t.equal(await status(namespaces, { ca, ...pem(nobody) }), 403, 'by its certificate, without a right')
  t.equal(await status(namespaces, { ca }), 403, 'anonymous')
  t.equal(await status(namespaces, { ca, ...pem(await other.issue('intruder', 'system:masters')) }), 401)
  t.match(await status(namespaces, { ca: other.ca, ...pem(admin) }), /UNABLE_TO_VERIFY|SELF_SIGNED/)

  await cluster.ask(['create', 'serviceaccount', 'reader'])
  const token = (await cluster.ask(['create', 'token', 'reader'])).trim()
  const pods = '/api/v1/namespaces/default/pods'
  t.equal(await status(pods, { ca, token }), 403)
  await cluster.ask(['create', 'role', 'reader', '--verb=list', '--resource=pods'])
  await cluster.ask(['create', 'rolebinding', 'reader', '--role=reader', '--serviceaccount=default:reader'])
  await eventually(async () => (await status(pods, { ca, token })) === 200, { within: 30_000, message: 'the right' })
  const { gitVersion } = JSON.parse(await cluster.ask(['version', '-o', 'json'])).serverVersion
  t.comment(`measured: Kubernetes ${gitVersion}`)
})

const pem = ({ cert, key }: { cert: string; key: string }) => ({ cert, key })

test('all of it ends with the process of the test, however that ends', { skip }, async (t) => {
  const script = `
    import { startCluster } from '${import.meta.resolve('../servers/cluster.ts')}'
    const { folder } = await startCluster()
    console.log('folder ' + folder)
    setInterval(() => {}, 1000)`
  const { SALLYPORT_TEST_CACHE, TEST_KUBERNETES_PROGRAMS, TEST_KUBERNETES_VERSION } = process.env
  const env = { SALLYPORT_TEST_CACHE, TEST_KUBERNETES_PROGRAMS, TEST_KUBERNETES_VERSION }
  const child = startNode(t, join(t.testdir({ 'start.mjs': script }), 'start.mjs'), { env })
  const [, folder = ''] = await child.waitForLine(/^folder (.*)$/, 120_000)
  const names = (await run('ps', ['-o', 'pid=,comm=', '--ppid', String(child.pid)])).trim().split('\n')
  const programs = names.filter((line) => /etcd|kube-|kwok/.test(line)).map((line) => Number.parseInt(line, 10))
  t.equal(programs.length, 5, names.join())
  await child.kill('SIGKILL')
  await eventually(() => !programs.some(isRunning), { within: 30_000, message: 'the end of all five' })
  await eventually(() => !existsSync(folder), { within: 30_000, message: 'the end of their folder' })
})
