import { copyFileSync, readFileSync, writeFileSync } from 'node:fs'
import { Agent, request as httpsRequest } from 'node:https'
import { join } from 'node:path'
import { connect } from 'node:tls'
import { fileURLToPath } from 'node:url'
import { type Test, test } from 'tap'
import { createLog } from '../../../shared/log.ts'
import { startInjector } from '../../../sidecar/injector/main.ts'
import { call } from '../../helpers/client.ts'
import { eventually } from '../../helpers/eventually.ts'
import { readMetrics } from '../../helpers/metrics.ts'
import { startNode } from '../../helpers/process.ts'
import { temporaryFolder } from '../../helpers/temporary-folder.ts'
import { type Authority, createAuthority } from '../../servers/certificates.ts'
import { onPath } from '../../servers/command.ts'
import { patched, podOf, reviewOf, TEMPLATE } from './reviews.ts'

const PROGRAM = fileURLToPath(new URL('../../../bin/sallyport.ts', import.meta.url))
const METRICS = readFileSync(fileURLToPath(new URL('../../../docs/metrics.md', import.meta.url)), 'utf8')
const skip = onPath('openssl') === undefined && 'there is no openssl'
const log = createLog('test', 'silent')

interface Setup {
  authority: Authority
  folder: string
  env: Record<string, string>
}

async function setUp(t: Test, template: unknown = TEMPLATE): Promise<Setup> {
  const folder = temporaryFolder(t)
  const authority = await createAuthority(folder)
  const { certFile, keyFile } = await authority.issue('injector')
  const templateFile = join(folder, 'template.yaml')
  writeFileSync(templateFile, JSON.stringify(template))
  const env = {
    INJECTOR_PORT: '0',
    INJECTOR_ADMIN_PORT: '0',
    INJECTOR_TLS_CERT_FILE: certFile,
    INJECTOR_TLS_KEY_FILE: keyFile,
    INJECTOR_TEMPLATE_FILE: templateFile,
  }
  return { authority, folder, env }
}

async function start(t: Test, { env }: Setup, more: Record<string, string> = {}) {
  const injector = await startInjector({ ...env, ...more }, { log })
  t.teardown(injector.close)
  return injector
}

interface Answer {
  status: number
  body: {
    apiVersion?: string
    kind?: string
    error?: string
    response?: {
      uid: string
      allowed: boolean
      patch?: string
      patchType?: string
      warnings?: string[]
      status?: object
    }
  }
}

interface AskOptions {
  ca?: string
  cert?: string
  key?: string
  agent?: Agent
  path?: string
  type?: string
}

/** @param body sent as it is if it is a text */
function ask(
  url: string,
  body: unknown,
  { path = '/mutate', type = 'application/json', ...tls }: AskOptions,
): Promise<Answer> {
  const { port } = new URL(url)
  return new Promise((resolve, reject) => {
    const options = {
      port,
      host: '127.0.0.1',
      servername: 'localhost',
      path,
      method: 'POST',
      agent: false as const,
      ...tls,
    }
    const request = httpsRequest({ ...options, headers: { 'content-type': type } }, (response) => {
      let text = ''
      response.setEncoding('utf8').on('data', (chunk) => {
        text += chunk
      })
      response.on('end', () => resolve({ status: response.statusCode!, body: JSON.parse(text) }))
    })
    request.on('error', reject)
    request.end(typeof body === 'string' ? body : JSON.stringify(body))
  })
}

test('over TLS: the sidecar is added, and added once', { skip }, async (t) => {
  const setup = await setUp(t)
  const { url, adminUrl } = await start(t, setup)
  t.match(url, /^https:/)
  const { ca } = setup.authority
  const pod = podOf()
  const first = await ask(url, reviewOf(pod), { ca })
  t.match(first, {
    status: 200,
    body: {
      apiVersion: 'admission.k8s.io/v1',
      kind: 'AdmissionReview',
      response: { uid: reviewOf(pod).request.uid, allowed: true, patchType: 'JSONPatch' },
    },
  })
  const patch = JSON.parse(Buffer.from(first.body.response!.patch!, 'base64').toString())
  const after = patched(pod, patch)
  t.match(after, { spec: { initContainers: [{ name: 'sallyport', restartPolicy: 'Always' }] } })
  const second = await ask(url, reviewOf(after), { ca })
  t.strictSame(second.body.response, { uid: reviewOf(pod).request.uid, allowed: true })
  t.match(first.body.response?.warnings, [/^sallyport: container orders: port 3000 is declared/])

  const dry = await ask(url, reviewOf(pod, { dryRun: true }), { ca })
  t.strictSame(dry.body, first.body, 'a dry run is answered as if it were none')
  t.match(await ask(url, reviewOf(podOf({ hostNetwork: true })), { ca }), {
    status: 200,
    body: { response: { allowed: false, status: { code: 403, message: /^sallyport: hostNetwork/ } } },
  })
  t.match(await ask(url, { ...reviewOf(pod), apiVersion: 'admission.k8s.io/v1beta1' }, { ca }), {
    status: 200,
    body: { response: { allowed: false, status: { code: 400 } } },
  })
  const metrics = String((await call(`${adminUrl}/metrics`)).body.text)
  for (const [labels, count] of [
    ['outcome="injected",dry_run="false"', 1],
    ['outcome="injected",dry_run="true"', 1],
    ['outcome="present",dry_run="false"', 1],
    ['outcome="refused",dry_run="false"', 1],
    ['outcome="invalid",dry_run="false"', 1],
  ]) {
    t.match(metrics, `injector_reviews_total{${labels}} ${count}`)
  }
  t.match(metrics, 'injector_exposed_total 1', 'dry runs are not counted')
})

