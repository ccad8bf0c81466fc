import { execFileSync, spawn } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { cacheFolder } from '../servers/cache.ts'
import { guardPid } from '../servers/watchdog.ts'

export interface ProcessOptions {
  args?: string[]
  /** Its whole environment beside PATH, HOME and TMPDIR: nothing of the test runner's leaks in. */
  env?: Record<string, string | undefined>
  /** Options for Node itself. */
  nodeArgs?: string[]
  cwd?: string
  /** The user it runs as; only root may choose. */
  uid?: number
}

export interface Exit {
  code: number | null
  signal: NodeJS.Signals | null
}

export interface NodeProcess {
  readonly pid: number
  /** What it printed so far. */
  stdout(): string
  stderr(): string
  /** Resolves when it has ended and all it printed has been read. */
  readonly exited: Promise<Exit>
  /**
   * Resolves with the match as soon as a line of stdout or stderr, from the start on, matches. Throws with all it
   * printed when it ends first or `within` (ms, default 60 000) is over.
   */
  waitForLine(pattern: RegExp, within?: number): Promise<RegExpExecArray>
  /** The same for its end. */
  waitForExit(within?: number): Promise<Exit>
  /** Sends a signal (default SIGKILL) and, unless it is SIGSTOP or SIGCONT, waits for the end. */
  kill(signal?: NodeJS.Signals, within?: number): Promise<void>
}

interface Teardown {
  teardown(fn: () => Promise<void>): void
}

/** Starts a TypeScript or JavaScript file with this Node. It is killed when the test `t` ends, if not before. */
export function startNode(t: Teardown, file: string, options: ProcessOptions = {}): NodeProcess {
  const { args = [], env = {}, nodeArgs = [], cwd, uid } = options
  const { PATH, HOME, TMPDIR } = process.env
  // Stripping types again for each of dozens of short-lived processes would cost seconds.
  const NODE_COMPILE_CACHE = join(cacheFolder(), 'node-compile-cache')
  const settings = Object.entries({ PATH, HOME, TMPDIR, NODE_COMPILE_CACHE, ...env })
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => `${name}=${value}`)
  // By way of `env -i` (which execs, so the id is Node's own): tap puts its loader and its coverage into the environment
  // of every child process, even of one that is given its own.
  const child = spawn('env', ['-i', ...settings, process.execPath, ...nodeArgs, file, ...args], {
    cwd,
    uid,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const output = { stdout: '', stderr: '' }
  let exit: Exit | undefined
  const watchers = new Set<() => void>()
  const notify = (): void => {
    for (const watcher of [...watchers]) watcher()
  }
  for (const name of ['stdout', 'stderr'] as const) {
    child[name].setEncoding('utf8').on('data', (chunk: string) => {
      output[name] += chunk
      notify()
    })
  }
  const unguard = guardPid(child.pid ?? fail(file))
  const exited = new Promise<Exit>((resolve) => {
    child.once('exit', unguard)
    child.once('close', (code, signal) => {
      exit = { code, signal }
      resolve(exit)
      notify()
    })
  })

  function waitUntil<T>(what: string, found: () => T | undefined, within: number): Promise<T> {
    return new Promise((resolve, reject) => {
      const finish = (end: () => void): void => {
        clearTimeout(timer)
        watchers.delete(look)
        end()
      }
      const look = (): void => {
        const value = found()
        if (value !== undefined) finish(() => resolve(value))
        else if (exit)
          finish(() => reject(new Error(describe(`${what}: it ended (${exit?.signal ?? exit?.code}) first`))))
      }
      const timer = setTimeout(() => {
        finish(() => reject(new Error(describe(`${what}: not within ${within} ms`))))
      }, within)
      watchers.add(look)
      look()
    })
  }
  const describe = (what: string): string =>
    `${file}: ${what}\n--- stdout\n${output.stdout}\n--- stderr\n${output.stderr}`

  const running: NodeProcess = {
    pid: child.pid ?? -1,
    stdout: () => output.stdout,
    stderr: () => output.stderr,
    exited,
    waitForLine: (pattern, within = 60_000) =>
      waitUntil(
        String(pattern),
        () => firstMatch(pattern, output.stdout, exit) ?? firstMatch(pattern, output.stderr, exit),
        within,
      ),
    waitForExit: (within = 60_000) => waitUntil('its end', () => exit, within),
    async kill(signal = 'SIGKILL', within = 60_000) {
      if (exit) return
      child.kill(signal)
      if (signal !== 'SIGSTOP' && signal !== 'SIGCONT') await running.waitForExit(within)
    },
  }
  t.teardown(() => running.kill())
  return running
}

function firstMatch(pattern: RegExp, text: string, ended?: Exit): RegExpExecArray | undefined {
  // Without g and y: exec would otherwise go on where the last look ended.
  const fresh = new RegExp(pattern.source, pattern.flags.replace(/[gy]/g, ''))
  const lines = text.split('\n')
  // What has come may end anywhere within a line.
  if (!ended) lines.pop()
  for (const line of lines) {
    const match = fresh.exec(line)
    if (match) return match
  }
  return undefined
}

function fail(file: string): never {
  throw new Error(`${file} could not be started`)
}

/** Whether a process lives. One that is dead but not yet waited for by its parent does not. */
export function isRunning(pid: number): boolean {
  return !['', 'Z'].includes(processState(pid))
}

/** The kernel's letter for a process: R or S when it runs, T when it is stopped, Z when dead; '' when there is none. */
export function processState(pid: number): string {
  try {
    // The second field, the program's name in parentheses, may hold anything.
    if (existsSync('/proc/self/stat')) return /.*\) (\w)/s.exec(readFileSync(`/proc/${pid}/stat`, 'utf8'))?.[1] ?? ''
    return execFileSync('ps', ['-o', 'stat=', '-p', String(pid)], { encoding: 'utf8' }).slice(0, 1)
  } catch {
    return ''
  }
}
