import { copyFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { t as root } from 'tap'
import { environmentOf, type KubernetesObject, objectOf, objectsOf } from '../charts/objects.ts'
import { call } from '../helpers/client.ts'
import { eventually } from '../helpers/eventually.ts'
import { freePort } from '../helpers/port.ts'
import { type NodeProcess, startNode } from '../helpers/process.ts'
import { podOf } from './pods.ts'
import { ADMISSION, type TestCluster } from './test-cluster.ts'

const PROGRAM = fileURLToPath(new URL('../../bin/sallyport.ts', import.meta.url))

interface Webhook {
  name: string
  clientConfig: { service?: object; url?: string; caBundle?: string }
}
export type WebhookConfiguration = KubernetesObject & { webhooks: Webhook[] }

/** The injector as a process of its own, before a real API server. */
export interface RunningWebhook {
  /** As the chart renders it with more values: the process, its template, its registration and its policies. */
  deploy(values?: readonly string[]): Promise<void>
  /** What was registered last. */
  registered(): WebhookConfiguration
  process(): NodeProcess
  /** SIGTERM, and its end. */
  stop(): Promise<void>
  /** Again, with what was deployed last, at the same address. */
  start(): Promise<void>
  /** Replaces the certificate and its key, as a kubelet would in the volume. */
  certify(from: { certFile: string; keyFile: string }): void
  port: number
  /** How many reviews there were, by their outcome; dry runs are not counted. */
  reviews(): Promise<Record<string, number>>
  /** Waits until Pods of the namespace come out as `wanted` says: an API server learns of a registration a moment later. */
  inForce(namespace: string, wanted: (pod: KubernetesObject | undefined, said: string) => boolean): Promise<void>
}

const VALUES = [
  'sidecar.issuer.url=https://login.example.com',
  'sidecar.feedToken.secret=sallyport-feed',
  'tls.mode=existing',
  'tls.existing.secretName=certificate',
  'shutdown.delaySeconds=0',
]

/** @param chart the folder of charts/injector with its dependency */
export async function createWebhook(cluster: TestCluster, chart: string): Promise<RunningWebhook> {
  const { authority, folder } = cluster
  const files = {
    cert: join(folder, 'webhook.crt'),
    key: join(folder, 'webhook.key'),
    template: join(folder, 't.yaml'),
  }
  const port = await freePort()
  let env: Record<string, string> = {}
  let running: NodeProcess | undefined
  let adminUrl = ''
  let registered: WebhookConfiguration | undefined

  const certify: RunningWebhook['certify'] = ({ certFile, keyFile }) => {
    copyFileSync(keyFile, files.key)
    copyFileSync(certFile, files.cert)
  }
  certify(await authority.issue('webhook'))

  async function start(): Promise<void> {
    running = startNode(root, PROGRAM, { args: ['injector'], env })
    const [line] = await running.waitForLine(/^\{.*"msg":"listening".*/, 60_000)
    adminUrl = JSON.parse(line).adminUrl
  }
  async function stop(): Promise<void> {
    await running?.kill('SIGTERM', 30_000)
  }

  return {
    port,
    certify,
    start,
    stop,
    process: () => running!,
    registered: () => registered!,
    async deploy(values = []) {
      // Another's object is in the way of Helm's, and what the last one had and this one has not has to go.
      await cluster.ask(['delete', ADMISSION, '-l', 'app.kubernetes.io/instance=sallyport'])
      const set = [...VALUES, ...values].flatMap((value) => ['--set', value])
      const own = ['--set-file', `tls.existing.caBundle=${authority.caFile}`, '--namespace', 'auth', '--dry-run=server']
      const objects = objectsOf(await cluster.helm('helm4', ['template', 'sallyport', chart, ...set, ...own]))
      writeFileSync(files.template, objectOf(objects, 'ConfigMap').data!['template.yaml']!)
      const [container] = objectOf(objects, 'Deployment').spec.template.spec.containers
      env = {
        ...environmentOf(container),
        INJECTOR_HOST: '127.0.0.1',
        INJECTOR_PORT: String(port),
        INJECTOR_ADMIN_HOST: '127.0.0.1',
        INJECTOR_ADMIN_PORT: '0',
        INJECTOR_TLS_CERT_FILE: files.cert,
        INJECTOR_TLS_KEY_FILE: files.key,
        INJECTOR_TEMPLATE_FILE: files.template,
      }
      await stop()
      await start()
      registered = byUrl(objectOf(objects, 'MutatingWebhookConfiguration') as WebhookConfiguration, port)
      await cluster.apply([registered, ...objects.filter(({ kind }) => kind.startsWith('ValidatingAdmissionPolicy'))])
    },
    async reviews() {
      const { body } = await call<{ text: string }>(`${adminUrl}/metrics`)
      const lines = [...body.text.matchAll(/^injector_reviews_total\{outcome="(\w+)",dry_run="false"\} (\d+)$/gm)]
      return Object.fromEntries(lines.map(([, outcome, count]) => [outcome, Number(count)]))
    },
    async inForce(namespace, wanted) {
      const probe = podOf('probe', { annotations: { 'sallyport/upstream-port': '3000' } })
      await eventually(
        async () => {
          const args = ['create', '-n', namespace, '-f', '-', '-o', 'json', '--dry-run=server']
          const { code, stdout, stderr } = await cluster.attempt(args, [probe])
          return wanted(code === 0 ? JSON.parse(stdout) : undefined, stderr)
        },
        { within: 60_000, every: 200, message: 'the registration' },
      )
    },
  }
}

/** The configuration as the chart renders it, but for the way to the injector: no Service leads out of this cluster. */
function byUrl(configuration: WebhookConfiguration, port: number): WebhookConfiguration {
  const webhooks = configuration.webhooks.map(({ clientConfig: { caBundle }, ...webhook }) => ({
    ...webhook,
    clientConfig: { url: `https://127.0.0.1:${port}/mutate`, caBundle },
  }))
  return { ...configuration, webhooks }
}