test('what is no AdmissionReview, or too large, is refused by status', { skip }, async (t) => {
  const setup = await setUp(t)
  const { url } = await start(t, setup)
  const { ca } = setup.authority
  for (const body of ['', '{', '[]', 'null', '{"request":{"uid":7}}', '['.repeat(1_000_000)]) {
    t.equal((await ask(url, body, { ca })).status, 400, body.slice(0, 30))
  }
  t.match(await ask(url, '{', { ca }), { body: { error: 'the body is not JSON' } })
  t.equal((await ask(url, reviewOf(podOf()), { ca, type: 'text/plain' })).status, 415)
  t.equal((await ask(url, reviewOf(podOf()), { ca, path: '/' })).status, 404)
  const filled = (bytes: number) => {
    const empty = JSON.stringify(reviewOf(podOf({}, { annotations: { a: '' } })))
    return JSON.stringify(reviewOf(podOf({}, { annotations: { a: 'x'.repeat(bytes - empty.length) } })))
  }
  // An API server writes `<` as six characters, so its review of an object of 3 MiB can have six times as many.
  const most = 20 * 1024 * 1024
  t.match(await ask(url, filled(most), { ca }), { status: 200, body: { response: { allowed: true } } })
  t.match(await ask(url, filled(most + 1), { ca }), { status: 200, body: { response: { allowed: false } } })
  const values = JSON.stringify(
    reviewOf({ metadata: {}, spec: { containers: Array.from({ length: 150_001 }, () => ({})) } }),
  )
  t.match(
    await ask(url, values, { ca }),
    { status: 200, body: { response: { allowed: false } } },
    'small, and too much once it is parsed',
  )
  const poisoned = JSON.stringify(reviewOf(podOf())).replace('"labels":{', '"labels":{"__proto__":{"a":"b"},')
  t.match(await ask(url, poisoned, { ca }), { status: 200, body: { response: { allowed: false } } })
})

test('an API server has to show its certificate where that is asked for', { skip }, async (t) => {
  const setup = await setUp(t)
  const { ca } = setup.authority
  const servers = await createAuthority(setup.folder, 'api-server')
  const [known, stranger] = [await servers.issue('known'), await setup.authority.issue('stranger')]
  const { url } = await start(t, setup, { INJECTOR_TLS_CLIENT_CA_FILE: servers.caFile })
  t.equal((await ask(url, reviewOf(podOf()), { ca, cert: known.cert, key: known.key })).status, 200)
  await t.rejects(ask(url, reviewOf(podOf()), { ca }))
  await t.rejects(ask(url, reviewOf(podOf()), { ca, cert: stranger.cert, key: stranger.key }))
})

test('a renewed certificate is taken up', { skip }, async (t) => {
  const setup = await setUp(t)
  const { url } = await start(t, setup)
  const { ca } = setup.authority
  const serial = () =>
    new Promise<string>((resolve, reject) => {
      const socket = connect(
        { port: Number(new URL(url).port), host: '127.0.0.1', ca, servername: 'localhost' },
        () => {
          resolve(socket.getPeerCertificate().serialNumber)
          socket.destroy()
        },
      )
      socket.once('error', reject)
    })
  const first = await serial()
  const renewed = await setup.authority.issue('renewed')
  copyFileSync(renewed.keyFile, setup.env.INJECTOR_TLS_KEY_FILE!)
  copyFileSync(renewed.certFile, setup.env.INJECTOR_TLS_CERT_FILE!)
  await eventually(async () => (await serial()) !== first, { within: 60_000, every: 200 })
  t.equal((await ask(url, reviewOf(podOf()), { ca })).status, 200)
})

test('while it drains it is not ready, and still answers', { skip }, async (t) => {
  const setup = await setUp(t)
  const injector = await start(t, setup, { DRAIN_DELAY: '6s' })
  t.equal((await call(`${injector.adminUrl}/readyz`)).status, 200)
  t.equal((await call(`${injector.adminUrl}/livez`)).status, 200)
  const agent = new Agent({ keepAlive: true })
  t.teardown(() => agent.destroy())
  const { ca } = setup.authority
  await ask(injector.url, reviewOf(podOf()), { ca, agent })
  const closed = injector.close()
  t.equal((await call(`${injector.adminUrl}/readyz`)).status, 503)
  t.equal((await ask(injector.url, reviewOf(podOf()), { ca, agent })).status, 200)
  await closed
  await t.rejects(ask(injector.url, reviewOf(podOf()), { ca }), { code: 'ECONNREFUSED' })
})

