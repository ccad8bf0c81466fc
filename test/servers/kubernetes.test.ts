import { chmodSync } from 'node:fs'
import { join } from 'node:path'
import { type Test, test } from 'tap'
import { startNode } from '../helpers/process.ts'
import { kubernetesDirectives } from './kubernetes.ts'

test('the libraries of Kubernetes are those of the same release', async (t) => {
  const goMod = `module k8s.io/kubernetes

go 1.26.0

godebug default=go1.26

require (
\tgithub.com/kylelemons/godebug v1.1.0 // indirect
\tk8s.io/api v0.0.0
)

replace (
\tk8s.io/api => ./staging/src/k8s.io/api
\tk8s.io/kube-aggregator => ./staging/src/k8s.io/kube-aggregator
)
`
  t.same(kubernetesDirectives(goMod, '1.37.1'), [
    'replace k8s.io/api => k8s.io/api v0.37.1',
    'replace k8s.io/kube-aggregator => k8s.io/kube-aggregator v0.37.1',
    'godebug default=go1.26',
  ])
  t.throws(() => kubernetesDirectives('module k8s.io/kubernetes', '1.99.0'), /1\.99\.0: no libraries found/)
})

const KUBERNETES = ['kube-apiserver', 'kube-controller-manager', 'kube-scheduler', 'kubectl']

// Each in a process of its own: it is about the environment, and what was found once is remembered.
const rows: { name: string; on: string[]; env?: (folder: string) => Record<string, string>; answer: RegExp }[] = [
  {
    name: 'all on the PATH',
    on: KUBERNETES,
    answer: /^kube-apiserver=.*\/bin\/kube-apiserver .* kubectl=.*\/bin\/kubectl$/,
  },
  {
    name: 'in the folder that is named',
    on: KUBERNETES,
    env: (folder) => ({ TEST_KUBERNETES_PROGRAMS: join(folder, 'bin'), PATH: '' }),
    answer: /^kube-apiserver=.*\/bin\/kube-apiserver .* kubectl=.*\/bin\/kubectl$/,
  },
  {
    name: 'a folder that lacks one',
    on: KUBERNETES.slice(1),
    env: (folder) => ({ TEST_KUBERNETES_PROGRAMS: join(folder, 'bin') }),
    answer: /^Error: TEST_KUBERNETES_PROGRAMS: .*\/bin\/kube-apiserver: no such file$/,
  },
  {
    name: 'a kubectl alone on the PATH is not taken, for its version may be any',
    on: ['kubectl'],
    env: () => ({ TEST_GO_PROGRAM: '/no/such/program' }),
    answer: /^Error: go is not on the PATH/,
  },
  {
    name: 'a version that is wanted is built, whatever is on the PATH',
    on: KUBERNETES,
    env: () => ({ TEST_GO_PROGRAM: '/no/such/program', TEST_KUBERNETES_VERSION: '1.36.3' }),
    answer: /^Error: go is not on the PATH/,
  },
]

const FOUND = `await findKubernetes().then(
  (programs) => Object.entries(programs).map((entry) => entry.join('=')).join(' '),
  (error) => error.name + ': ' + error.message.replaceAll('\\n', ' '))`

for (const { name, on, env, answer } of rows) {
  test(`Kubernetes: ${name}`, async (t) => {
    t.match(await ask(t, FOUND, on, env), answer)
  })
}

test('no cluster is a reason to skip, but not where everything is required', async (t) => {
  const question = 'await missingCluster()'
  const missing = { TEST_SERVERS_MISSING: 'kubernetes' }
  t.equal(await ask(t, question, [], () => missing), "Kubernetes can't be had here")
  t.equal(await ask(t, question, [], () => ({ ...missing, CI: 'true' })), 'false')
})

async function ask(
  t: Test,
  question: string,
  on: string[],
  env: (folder: string) => Record<string, string> = () => ({}),
): Promise<string> {
  const script = `
    import { findKubernetes } from '${import.meta.resolve('./kubernetes.ts')}'
    import { missingCluster } from '${import.meta.resolve('./cluster-programs.ts')}'
    console.log('answer: ' + (${question}))`
  const programs = Object.fromEntries(on.map((name) => [name, '#!/bin/sh\n']))
  const folder = t.testdir({ 'ask.mjs': script, cache: {}, bin: programs })
  for (const name of on) chmodSync(join(folder, 'bin', name), 0o755)
  const child = startNode(t, join(folder, 'ask.mjs'), {
    env: { SALLYPORT_TEST_CACHE: join(folder, 'cache'), PATH: join(folder, 'bin'), ...env(folder) },
  })
  const [, given = ''] = await child.waitForLine(/^answer: (.*)$/)
  return given
}
