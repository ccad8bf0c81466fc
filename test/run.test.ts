import { cpSync, mkdirSync, mkdtempSync, realpathSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { type Test, test } from 'tap'
import { eventually } from './helpers/eventually.ts'
import { isRunning, type NodeProcess, startNode } from './helpers/process.ts'
import { guardFolder } from './servers/watchdog.ts'

// A project of its own, with the runner in it: as it starts, tap deletes `.tap/processinfo` of the project, in which every
// process of the run that this file belongs to writes as it ends. The one in the other's way fails.
const project = realpathSync(mkdtempSync(join(tmpdir(), 'sallyport-run-')))
mkdirSync(join(project, 'test'))
for (const name of ['run.ts', 'helpers', 'servers']) {
  cpSync(join(import.meta.dirname, name), join(project, 'test', name), { recursive: true })
}
for (const name of ['node_modules', 'package.json']) {
  symlinkSync(join(import.meta.dirname, '..', name), join(project, name))
}
const runner = join(project, 'test', 'run.ts')
guardFolder(project)

// Addresses that nobody asks: the runner then has no server to start.
const given = { TEST_KAFKA_BROKERS: 'unused', TEST_MONGO_URL: 'unused', TEST_REDIS_URL: 'unused' }
const passing = `test('fine', async (t) => { t.ok(true); t.ok(true) })`
const failing = `test('wrong', async (t) => { t.ok(true); t.equal(1, 2, 'sums up') })`
const skipping = `test('absent', { skip: 'no broker' }, async (t) => t.fail())`

function run(
  t: Test,
  tests: Record<string, string>,
  env: Record<string, string> = {},
  args: string[] = [],
): NodeProcess {
  const files = Object.entries(tests).map(([name, body]) => [name, `import { test } from 'tap'\n${body}\n`] as const)
  return startNode(t, runner, { args: [folderOf(files), ...args], env: { ...given, ...env } })
}

/** A folder of the project with these files. */
function folderOf(files: readonly (readonly [path: string, text: string])[]): string {
  const folder = mkdtempSync(join(project, 'test', 'run-'))
  for (const [path, text] of files) {
    mkdirSync(dirname(join(folder, path)), { recursive: true })
    writeFileSync(join(folder, path), text)
  }
  return folder
}

const lastLine = (child: NodeProcess): string | undefined => child.stdout().trimEnd().split('\n').at(-1)

const rows: {
  name: string
  tests: Record<string, string>
  env?: Record<string, string>
  code: number
  last: string
  says?: RegExp
}[] = [
  {
    name: 'all pass',
    tests: { 'a.test.ts': passing },
    code: 0,
    last: '2 passed, 0 failed',
    says: /✓ .*a\.test\.ts {2}\S+ms/,
  },
  {
    name: 'one fails: its path and its diagnostics are shown',
    tests: { 'a.test.ts': passing, 'b.test.ts': failing },
    code: 1,
    last: '3 passed, 1 failed',
    says: /✗ .*b\.test\.ts.*not ok: wrong > sums up.*-2\s+\+1/s,
  },
  {
    name: 'one is skipped: named, and no failure',
    tests: { 'a.test.ts': passing, 'b.test.ts': skipping },
    code: 0,
    last: '2 passed, 0 failed, 1 skipped',
    says: /skipped:\s+\S+b\.test\.ts > absent \(no broker\)/,
  },
  {
    name: 'one is skipped in CI: a failure',
    tests: { 'a.test.ts': passing, 'b.test.ts': skipping },
    env: { CI: 'true' },
    code: 1,
    last: '2 passed, 1 failed, 1 skipped',
    says: /nothing may be skipped here/,
  },
  {
    name: 'only skipped: nothing was run',
    tests: { 'b.test.ts': skipping },
    code: 1,
    last: '0 passed, 1 failed, 1 skipped',
  },
  {
    name: 'a file that breaks',
    tests: { 'c.test.ts': `throw new Error('at once')` },
    code: 1,
    last: '0 passed, 1 failed',
  },
  {
    name: 'no test file at all',
    tests: { 'helper.ts': '' },
    code: 1,
    last: '0 passed, 1 failed',
    says: /no test file/,
  },
]

for (const { name, tests, env, code, last, says } of rows) {
  test(`the runner: ${name}`, async (t) => {
    const child = run(t, tests, env)
    const exit = await child.waitForExit(90_000)
    t.equal(exit.code, code)
    t.equal(lastLine(child), last)
    if (says) t.match(child.stdout(), says)
  })
}

test('the runner: a server that is required and not to be had', async (t) => {
  const env = { CI: 'true', TEST_REDIS_URL: '', TEST_SERVERS_MISSING: 'redis' }
  const child = run(t, { 'a.test.ts': passing }, env)
  t.equal((await child.waitForExit(90_000)).code, 1)
  t.match(child.stdout(), /Redis can't be had here/)
  t.equal(lastLine(child), '0 passed, 1 failed')
})

test('the runner: tests on a cluster are run only where their folder is named', async (t) => {
  const missing = { TEST_SERVERS_MISSING: 'kubernetes' }
  const folder = folderOf([
    ['a.test.ts', `import { test } from 'tap'\n${passing}\n`],
    ['cluster/b.cluster.ts', `import { test } from 'tap'\n${passing}\n${failing}\n`],
  ])
  const runIn = (path: string, env: Record<string, string>): NodeProcess =>
    startNode(t, runner, { args: [path], env: { ...given, ...env } })
  const all = runIn(folder, missing)
  t.equal((await all.waitForExit(90_000)).code, 0)
  t.equal(lastLine(all), '2 passed, 0 failed')
  const named = runIn(join(folder, 'cluster'), missing)
  t.equal((await named.waitForExit(90_000)).code, 1)
  t.equal(lastLine(named), '3 passed, 1 failed')
  t.match(named.stderr(), /Kubernetes can't be had here\nThe tests that need it are skipped\./)
  const required = runIn(join(folder, 'cluster'), { ...missing, CI: 'true' })
  t.equal((await required.waitForExit(90_000)).code, 1)
  t.match(required.stdout(), /could not be run: Kubernetes can't be had here/)
})

test('the runner: another reporter of tap', async (t) => {
  const child = run(t, { 'a.test.ts': passing, 'b.test.ts': failing }, {}, ['-Rjson'])
  t.equal((await child.waitForExit(90_000)).code, 1)
  t.match(child.stdout(), /^\{\s+"name": "TAP/)
  t.equal(lastLine(child), '3 passed, 1 failed')
})

test('the runner: help is given before anything is started', async (t) => {
  for (const option of ['--help', '-h']) {
    const child = run(t, { 'a.test.ts': failing }, { TEST_SERVERS_MISSING: 'redis', TEST_REDIS_URL: '' }, [option])
    t.equal((await child.waitForExit(90_000)).code, 0)
    t.match(child.stdout(), /^Usage: npm test .*TEST_MONGO_URL, TEST_REDIS_URL, TEST_KAFKA_BROKERS/s)
    t.equal(child.stderr(), '')
  }
})

test('the runner: a file that is not there', async (t) => {
  const child = run(t, { 'a.test.ts': passing }, {}, ['test/no-such.test.ts'])
  t.equal((await child.waitForExit(90_000)).code, 1)
  t.match(child.stdout(), /no-such\.test\.ts: no such file/)
})

test('the runner: an interrupt ends everything at once', async (t) => {
  const hanging = `console.error('child ' + process.pid); test('hangs', async () => { await new Promise((r) => setTimeout(r, 60_000)) })`
  const child = run(t, { 'a.test.ts': hanging })
  const [, pid] = await child.waitForLine(/^child (\d+)$/)
  await child.kill('SIGINT')
  t.same(await child.exited, { code: 130, signal: null })
  t.match(lastLine(child), /^\d+ passed, 1 failed$/)
  await eventually(() => !isRunning(Number(pid)), { message: 'the end of the test' })
})
