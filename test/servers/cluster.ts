import { generateKeyPairSync } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Authority, type Certificate, createAuthority } from './certificates.ts'
import { type ClusterPrograms, findClusterPrograms } from './cluster-programs.ts'
import { answers, startEtcd } from './etcd.ts'
import { startKwok } from './kwok.ts'
import { type Place, type Server, startServer } from './server.ts'
import { guardFolder } from './watchdog.ts'

/** A Kubernetes of one test file: a real API server with its controllers and its scheduler, and nodes that are played. */
export interface Cluster {
  /** As an administrator who may do everything. */
  kubeconfig: string
  kubectl: string
  /** The API server's. */
  url: string
  /** Signs every certificate in it. */
  authority: Authority
  /** For files of the test; deleted at the end. */
  folder: string
  stop(): Promise<void>
}

/**
 * Starts etcd, the API server (RBAC, tokens of service accounts, the default admission plugins), the controllers, the
 * scheduler and kwok, all on 127.0.0.1 and each with certificates of its own. Nodes are the caller's to make.
 * @throws ServerUnavailable, or an error with the end of a log
 */
export async function startCluster(): Promise<Cluster> {
  const programs = await findClusterPrograms()
  const folder = mkdtempSync(join(tmpdir(), 'sallyport-cluster-'))
  const unguard = guardFolder(folder)
  const running: Server[] = []
  const stop = async (): Promise<void> => {
    // Clients before servers: nobody complains then, and nobody waits.
    for (const server of running.splice(0).reverse()) await server.stop()
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 })
    unguard()
  }
  try {
    const authority = await createAuthority(folder)
    const etcd = await startEtcd(programs.etcd, authority)
    running.push(etcd)
    const keys = serviceAccountKeys(folder)
    const api = await startApiServer(programs, authority, etcd.url, keys)
    running.push(api)
    const as = async (user: string, group?: string): Promise<string> =>
      kubeconfigFile(folder, user, api.url, authority, await authority.issue(user, group))
    const [admin, controllers, scheduler, nodes] = [
      await as('admin', 'system:masters'),
      await as('system:kube-controller-manager'),
      await as('system:kube-scheduler'),
      await as('kwok', 'system:masters'),
    ]
    const others = await Promise.allSettled([
      startControllers(programs, authority, controllers, keys.privateFile),
      startScheduler(programs, authority, scheduler),
      startKwok(programs.kwok, nodes),
    ])
    for (const result of others) if (result.status === 'fulfilled') running.push(result.value)
    for (const result of others) if (result.status === 'rejected') throw result.reason
    return { kubeconfig: admin, kubectl: programs.kubernetes.kubectl, url: api.url, authority, folder, stop }
  } catch (error) {
    await stop()
    throw error
  }
}

interface ServiceAccountKeys {
  privateFile: string
  publicFile: string
}

/** With which tokens of service accounts are signed. */
function serviceAccountKeys(folder: string): ServiceAccountKeys {
  const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const files = { privateFile: join(folder, 'service-accounts.key'), publicFile: join(folder, 'service-accounts.pub') }
  writeFileSync(files.privateFile, privateKey.export({ type: 'pkcs1', format: 'pem' }), { mode: 0o600 })
  writeFileSync(files.publicFile, publicKey.export({ type: 'spki', format: 'pem' }))
  return files
}

const https = (port: number): string => `https://127.0.0.1:${port}`

async function startApiServer(
  { kubernetes }: ClusterPrograms,
  authority: Authority,
  etcd: string,
  { privateFile, publicFile }: ServiceAccountKeys,
): Promise<Server> {
  const own = await authority.issue('kube-apiserver')
  const store = ['--etcd-cafile', authority.caFile, '--etcd-certfile', own.certFile, '--etcd-keyfile', own.keyFile]
  const accounts = [
    '--service-account-issuer=https://kubernetes.default.svc',
    `--service-account-key-file=${publicFile}`,
    `--service-account-signing-key-file=${privateFile}`,
  ]
  return startServer({
    name: 'kube-apiserver',
    ports: 1,
    url: https,
    command: (place) => ({
      file: kubernetes['kube-apiserver'],
      args: [
        ...serving(place, own),
        ...store,
        ...accounts,
        `--etcd-servers=${etcd}`,
        `--client-ca-file=${authority.caFile}`,
        '--authorization-mode=RBAC',
        '--service-cluster-ip-range=10.96.0.0/16',
        // An etcd before 3.4.25, as Debian 12 has, can't serve these: clients would try again for a minute.
        '--feature-gates=WatchList=false',
        // Nothing in the cluster may learn an address of this machine.
        '--endpoint-reconciler-type=none',
      ],
    }),
    answers: (port) => answers(`${https(port)}/readyz`, { ca: authority.ca, cert: own.cert, key: own.key }),
  })
}

async function startControllers(
  { kubernetes }: ClusterPrograms,
  authority: Authority,
  kubeconfig: string,
  signingKeyFile: string,
): Promise<Server> {
  const own = await authority.issue('controllers')
  return startServer({
    name: 'kube-controller-manager',
    ports: 1,
    url: https,
    command: (place) => ({
      file: kubernetes['kube-controller-manager'],
      args: [
        ...serving(place, own),
        ...client(kubeconfig),
        '--use-service-account-credentials=true',
        `--service-account-private-key-file=${signingKeyFile}`,
        `--root-ca-file=${authority.caFile}`,
        // What a person would wait a quarter of a minute for.
        '--pvclaimbinder-sync-period=1s',
        '--horizontal-pod-autoscaler-sync-period=1s',
        // A machine so loaded that kwok is late is no node that is gone.
        '--node-monitor-grace-period=10m',
      ],
    }),
    answers: (port) => answers(`${https(port)}/healthz`, { ca: authority.ca }),
  })
}

async function startScheduler(
  { kubernetes }: ClusterPrograms,
  authority: Authority,
  kubeconfig: string,
): Promise<Server> {
  const own = await authority.issue('scheduler')
  return startServer({
    name: 'kube-scheduler',
    ports: 1,
    url: https,
    command: (place) => ({ file: kubernetes['kube-scheduler'], args: [...serving(place, own), ...client(kubeconfig)] }),
    answers: (port) => answers(`${https(port)}/healthz`, { ca: authority.ca }),
  })
}

function serving({ ports: [port], data }: Place, { certFile, keyFile }: Certificate): string[] {
  const tls = [`--tls-cert-file=${certFile}`, `--tls-private-key-file=${keyFile}`, `--cert-dir=${data}`]
  return ['--bind-address=127.0.0.1', `--secure-port=${port}`, ...tls]
}

function client(kubeconfig: string): string[] {
  const also = ['authentication', 'authorization'].map((what) => `--${what}-kubeconfig=${kubeconfig}`)
  return [`--kubeconfig=${kubeconfig}`, ...also, '--leader-elect=false']
}

/** JSON is YAML too. */
function kubeconfigFile(folder: string, user: string, server: string, { caFile }: Authority, own: Certificate): string {
  const file = join(folder, `${user}.kubeconfig`)
  const config = {
    apiVersion: 'v1',
    kind: 'Config',
    'current-context': 'test',
    clusters: [{ name: 'test', cluster: { server, 'certificate-authority': caFile } }],
    users: [{ name: user, user: { 'client-certificate': own.certFile, 'client-key': own.keyFile } }],
    contexts: [{ name: 'test', context: { cluster: 'test', user } }],
  }
  writeFileSync(file, JSON.stringify(config), { mode: 0o600 })
  return file
}
