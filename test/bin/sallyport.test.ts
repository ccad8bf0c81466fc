import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type Test, test } from 'tap'
import { eventually } from '../helpers/eventually.ts'
import { startNode } from '../helpers/process.ts'
import { temporaryFolder } from '../helpers/temporary-folder.ts'

const PROGRAM = fileURLToPath(new URL('../../bin/sallyport.ts', import.meta.url))
const PACKAGE = fileURLToPath(new URL('../../package.json', import.meta.url))

async function sallyport(t: Test, ...args: string[]) {
  const child = startNode(t, PROGRAM, { args, env: { DATA_DIR: temporaryFolder(t) } })
  const { code } = await child.waitForExit(60_000)
  return { code, stdout: child.stdout(), stderr: child.stderr() }
}

test('what was typed wrong is said first, with how it goes and where to read on', async (t) => {
  const rows: [args: string[], stderr: RegExp][] = [
    [['isuer'], /^error: unknown command 'isuer'\n\(Did you mean issuer\?\)\nUsage: sallyport .*\n`sallyport --help`/],
    [['--bogus'], /^error: unknown option '--bogus'\nUsage: sallyport .*\n`sallyport --help`/],
    [['users', 'foo'], /^error: unknown command 'foo'\nUsage: sallyport users .*\n`sallyport users --help`/],
    [
      ['clients', 'create', '-p', 'orders:read', 'reports'],
      /^error: missing required argument 'name'\nUsage: sallyport clients create .*<name>\n`sallyport clients create --help`/,
    ],
    [['users', 'create'], /^error: required option '--email <address>' not specified\nUsage: sallyport users create /],
    [['start', 'now'], /^error: too many arguments for 'start'.*\nUsage: sallyport start /],
    [['settings', '--check'], /^error: option '--check <role...>' argument missing\nUsage: sallyport settings /],
    [['settings', '--check', 'all'], /^sallyport: --check: all is none of issuer, sidecar, injector, demo\n$/],
    [['help', 'nothing'], /^error: unknown command 'nothing'\nUsage: sallyport /],
    [['help', 'users', 'nothing'], /^error: unknown command 'nothing'\nUsage: sallyport users /],
    [['health', 'nowhere'], /^sallyport: nowhere is not an address such as http:\/\/127\.0\.0\.1:8081\/readyz\n$/],
    [['users', 'import', 'people'], /^sallyport: --format: is needed, .*: csv, jsonl or keycloak\n$/],
    [['users', 'import', 'people', '--format', 'xml'], /^sallyport: --format: xml is none of csv, jsonl, keycloak\n$/],
  ]
  for (const [args, stderr] of rows) {
    const said = await sallyport(t, ...args)
    t.match(said, { code: 1, stdout: '', stderr }, args.join(' '))
    t.ok(said.stderr.split('\n').length <= 5, `${args.join(' ')}: no more than that`)
  }
})

test('help and version are asked for in every usual way', async (t) => {
  const { version } = JSON.parse(readFileSync(PACKAGE, 'utf8')) as { version: string }
  for (const name of ['--version', '-V'])
    t.same(await sallyport(t, name), { code: 0, stdout: `${version}\n`, stderr: '' })
  const whole = await sallyport(t, '--help')
  t.match(whole, { code: 0, stdout: /^Usage: sallyport /, stderr: '' })
  t.same(await sallyport(t, 'help'), whole)
  t.match(await sallyport(t), { code: 1, stdout: '', stderr: whole.stdout }, 'nothing said is not nothing wrong')
  const create = await sallyport(t, 'users', 'create', '--help')
  t.match(create, { code: 0, stdout: /--email <address>/ })
  for (const args of [
    ['help', 'users', 'create'],
    ['users', 'help', 'create'],
  ]) {
    t.same(await sallyport(t, ...args), create, args.join(' '))
  }
})

test('whoever reads settings says where they are listed', async (t) => {
  for (const role of ['start', 'issuer', 'sidecar', 'injector', 'demo']) {
    const { stdout } = await sallyport(t, role, '--help')
    t.match(stdout, /`sallyport settings` lists them/, role)
    t.match(stdout, new RegExp(`Example:\n {2}.*sallyport ${role}\n`), role)
  }
  t.notMatch((await sallyport(t, 'clients', 'create', '--help')).stdout, /default: \[\]/)
})

test('compiled code is kept where servers run, and nowhere that a command was only tried', async (t) => {
  const DATA_DIR = join(temporaryFolder(t), 'data')
  const start = (...args: string[]) =>
    startNode(t, PROGRAM, { args, env: { DATA_DIR, NODE_COMPILE_CACHE: '', DEMO_PORT: '0' } })
  for (const args of [['help'], ['settings'], ['demo', '--help'], ['check', 'nothing.yaml']]) {
    await start(...args).waitForExit(60_000)
    t.throws(() => readdirSync(DATA_DIR), { code: 'ENOENT' }, args.join(' '))
  }
  const demo = start('demo')
  await eventually(() => readdirSync(join(DATA_DIR, 'compile-cache')).length > 0, { message: 'compiled code' })
  await demo.kill('SIGTERM')
})
