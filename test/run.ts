import { type ChildProcess, spawn } from 'node:child_process'
import { globSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, delimiter, dirname, join, relative, resolve, sep } from 'node:path'
import { createInterface } from 'node:readline'
import { createTapReader, type TapReader } from './helpers/tap-output.ts'
import { caddy } from './servers/caddy.ts'
import { findChromium } from './servers/chromium.ts'
import { prepareCluster } from './servers/cluster-programs.ts'
import { envoy } from './servers/envoy.ts'
import { prepareChartTools } from './servers/kubeconform.ts'
import { nginx } from './servers/nginx.ts'
import { findReverseProxy } from './servers/reverse-proxy.ts'
import type { Server } from './servers/server.ts'
import { serversRequired, sharedServers } from './servers/shared.ts'
import { missingVariable, ServerUnavailable } from './servers/sources.ts'
import { guardFolder, guardPid } from './servers/watchdog.ts'

const HELP = `Usage: npm test [-- file, folder or option of tap ...]

Prepares the servers, starts one of each for all tests, runs tap and ends with a line \`N passed, N failed\`.
Without a file or a folder: every *.test.ts under test/. Options of tap: \`npx tap --help\`.

  npm test -- test/sidecar                     the tests of a folder
  npm test -- test/run.test.ts --only          tests that are marked in a file
  npm test -- --reporter=base                  as tap itself shows them

Servers: TEST_MONGO_URL, TEST_REDIS_URL, TEST_KAFKA_BROKERS name some that run already; else Docker, programs on the
PATH, or the package registries. With CI or SALLYPORT_REQUIRE_SERVERS set, a test that is skipped is a failure.`

const root = join(import.meta.dirname, '..')
const bin = join(root, 'node_modules', '.bin')
const say = (line: string): void => void process.stdout.write(`${line}\n`)

/** Tests on a cluster take programs that are minutes to build: they are run only where their folder is named itself. */
const testFiles = (folder: string): string[] =>
  globSync(basename(resolve(folder)) === 'cluster' ? '*.cluster.ts' : '**/*.test.ts', { cwd: folder })
    .map((file) => join(folder, file))
    .sort()

/** Sorts the arguments into tap's options and test files; a folder stands for the test files in it. */
function readArguments(args: string[]): { options: string[]; files: string[] } {
  const options: string[] = []
  const named: string[] = []
  for (const [index, arg] of args.entries()) {
    const isOption = arg.startsWith('-')
    if (isOption || isOptionValue(arg, args[index - 1])) options.push(arg)
    else if (statSync(arg, { throwIfNoEntry: false }) === undefined) throw new Error(`${arg}: no such file or folder`)
    else named.push(arg)
  }
  const paths = named.length > 0 ? named : [join(root, 'test')]
  const files = paths.flatMap((path) => (statSync(path).isDirectory() ? testFiles(path) : [path]))
  if (files.length === 0) throw new Error(`no test file (*.test.ts) in ${paths.join(' ')}`)
  return { options, files }
}

const isOptionValue = (arg: string, before = ''): boolean =>
  before.startsWith('-') && !before.includes('=') && statSync(arg, { throwIfNoEntry: false }) === undefined

/** Runs `prepare`; what can't be had goes into `missing`, unless everything is required here. */
async function unlessMissing(kind: string, missing: string[], prepare: () => Promise<void>): Promise<void> {
  try {
    await prepare()
  } catch (error) {
    if (serversRequired() || !(error instanceof ServerUnavailable)) throw error
    process.stderr.write(`${error.message}\nThe tests that need it are skipped.\n`)
    missing.push(kind)
  }
}

/** Starts what no variable names; the addresses, and what can't be had, go into `env`. */
async function startShared(env: Record<string, string>, files: string[]): Promise<Server[]> {
  const missing: string[] = []
  const starting: Promise<Server>[] = []
  const needsCluster = (file: string): boolean => file.endsWith('.cluster.ts')
  for (const [kind, { variable, find, start }] of Object.entries(sharedServers)) {
    if (process.env[variable] || files.every(needsCluster)) continue
    // One after the other: two at once would fight for the lock of the machine's package manager.
    await unlessMissing(kind, missing, async () => {
      await find()
      const server = start()
      starting.push(server)
      env[variable] = (await server).url
    })
  }
  if (files.some((file) => dirname(resolve(file)).endsWith(`${sep}browser`))) {
    await unlessMissing('chromium', missing, async () => void (await findChromium()))
  }
  if (files.some((file) => file.endsWith('forward-auth-proxies.test.ts'))) {
    for (const proxy of [nginx, caddy, envoy]) {
      await unlessMissing(proxy.kind, missing, async () => void (await findReverseProxy(proxy)))
    }
  }
  if (files.some((file) => dirname(resolve(file)).endsWith(`${sep}charts`))) {
    await unlessMissing('helm', missing, prepareChartTools)
  }
  if (files.some(needsCluster)) await unlessMissing('kubernetes', missing, prepareCluster)
  env[missingVariable] = missing.join(',')
  return Promise.all(starting)
}

