import { readFileSync, writeFileSync } from 'node:fs'
import { get } from 'node:http'
import { join } from 'node:path'
import { onPath } from './command.ts'
import { buildGoPrograms, goModuleFiles } from './go.ts'
import { givenProgram } from './kubernetes.ts'
import { type Place, type Server, startServer } from './server.ts'

const VERSION = '0.8.0'
const MODULE = 'sigs.k8s.io/kwok'

/** Without stages it plays nothing: nodes are ready, Pods are, those of a Job end well, and what is deleted goes. */
const STAGES = [
  'node/fast/node-initialize',
  'node/heartbeat-with-lease/node-heartbeat-with-lease',
  'pod/fast/pod-ready',
  'pod/fast/pod-complete',
  'pod/fast/pod-delete',
]

/** kwok plays the kubelets of nodes that are not there. */
export interface Kwok {
  file: string
  /** What it is told to play, a YAML document each. */
  stages: string
}

/** kwok: beside Kubernetes' programs (TEST_KUBERNETES_PROGRAMS), on the PATH, or built from its Go module. */
export async function findKwok(): Promise<Kwok> {
  const files = STAGES.map((path) => [`${path.split('/').at(-1)}.yaml`, `kustomize/stage/${path}.yaml`])
  const folder = await goModuleFiles(MODULE, VERSION, Object.fromEntries(files))
  const stages = files.map(([name = '']) => readFileSync(join(folder, name), 'utf8')).join('\n---\n')
  return { file: givenProgram('kwok') ?? onPath('kwok') ?? (await build()), stages }
}

async function build(): Promise<string> {
  const program = { name: 'kwok', module: MODULE, version: VERSION, path: 'cmd/kwok' }
  const folder = await buildGoPrograms([program], '2 to 4 minutes on two cores, and 2 GB of disk until it is done')
  return join(folder, program.name)
}

/** Starts kwok for all nodes of the cluster. */
export function startKwok({ file, stages }: Kwok, kubeconfig: string): Promise<Server> {
  return startServer({
    name: 'kwok',
    ports: 1,
    url: (port) => `http://127.0.0.1:${port}`,
    prepare: ({ data }) => writeFileSync(join(data, 'stages.yaml'), stages),
    command: ({ ports: [port], data }: Place) => {
      const what = ['--config', join(data, 'stages.yaml'), '--kubeconfig', kubeconfig, '--manage-all-nodes=true']
      return { file, args: [...what, '--node-lease-duration-seconds=40', `--server-address=127.0.0.1:${port}`] }
    },
    answers: (port) =>
      new Promise((resolve, reject) => {
        const request = get(`http://127.0.0.1:${port}/healthz`, { agent: false, timeout: 5000 }, (response) => {
          response.resume()
          if (response.statusCode === 200) resolve()
          else reject(new Error(`kwok: ${response.statusCode}`))
        })
        request.once('timeout', () => request.destroy(new Error('kwok: no answer')))
        request.once('error', reject)
      }),
  })
}