test('what is wrong with the template is said at the start, all at once', { skip }, async (t) => {
  const env = (...more: object[]) => ({
    container: { ...TEMPLATE.container, env: [...TEMPLATE.container.env, ...more] },
  })
  const rows: [name: string, template: unknown, problems: RegExp[]][] = [
    ['nothing', null, [/it is not an object/]],
    ['empty', {}, [/container.name: is needed/, /container.image: is needed/]],
    ['another member', { ...TEMPLATE, volume: [] }, [/volume: there is no such member/]],
    ['a step before the start', { container: { ...TEMPLATE.container, restartPolicy: 'Never' } }, [/restartPolicy/]],
    ['lists', { ...TEMPLATE, volumes: {}, labels: { a: 1 } }, [/volumes: is not a list/, /labels: is not an object/]],
    ['a setting', env({ name: 'MAX_STALENESS', value: 'long' }), [/MAX_STALENESS: "long" is not a duration/]],
    ['no setting', env({ name: 'SIDECAR_HOTS', value: 'a' }), [/SIDECAR_HOTS: there is no such setting/]],
  ]
  for (const [name, template, problems] of rows) {
    const setup = await setUp(t, template)
    const error = await startInjector(setup.env, { log }).then(
      () => undefined,
      (thrown) => thrown,
    )
    t.match(error, { name: 'SettingsError', problems }, name)
    t.equal(error?.problems.length, problems.length, name)
  }
  const setup = await setUp(t)
  const startWith = (more: Record<string, string>) => startInjector({ ...setup.env, ...more }, { log })
  await t.rejects(startWith({ INJECTOR_TEMPLATE_FILE: '/nonexistent' }), { message: /cannot be read \(ENOENT\)/ })
  writeFileSync(setup.env.INJECTOR_TEMPLATE_FILE!, 'a: [')
  await t.rejects(startWith({}), { name: 'SettingsError', message: /^INJECTOR_TEMPLATE_FILE: / })
})

test('every metric is in docs/metrics.md', { skip }, async (t) => {
  const setup = await setUp(t)
  const { url, adminUrl } = await start(t, setup)
  await ask(url, reviewOf(podOf()), { ca: setup.authority.ca })
  const metrics = readMetrics(String((await call(`${adminUrl}/metrics`)).body.text))
  const [, table = ''] = /<!-- injector -->\n([\s\S]*?)<!-- \/injector -->/.exec(METRICS) ?? []
  const rows = metrics
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .map(({ name, type, help, labels }) => {
      const names = labels.sort().map((label) => `\`${label}\``)
      return `| \`${name}\` | ${type} | ${names.join(', ')} | ${help} |`
    })
  t.equal(table.split('\n').slice(2).join('\n'), `${rows.join('\n')}\n`)
})

test('the command: started, asked, and ended by a signal', { skip }, async (t) => {
  const setup = await setUp(t)
  const child = startNode(t, PROGRAM, { args: ['injector'], env: setup.env })
  const [line] = await child.waitForLine(/^\{.*"msg":"listening".*/, 90_000)
  const { url, adminUrl, role } = JSON.parse(line) as { url: string; adminUrl: string; role: string }
  t.equal(role, 'injector')
  t.match(await ask(url, reviewOf(podOf()), { ca: setup.authority.ca }), { body: { response: { allowed: true } } })
  const health = startNode(t, PROGRAM, {
    args: ['health'],
    env: { ...setup.env, INJECTOR_ADMIN_PORT: new URL(adminUrl).port },
  })
  t.match(await health.waitForExit(90_000), { code: 0 })
  await child.kill('SIGTERM')
  t.strictSame(await child.exited, { code: 0, signal: null })
  t.match(child.stdout(), /"outcome":"injected","namespace":"shop","pod":"orders-5d9c7b-"/)
})

test('the command says everything that is missing or wrong', async (t) => {
  const env = { INJECTOR_PORT: '8443x', INJECTOR_TEMPLATE: '/a', INJECTOR_TLS_KEY_FILE: '/b' }
  const child = startNode(t, PROGRAM, { args: ['injector'], env })
  t.match(await child.waitForExit(90_000), { code: 1 })
  t.match(child.stderr(), /INJECTOR_PORT: "8443x" is not a whole number/)
  t.match(child.stderr(), /INJECTOR_TEMPLATE: there is no such setting/)
  const empty = startNode(t, PROGRAM, { args: ['injector'] })
  t.match(await empty.waitForExit(90_000), { code: 1 })
  for (const name of ['INJECTOR_TLS_CERT_FILE', 'INJECTOR_TLS_KEY_FILE', 'INJECTOR_TEMPLATE_FILE']) {
    t.match(empty.stderr(), `sallyport: ${name}: is needed`)
  }
})
