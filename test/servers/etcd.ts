import { get } from 'node:https'
import { arch } from 'node:os'
import { join } from 'node:path'
import { distribution, unpackDebian, unpackedEnvironment } from './apt.ts'
import { cached } from './cache.ts'
import type { Authority } from './certificates.ts'
import { onPath, run } from './command.ts'
import { givenProgram } from './kubernetes.ts'
import { type Place, type Server, startServer } from './server.ts'
import type { Source } from './sources.ts'

export type Etcd = Extract<Source, { kind: 'program' }>

/** etcd: beside Kubernetes' programs (TEST_KUBERNETES_PROGRAMS), on the PATH, or Debian's package. */
export async function findEtcd(): Promise<Etcd> {
  const file = givenProgram('etcd') ?? onPath('etcd')
  if (file !== undefined) return { kind: 'program', file, args: [] }
  const program = (folder: string) => join(folder, 'usr/bin/etcd')
  const what = 'etcd (Debian package etcd-server, 8 MB)'
  const folder = await cached(`etcd-${distribution()}-${arch()}`, what, async (folder) => {
    await unpackDebian('etcd-server', folder)
    await run(program(folder), ['--version'], { env: unpackedEnvironment(folder) })
  })
  return { kind: 'program', file: program(folder), args: [], env: unpackedEnvironment(folder) }
}

/** Starts an etcd that speaks TLS only, with clients of the authority. Its `url` is the one for them. */
export async function startEtcd({ file, args, env }: Etcd, authority: Authority): Promise<Server> {
  const { certFile, keyFile, cert, key } = await authority.issue('etcd')
  const command = ({ ports: [clients, peers = 0], data }: Place) => {
    const [forClients, forPeers] = [`https://127.0.0.1:${clients}`, `http://127.0.0.1:${peers}`]
    const where = ['--data-dir', data, '--listen-client-urls', forClients, '--advertise-client-urls', forClients]
    const alone = ['--listen-peer-urls', forPeers, '--initial-advertise-peer-urls', forPeers]
    const tls = ['--cert-file', certFile, '--key-file', keyFile, '--trusted-ca-file', authority.caFile]
    const cluster = ['--initial-cluster', `default=${forPeers}`, '--client-cert-auth', '--unsafe-no-fsync']
    return { file, args: [...args, ...where, ...alone, ...tls, ...cluster], env }
  }
  return startServer({
    name: 'etcd',
    ports: 2,
    url: (port) => `https://127.0.0.1:${port}`,
    command,
    answers: (port) => answers(`https://127.0.0.1:${port}/health`, { ca: authority.ca, cert, key }),
  })
}

/** Resolves when a GET is answered with 200, by a server of the authority. */
export function answers(url: string, tls: { ca: string; cert?: string; key?: string }): Promise<void> {
  return new Promise((resolve, reject) => {
    const request = get(url, { ...tls, agent: false, timeout: 5000 }, (response) => {
      response.resume()
      if (response.statusCode === 200) response.once('end', resolve)
      else reject(new Error(`${url}: ${response.statusCode}`))
    })
    request.once('timeout', () => request.destroy(new Error(`${url}: no answer`)))
    request.once('error', reject)
  })
}
