import { spawn } from 'node:child_process'
import { once } from 'node:events'
import type { Test } from 'tap'
import { guardPid } from '../servers/watchdog.ts'

export interface Shell {
  /**
   * Runs commands one after the other, as somebody who pastes them would: what they set is there for the next.
   * @returns what they printed and the exit code of the last; throws an error after three minutes
   */
  run(commands: string): Promise<{ stdout: string; stderr: string; code: number }>
}

const END = '--- the end of it ---'
const DEADLINE_MS = 180_000

/** Opens a shell that lives until the test ends. */
export function openShell(t: Test, options: { cwd: string; env: Record<string, string> }): Shell {
  const child = spawn('bash', ['--norc', '-s'], { ...options, stdio: 'pipe' })
  const unguard = guardPid(child.pid!)
  const output = { stdout: '', stderr: '' }
  for (const name of ['stdout', 'stderr'] as const) {
    child[name].setEncoding('utf8').on('data', (chunk: string) => {
      output[name] += chunk
      child.emit('output')
    })
  }
  t.teardown(async () => {
    child.kill('SIGKILL')
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
    unguard()
  })
  return {
    async run(commands) {
      output.stdout = ''
      output.stderr = ''
      child.stdin.write(`${commands}\ncode=$?; echo "${END}$code"; echo "${END}" >&2\n`)
      const signal = AbortSignal.timeout(DEADLINE_MS)
      for (;;) {
        const [stdout, code] = output.stdout.split(END)
        const [stderr, isComplete] = output.stderr.split(END)
        if (code?.endsWith('\n') && isComplete !== undefined) {
          return { stdout: stdout!.replaceAll('\r', ''), stderr: stderr!, code: Number(code) }
        }
        await once(child, 'output', { signal }).catch((cause) => {
          throw new Error(`${commands}: not within ${DEADLINE_MS} ms\n${output.stdout}${output.stderr}`, { cause })
        })
      }
    },
  }
}