const hasOwnReporter = (options: string[]): boolean => options.some((option) => /^(-R|--reporter)/.test(option))

interface TapRun {
  child: ChildProcess
  /** tap's exit code. */
  ended: Promise<number>
}

function startTap(options: string[], files: string[], env: Record<string, string>, reader: TapReader): TapRun {
  const ownReporter = hasOwnReporter(options)
  const folder = mkdtempSync(join(tmpdir(), 'sallyport-tap-'))
  const release = guardFolder(folder)
  const output = join(folder, 'output.tap')
  // Only with another reporter: tap's own `tap` reporter would print everything twice then.
  const reporter = ownReporter ? `--output-file=${output}` : '--reporter=tap'
  const defaults = ['--disable-coverage', '--allow-empty-coverage', '--jobs=2', '--timeout=600', reporter]
  const child = spawn(join(bin, 'tap'), [...defaults, ...options, ...files.map((file) => relative(root, file))], {
    cwd: root,
    // A group of its own, so that all of it can be ended at once and Ctrl-C reaches this process only.
    detached: true,
    stdio: ['ignore', ownReporter ? 'inherit' : 'pipe', 'inherit'],
    env: { ...process.env, ...env, TAP_TYPE_STRIP_ONLY: '1', PATH: `${bin}${delimiter}${process.env.PATH ?? ''}` },
  })
  if (child.pid !== undefined) guardPid(-child.pid)
  if (child.stdout) createInterface({ input: child.stdout }).on('line', reader.line)
  const ended = new Promise<number>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code) => {
      if (ownReporter) for (const line of readFileSync(output, 'utf8').split('\n')) reader.line(line)
      rmSync(folder, { recursive: true, force: true })
      release()
      resolve(code ?? 1)
    })
  })
  return { child, ended }
}

/** Says how it ended and returns the exit code. */
function summarize(reader: TapReader, tapCode: number): number {
  const { passed, failed, skipped } = reader.totals() ?? { passed: 0, failed: 0, skipped: 0 }
  let code = tapCode
  const broken = (reason: string): void => {
    say(reason)
    code ||= 1
  }
  say('')
  if (reader.totals() === undefined) broken('tap ended without a result')
  else if (passed + failed === 0) broken('no test was run')
  if (skipped > 0)
    say(
      `skipped:\n${reader
        .skipped()
        .map((test) => `  ${test}\n`)
        .join('')}`,
    )
  if (skipped > 0 && serversRequired()) broken('nothing may be skipped here (CI or SALLYPORT_REQUIRE_SERVERS is set)')
  // A run that failed as a whole must not read like a success.
  const failures = code !== 0 && failed === 0 ? 1 : failed
  say(`${passed} passed, ${failures} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`)
  return code
}

async function main(): Promise<number> {
  if (process.argv.includes('--help') || process.argv.includes('-h')) {
    say(HELP)
    return 0
  }
  const { options, files } = readArguments(process.argv.slice(2))
  const reader = createTapReader(hasOwnReporter(options) ? () => {} : say)
  const env: Record<string, string> = {}
  let tap: TapRun | undefined
  let interrupted = false
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.once(signal, () => {
      interrupted = true
      // Before tap runs there is nothing to end in order: what was started ends with this process.
      if (tap?.child.pid === undefined) process.exit(130)
      process.kill(-tap.child.pid, 'SIGKILL')
    })
  }
  const servers = await startShared(env, files)
  tap = startTap(options, files, env, reader)
  const code = await tap.ended
  await Promise.all(servers.map((server) => server.stop()))
  if (interrupted) say('interrupted')
  return summarize(reader, interrupted ? 130 : code)
}

try {
  process.exitCode = await main()
} catch (error) {
  say(`\nthe tests could not be run: ${error instanceof Error ? error.message : String(error)}`)
  say('0 passed, 1 failed')
  process.exitCode = 1
}
