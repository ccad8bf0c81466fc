import { chmodSync } from 'node:fs'
import { join } from 'node:path'
import { type Test, test } from 'tap'
import { startNode } from '../helpers/process.ts'

// Each in a process of its own: it is about the environment, and what was found once is remembered.
const rows: { name: string; programs: Record<string, string>; env?: Record<string, string>; answer: RegExp }[] = [
  {
    name: 'what is on the PATH is taken, each generation of helm for its own',
    programs: { helm3: 'v3.14.0', helm: 'v4.0.1', 'helm-unittest': '', kubeconform: '' },
    answer: /^helm3=.*\/helm3 helm4=.*\/helm helm-unittest=.*\/helm-unittest kubeconform=.*\/kubeconform$/,
  },
  {
    name: 'a variable comes first',
    programs: { helm3: 'v3.14.0', helm: 'v4.0.1', untt: '', kubeconform: '' },
    env: { TEST_HELM3_PROGRAM: '/bin/sh' },
    answer: /^helm3=\/bin\/sh helm4=.*\/helm helm-unittest=.*\/untt /,
  },
  {
    name: 'a variable that names nothing is told, not passed over',
    programs: {},
    env: { TEST_KUBECONFORM_PROGRAM: '/no/such/program' },
    answer: /^Error: TEST_KUBECONFORM_PROGRAM: \/no\/such\/program: no such file$/,
  },
  {
    name: 'the other generation under the name is not taken; without Go, what was tried and what helps is told',
    programs: { helm: 'v3.14.0', kubeconform: '' },
    env: { TEST_GO_PROGRAM: '/no/such/program' },
    answer:
      /^ServerUnavailable: .* Install, or name by their variables: helm4 \(TEST_HELM4_PROGRAM\), helm-unittest \(.*Go modules: go is not on the PATH/,
  },
  {
    name: 'the runner has said that it is not to be had',
    programs: {},
    env: { TEST_SERVERS_MISSING: 'helm' },
    answer: /^ServerUnavailable: Helm can't be had here$/,
  },
]

const FOUND = `await findChartTools().then(
  (tools) => Object.entries(tools).map((entry) => entry.join('=')).join(' '),
  (error) => error.name + ': ' + error.message.replaceAll('\\n', ' '))`

for (const { name, programs, env, answer } of rows) {
  test(name, async (t) => {
    t.match(await ask(t, programs, env), answer)
  })
}

test('missing tools are a reason to skip, but not where everything is required', async (t) => {
  const env = { TEST_SERVERS_MISSING: 'helm' }
  t.equal(await ask(t, {}, env, 'await missingChartTools()'), "the tools for charts can't be had here")
  t.equal(await ask(t, {}, { ...env, CI: 'true' }, 'await missingChartTools()'), 'false')
})

async function ask(t: Test, programs: Record<string, string>, env = {}, question = FOUND): Promise<string> {
  const script = `
    import { findChartTools } from '${import.meta.resolve('./helm.ts')}'
    import { missingChartTools } from '${import.meta.resolve('./kubeconform.ts')}'
    console.log('answer: ' + (${question}))`
  const texts = Object.entries(programs).map(([name, version]) => [name, `#!/bin/sh\necho ${version}\n`])
  const folder = t.testdir({ 'ask.mjs': script, cache: {}, bin: Object.fromEntries(texts) })
  for (const name of Object.keys(programs)) chmodSync(join(folder, 'bin', name), 0o755)
  const child = startNode(t, join(folder, 'ask.mjs'), {
    env: { SALLYPORT_TEST_CACHE: join(folder, 'cache'), PATH: join(folder, 'bin'), ...env },
  })
  const [, given = ''] = await child.waitForLine(/^answer: (.*)$/)
  return given
}
