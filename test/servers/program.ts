import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { closeSync, openSync, readFileSync } from 'node:fs'
import { processState } from '../helpers/process.ts'
import { guardContainer, guardPid } from './watchdog.ts'

export interface Command {
  file: string
  args: string[]
  /** Added to the environment of this process. */
  env?: Record<string, string>
  /** The Docker container the command runs, if it is `docker run`: signals then go to the container. */
  container?: string
}

/** A running server program, its output in a log file. */
export interface Program {
  readonly pid: number
  /** Resolves with a description of the end: an exit code, a signal or why it could not be started. */
  readonly ended: Promise<string>
  hasEnded(): boolean
  signal(name: 'SIGTERM' | 'SIGKILL' | 'SIGSTOP' | 'SIGCONT'): void
}

/** Starts a program, appending what it prints to `logFile`. It is killed when this process ends, in whatever way. */
export function startProgram(command: Command, logFile: string): Program {
  const log = openSync(logFile, 'a')
  // Detached: Ctrl-C in the terminal must reach the test runner only, which ends its servers in order.
  const child = spawn(command.file, command.args, {
    detached: true,
    stdio: ['ignore', log, log],
    env: { ...process.env, ...command.env },
  })
  closeSync(log)
  const release = [
    ...(child.pid === undefined ? [] : [guardPid(child.pid)]),
    ...(command.container === undefined ? [] : [guardContainer(command.container)]),
  ]
  let end: string | undefined
  const ended = new Promise<string>((resolve) => {
    const finish = (how: string): void => {
      end ??= how
      for (const undo of release) undo()
      resolve(end)
    }
    child.once('error', (error) => finish(error.message))
    child.once('exit', (code, signal) => finish(signal ?? `exit code ${code}`))
  })
  // A test that fails before it could register its clean-up should end, not hang on a server it forgot.
  child.unref()
  return {
    pid: child.pid ?? -1,
    get ended() {
      if (end === undefined) child.ref()
      return ended
    },
    hasEnded: () => end !== undefined,
    signal: (name) => sendSignal(child, command.container, name),
  }
}

function sendSignal(child: ChildProcess, container: string | undefined, name: NodeJS.Signals): void {
  if (container === undefined) child.kill(name)
  else {
    spawnSync('docker', ['kill', '--signal', name, container], { stdio: 'ignore' })
    // The client too: it would go on if the container had not been created yet.
    if (name === 'SIGKILL') child.kill(name)
  }
  // The kernel stops a process when it next runs: what is sent to it before that would still be answered.
  const deadline = performance.now() + 1000
  while (name === 'SIGSTOP' && container === undefined && performance.now() < deadline) {
    if (['T', ''].includes(processState(child.pid ?? 0))) return
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1)
  }
}

/** The last lines of a log file, for an error's text. */
export function logTail(logFile: string, lines = 25): string {
  try {
    return readFileSync(logFile, 'utf8').trimEnd().split('\n').slice(-lines).join('\n')
  } catch {
    return ''
  }
}
